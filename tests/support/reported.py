"""A project of any size with finished runs that were never trained: all that a report is made of.

Its one paper has tables of methods × datasets. The runs' files have the real schemas, so whatever reads a
project reads this one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from counterpoise.planning.plan import Cell, Plan, make_plan

METHODS = (
    "joint",
    "uniform",
    "conventional_pareto",
    "gradnorm",
    "pcgrad",
    "metabalance",
    "mmpareto",
    "mslr",
    "agm",
    "mlb",
)
BENCHMARK = Path("configs/benchmarks/reported.yaml")
OUTPUTS = ("joint", "gray", "colour")
N_TEST, BINS = 500, 15


class ReportedProject:
    """``tables`` tables with ``groups`` datasets each; the last dataset of a table stands in for another."""

    def __init__(
        self,
        root: Path,
        repository: Path,
        tables: int = 1,
        groups: int = 2,
        rows: int = 4,
        seeds: int = 3,
        epochs: int = 12,
        classes: int = 4,
        title: str = "Made-up results",
    ) -> None:
        self.root = Path(root)
        self.epochs, self.classes = epochs, classes
        shutil.copytree(repository / "configs", self.root / "configs")
        for path in (self.root / "configs/benchmarks").glob("*.yaml"):
            path.unlink()
        self._datasets(tables, groups)
        self._paper(tables, groups, METHODS[:rows])
        column = {"model": "cg_digits_conv4", "protocol": "digits"}
        runs = [
            {
                "paper": "made",
                "table": f"table{t}",
                "columns": {f"d{t}_{g}": {"dataset": f"d{t}_{g}"} | column for g in range(groups)},
            }
            for t in range(tables)
        ]
        benchmark = {"name": "reported", "title": title, "seeds": list(range(seeds)), "tables": runs}
        self._write(BENCHMARK, benchmark)
        self.generator = np.random.default_rng(7)

    def plan(self) -> Plan:
        """Resolve the benchmark."""
        return make_plan(self.root, self.root / BENCHMARK)

    def _write(self, path: str | Path, data: Any) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(yaml.safe_dump(data, sort_keys=False))

    def _datasets(self, tables: int, groups: int) -> None:
        dataset = yaml.safe_load((self.root / "configs/datasets/cg_digits.yaml").read_text())
        dataset.pop("stand_in_for", None)
        for number in range(tables * groups):
            t, g = divmod(number, groups)
            settings = dataset["settings"] | {"generation_seed": number}
            title = f"Digits, drawing {number}"
            self._write(f"configs/datasets/d{t}_{g}.yaml", dataset | {"title": title, "settings": settings})

    def _paper(self, tables: int, groups: int, methods: tuple[str, ...]) -> None:
        head = yaml.safe_load((self.root / "configs/papers/mmpareto/paper.yaml").read_text())
        keep = {key: value for key, value in head.items() if key not in ("figures", "datasets")}
        names = [f"table{t}" for t in range(tables)]
        self._write("configs/papers/made/paper.yaml", keep | {"paper": "made", "short_title": "Made", "tables": names})
        claim = {
            "id": "best",
            "quote": "ours is best",
            "section": "4",
            "test": {"kind": "best_in_column", "table": "table0", "columns": ["d0_0.accuracy"], "row": methods[-1]},
        }
        self._write("configs/papers/made/claims.yaml", {"paper": "made", "claims": [claim]})
        for t, name in enumerate(names):
            self._write(f"configs/papers/made/{name}.yaml", _table(name, t, groups, methods))

    # -- runs ------------------------------------------------------------------------------------------------

    def finish(self, plan: Plan, watched: int = 1) -> None:
        """Write every run of the plan; the first ``watched`` cells have diagnostics of their steps."""
        for data in plan.datasets:
            self.prepare(self.root / data.directory, [f"class {number}" for number in range(self.classes)])
        for number, cell in enumerate(plan.cells):
            for seed in plan.seeds:
                self.run(plan, cell, seed, watched=number < watched)

    def prepare(self, folder: Path, names: list[str]) -> None:
        """Write the manifest of prepared data."""
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {
            "schema": 1,
            "targets": {"digit": {"names": names}},
            "dropped": [],
            "leaks": [],
            "splits": {"train": {"size": 1000}, "test": {"size": N_TEST}},
            "sources": [{"name": "made.csv", "sha256": "0" * 64}],
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def run(self, plan: Plan, cell: Cell, seed: int, watched: bool = False) -> Path:
        """Write one finished run."""
        folder = self.root / cell.run_directory(seed)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "predictions.npz").touch()
        (folder / "history.csv").write_text(self._history())
        if watched:
            (folder / "diagnostics.csv").write_text(self._diagnostics())
        owner = {"schema": 1, "key": cell.key, "seed": seed, "status": "completed", "reason": None}
        selections = {name: self._selection(gain) for name, gain in (("last", 0), ("best_val", 2), ("best_test", 4))}
        metrics = owner | {"schema": 2, "n_test": N_TEST, "ece_bins": BINS, "selections": selections}
        (folder / plan.metrics_name).write_text(json.dumps(metrics))
        record = owner | {
            "files": {"predictions.npz": ""},
            "output_targets": dict.fromkeys(OUTPUTS, "digit"),
            "environment": {
                "device": "cpu",
                "device_name": "A Processor",
                "threads": 1,
                "deterministic": True,
                "libraries": {"torch": "2.11.0", "numpy": None},
                "python": "3.12.1",
            },
            "git": {"commit": "c0ffee" * 6, "dirty": seed == 1},
            "command": "counterpoise train",
            "seconds": 60.0,
            "started": "2026-01-02T03:04:05+00:00",
            "finished": "2026-01-02T03:05:05+00:00",
        }
        (folder / "record.json").write_text(json.dumps(record))
        return folder

    def fail(self, cell: Cell, seed: int, reason: str) -> None:
        """Put the note of a failure in a run's place."""
        folder = self.root / cell.run_directory(seed)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        note = {"schema": 1, "key": cell.key, "seed": seed, "status": "failed", "reason": reason}
        (folder / "failure.json").write_text(json.dumps(note))

    def _selection(self, gain: int) -> dict[str, Any]:
        details, outputs = {}, {}
        for output in OUTPUTS:
            counts = self.generator.multinomial(N_TEST // self.classes, self._shares(), size=self.classes)
            counts = np.stack([np.roll(row, place) for place, row in enumerate(counts)])
            share = float(np.trace(counts) / counts.sum()) + gain / 1000
            count = self.generator.multinomial(N_TEST, np.full(BINS, 1 / BINS)).tolist()
            sure = ((np.arange(BINS) + 0.5) / BINS).tolist()
            right = np.clip(np.array(sure) - 0.1, 0, 1).tolist()
            details[output] = {
                "confusion": counts.tolist(),
                "reliability": {"count": count, "confidence": sure, "accuracy": right},
            }
            outputs[output] = {"accuracy": share, "macro_f1": share - 0.01, "ece": 0.1}
        return {"epoch": self.epochs - 1 - gain, "outputs": outputs, "details": details}

    def _shares(self) -> np.ndarray:
        shares = np.full(self.classes, 0.4 / (self.classes - 1))
        shares[0] = 0.6
        return shares

    def _history(self) -> str:
        names = [f"{what}.{output}" for what in ("train_loss", "val_accuracy", "test_accuracy") for output in OUTPUTS]
        values = np.sort(self.generator.random((self.epochs, len(names))), axis=0)
        rows = [f"{epoch},{10 * epoch},0.1," + ",".join(f"{v:.6f}" for v in row) for epoch, row in enumerate(values)]
        return "\n".join([",".join(["epoch", "step", "lr", *names]), *rows]) + "\n"

    def _diagnostics(self) -> str:
        names = ("norm.joint.gray", "norm.gray.gray", "cosine.joint.gray.gray", "weight.joint.gray", "update_norm.gray")
        values = self.generator.random((250, len(names)))
        rows = [",".join(f"{v:.5f}" for v in row) + f",{step}" for step, row in enumerate(values)]
        return "\n".join([",".join([*names, "step"]), *rows]) + "\n"


def _table(name: str, t: int, groups: int, methods: tuple[str, ...]) -> dict[str, Any]:
    columns = [
        {"id": f"d{t}_{g}.{metric}", "group": f"d{t}_{g}", "title": title, "metric": metric}
        for g in range(groups)
        for metric, title in (("accuracy", "Acc"), ("macro_f1", "F1"))
    ]
    rows = [
        {
            "id": method,
            "title": method,
            "method": method,
            "values": {column["id"]: f"{58 + 3 * place % 7}.00" for place, column in enumerate(columns)},
        }
        for method in methods
    ]
    last = groups - 1
    return {
        "paper": "made",
        "table": name,
        "title": f"Made-up table {t}",
        "section": "4",
        "caption": "made up",
        "groups": [
            {
                "id": f"d{t}_{g}",
                "heading": [f"Digits {g}"],
                "model": "cg_digits_conv4",
                "dataset": "another" if g == last and groups > 1 else f"d{t}_{g}",
            }
            for g in range(groups)
        ],
        "columns": columns,
        "rows": rows,
    }
