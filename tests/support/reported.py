"""Results of any size with everything that a report shows: records, logs, series, confusions, calibration.

The paper is invented: tables of methods × datasets. The last dataset of a table of several stands in for another.
Series are files in a folder of runs, because pages read them from there.
"""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from made_results import CONFIGS, MadeResults

from counterpoise.judging.compare import Comparison, judge
from counterpoise.papers.paper import Paper, load_paper
from counterpoise.reporting.write import write_derived
from counterpoise.results.explained import WrittenExplanation
from counterpoise.results.layout import LayoutCell
from counterpoise.results.table import Results, RunEntry

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
OUTPUTS = ("joint", "gray", "colour")
N_TEST, BINS = 500, 15


class Reported:
    """``tables`` tables with ``groups`` datasets each, in a folder of its own; the paper has one claim."""

    def __init__(
        self,
        root: Path,
        *,
        tables: int = 1,
        groups: int = 2,
        rows: int = 4,
        seeds: int = 3,
        epochs: int = 12,
        classes: int = 4,
        title: str = "Made-up results",
        class_names: Iterable[str] = (),
    ) -> None:
        self.root = Path(root)
        self.epochs, self.classes = epochs, classes
        self.paper = self._paper(tables, groups, METHODS[:rows])
        run = {f"table{t}": {f"d{t}_{g}": f"d{t}_{g}" for g in range(groups)} for t in range(tables)}
        self.made = MadeResults(self.paper, run, seeds=tuple(range(seeds)))
        self.made.runs_folder = self.root / "runs"
        names = tuple(class_names) or tuple(f"class {number}" for number in range(classes))
        manifest = {
            "targets": {"digit": {"names": list(names)}},
            "dropped": [],
            "leaks": [],
            "splits": {"train": {"size": 1000}, "test": {"size": N_TEST}},
            "sources": [{"name": "made.csv", "sha256": "0" * 64}],
        }
        layout = self.made.layout
        data = {key: part.model_copy(update={"manifest": manifest}) for key, part in layout.data.items()}
        self.made.layout = layout.model_copy(update={"title": title, "data": data, "name": "reported"})
        self.generator = np.random.default_rng(7)
        self.records: dict[tuple[str, int], dict[str, Any]] = {}

    @property
    def cells(self) -> list[LayoutCell]:
        """All cells, in the order of the tables."""
        return self.made.cells

    # -- the paper -------------------------------------------------------------------------------------------

    def _paper(self, tables: int, groups: int, methods: tuple[str, ...]) -> Paper:
        home = self.root / "configs/papers/made"
        home.mkdir(parents=True, exist_ok=True)
        head = yaml.safe_load((CONFIGS / "papers/mmpareto/paper.yaml").read_text())
        keep = {key: value for key, value in head.items() if key not in ("figures", "datasets")}
        names = [f"table{t}" for t in range(tables)]
        claim = {
            "id": "best",
            "quote": "ours is best",
            "section": "4",
            "test": {"kind": "best_in_column", "table": "table0", "columns": ["d0_0.accuracy"], "row": methods[-1]},
        }
        files = {"paper": keep | {"paper": "made", "short_title": "Made", "tables": names}}
        files |= {"claims": {"paper": "made", "claims": [claim]}}
        files |= {name: _table(name, t, groups, methods) for t, name in enumerate(names)}
        for name, content in files.items():
            (home / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_paper(self.root / "configs", "made")

    # -- runs ------------------------------------------------------------------------------------------------

    def finish(self, watched: int = 1, packed: bool = False) -> None:
        """Finish every run; the first ``watched`` cells have diagnostics of their steps.

        ``packed``: series are gzipped, as in a published record.
        """
        for number, cell in enumerate(self.cells):
            for seed in self.made.layout.seeds:
                self.run(cell, seed, watched=number < watched, packed=packed)

    def run(self, cell: LayoutCell, seed: int, watched: bool = False, packed: bool = False) -> None:
        """Finish one run."""
        outputs = {output: self._details(cell, seed, output) for output in OUTPUTS}
        gains = {"best_val": 0.002, "best_test": 0.004}
        others = {name: {output: share + gain for output, share in outputs.items()} for name, gain in gains.items()}
        self.made.run(cell, seed, outputs, **others)
        folder = self.made.runs_folder / cell.name / f"seed-{seed}"
        self._series(folder / "history.csv", self._history(), packed)
        if watched:
            self._series(folder / "diagnostics.csv", self._diagnostics(), packed)
        self.records[cell.name, seed] = {
            "schema": 2,
            "key": cell.key,
            "seed": seed,
            "identity": {"config": cell.config, "source": cell.source, "data": cell.data.rpartition(".")[2]},
            **{name: getattr(cell, name) for name in ("dataset", "model", "method", "variant", "protocol")},
            "prepared_data": f"data/prepared/{cell.data}",
            "raw_data": "0" * 64,
            "status": "completed",
            "epochs_run": self.epochs,
            "steps_run": 10 * self.epochs,
            "seconds": 60.0,
            "finished": "2026-01-02T03:05:05+00:00",
            "output_targets": dict.fromkeys(OUTPUTS, "digit"),
            "output_kinds": dict.fromkeys(OUTPUTS, "classification"),
            "n_test": N_TEST,
            "parameters": 1234,
            "weights_sha256": "1" * 64,
            "attempts": [self._attempt(0, seed), self._attempt(3, seed)] if seed == 2 else [self._attempt(0, seed)],
            "files": {},
        }

    def _attempt(self, epoch: int, seed: int) -> dict[str, Any]:
        environment = {
            "device": "cpu",
            "device_name": "A Processor",
            "threads": 1,
            "deterministic": True,
            "libraries": {"torch": "2.11.0", "numpy": None},
            "python": "3.12.1",
        }
        return {
            "started": "2026-01-02T03:04:05+00:00",
            "host": "here",
            "command": "counterpoise train",
            "git": {"commit": "c0ffee" * 6, "dirty": seed == 1},
            "environment": environment,
            "epoch": epoch,
            "step": 0,
        }

    def fail(self, cell: LayoutCell, seed: int, reason: str) -> None:
        """Let a run fail."""
        where = {"dataset": cell.dataset, "variant": cell.variant}
        self.made.fail(cell.method, seed, reason, **where)
        self.records.pop((cell.name, seed), None)

    @property
    def results(self) -> Results:
        """The results as they are now, with records, logs and the commands that make runs again."""
        results = self.made.results
        runs = tuple(self._with_record(run) for run in results.runs)
        return dataclasses.replace(results, runs=runs)

    def _with_record(self, run: RunEntry) -> RunEntry:
        redo = f"counterpoise redo {run.cell} --seed {run.seed} --benchmark reported"
        record = self.records.get((run.cell, run.seed), {})
        return run.model_copy(update={"record": record, "redo": redo, "logs": (f"logs/train/{run.folder}.log",)})

    @property
    def comparison(self) -> Comparison:
        """The comparison with the paper."""
        return judge(self.paper, self.results)

    def write(self, folder: Path, explanations: Iterable[WrittenExplanation] = ()) -> list[str]:
        """Write all that is derived; return the problems."""
        results = self.results
        return write_derived(folder, results, [judge(self.paper, results)], explanations=explanations)

    # -- what a run has --------------------------------------------------------------------------------------

    def _details(self, cell: LayoutCell, seed: int, output: str) -> float:
        """Draw a confusion matrix and reliability bins; return the accuracy that the matrix has."""
        shares = np.full(self.classes, 0.4 / (self.classes - 1))
        shares[0] = 0.6
        counts = self.generator.multinomial(N_TEST // self.classes, shares, size=self.classes)
        counts = np.stack([np.roll(row, place) for place, row in enumerate(counts)])
        number = self.generator.multinomial(N_TEST, np.full(BINS, 1 / BINS))
        sure = (np.arange(BINS) + 0.5) / BINS
        self.made.details[cell.name, seed, "last", output] = {
            "confusion": counts,
            "reliability": np.stack([number, sure, np.clip(sure - 0.1, 0, 1)], axis=1),
        }
        return float(np.trace(counts) / counts.sum())

    def _series(self, path: Path, text: str, packed: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        else:
            path.write_text(text)

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
                "dataset": "another" if g == last and groups > 1 else f"d{t}_{g}",
            }
            for g in range(groups)
        ],
        "columns": columns,
        "rows": rows,
    }
