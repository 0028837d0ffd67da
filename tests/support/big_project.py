"""A project of thousands of runs that nobody trains: to see how planning and the workflow scale."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from counterpoise.files import write_json
from counterpoise.planning.plan import Cell, Plan, make_plan
from counterpoise.results.record import SCHEMA, RunRecord

METHODS = ("joint", "uniform", "conventional_pareto", "gradnorm", "pcgrad", "metabalance", "mmpareto", "agm")
BENCHMARK = "configs/benchmarks/big.yaml"
FILES = ("history.csv", "predictions.npz")
NOTHING = hashlib.sha256(b"").hexdigest()
COLUMN = {"model": "cg_digits_conv4", "protocol": "digits"}


@dataclass(frozen=True)
class BigProject:
    """A folder with a table of methods on many datasets, which differ in how they were drawn."""

    root: Path

    @classmethod
    def create(cls, root: Path, checkout: Path, cells: int, **benchmark: Any) -> BigProject:
        """Make the folder; ``cells`` is rounded up to whole columns, keywords go into the benchmark."""
        project = cls(Path(root))
        shutil.copytree(checkout / "configs", root / "configs")
        shutil.copytree(checkout / "workflow", root / "workflow")
        shutil.copy(checkout / "Snakefile", root)
        (project.root / "profiles").symlink_to("workflow/profiles")
        for path in (project.root / "configs/benchmarks").glob("*.yaml"):
            path.unlink()
        datasets = [f"d{number}" for number in range(-(-cells // len(METHODS)))]
        project._write_datasets(datasets)
        project._write_paper(datasets)
        runs = {name: {"dataset": name} | COLUMN for name in datasets}
        table = {"paper": "big", "table": "t", "columns": runs}
        project._write(BENCHMARK, {"name": "big", "title": "Big", "tables": [table]} | benchmark)
        return project

    def plan(self) -> Plan:
        """Resolve the benchmark."""
        return make_plan(self.root, self.root / BENCHMARK)

    def finish(self, plan: Plan) -> None:
        """Put files where finished runs would have them, so that nothing is to be trained."""
        for data in plan.datasets:
            for path in (self.root / "data/raw" / f"{data.directory.name}.json", self.root / data.directory):
                path.parent.mkdir(parents=True, exist_ok=True)
            (self.root / "data/raw" / f"{data.directory.name}.json").touch()
            (self.root / data.directory).mkdir(exist_ok=True)
            (self.root / data.directory / "manifest.json").write_text("{}")
        for cell in plan.cells:
            for seed in plan.seeds:
                self._finish_run(cell, seed)

    def _finish_run(self, cell: Cell, seed: int) -> None:
        folder = self.root / cell.run_directory(seed)
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).touch()
        attempt = {
            "started": "2026-01-02T03:04:05+00:00",
            "host": "a-machine",
            "command": "counterpoise train",
            "git": {"commit": None, "dirty": None},
            "environment": {"device_name": "a device"},
        }
        record = {
            "schema": SCHEMA,
            "key": cell.key,
            "seed": seed,
            **{name: getattr(cell, name) for name in ("dataset", "model", "method", "variant", "protocol")},
            "identity": {"config": cell.config, "source": cell.source, "data": cell.data.key},
            "prepared_data": cell.data.directory.name,
            "raw_data": NOTHING,
            "status": "completed",
            "epochs_run": 5,
            "steps_run": 5,
            "seconds": 10.0,
            "finished": "2026-01-02T03:05:05+00:00",
            "output_targets": {},
            "output_kinds": {},
            "n_test": 1,
            "parameters": 0,
            "weights_sha256": NOTHING,
            "attempts": [attempt],
            "files": dict.fromkeys(FILES, NOTHING),
        }
        write_json(folder / "record.json", RunRecord.model_validate(record).as_json())

    def _write_datasets(self, names: list[str]) -> None:
        dataset = yaml.safe_load((self.root / "configs/datasets/cg_digits.yaml").read_text())
        for number, name in enumerate(names):
            settings = dataset["settings"] | {"generation_seed": number}
            self._write(f"configs/datasets/{name}.yaml", dataset | {"settings": settings})

    def _write_paper(self, datasets: list[str]) -> None:
        columns = [
            {"id": f"{name}.{metric}", "group": name, "title": metric, "metric": metric}
            for name in datasets
            for metric in ("accuracy", "macro_f1")
        ]
        printed = {column["id"]: "50.0" for column in columns}
        table = {
            "paper": "big",
            "table": "t",
            "title": "t",
            "section": "1",
            "caption": "c",
            "groups": [{"id": name, "dataset": name} for name in datasets],
            "columns": columns,
            "rows": [{"id": name, "title": name, "method": name, "values": printed} for name in METHODS],
        }
        paper = yaml.safe_load((self.root / "configs/papers/mmpareto/paper.yaml").read_text())
        keep = {key: value for key, value in paper.items() if key not in ("figures", "datasets")}
        self._write("configs/papers/big/paper.yaml", keep | {"paper": "big", "tables": ["t"]})
        self._write("configs/papers/big/claims.yaml", {"paper": "big", "claims": []})
        self._write("configs/papers/big/t.yaml", table)

    def _write(self, path: str, data: object) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
