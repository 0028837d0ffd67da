"""A project of two tables on the digits with finished runs that were never trained: predictions made of numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from counterpoise.files import sha256_file
from counterpoise.planning.plan import Cell, Plan, make_plan
from counterpoise.results.record import RunRecord, write_record
from counterpoise.runs.failure import Failure, note_failure
from counterpoise.validation import validate

BENCHMARK = Path("configs/benchmarks/small.yaml")
CLASSES, TEST_SIZE = 4, 20
RAW = "d" * 64
"""What runs say of the raw files that they are made of."""


class SmallProject:
    """A folder with the checkout's configurations, a small benchmark, and runs as tests want them."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = Path(root)
        shutil.copytree(repository / "configs", self.root / "configs")
        for path in (self.root / "configs/benchmarks").glob("*.yaml"):
            path.unlink()
        # Few samples: what trains here trains in a second.
        digits = self.root / "configs/datasets/cg_digits.yaml"
        digits.write_text(digits.read_text().replace("colourings: 8", "colourings: 1"))
        self.write(
            BENCHMARK,
            {
                "name": "small",
                "title": "Small",
                "seeds": [0, 1],
                "tables": [
                    {
                        "paper": "mmpareto",
                        "table": "table3",
                        "columns": {
                            "cg_mnist": {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
                        },
                        "rows": ["One joint loss", "Uniform baseline", "MMPareto"],
                        "variants": {"mmpareto": ["published", "released"]},
                    }
                ],
            },
        )

    @classmethod
    def at(cls, root: Path) -> SmallProject:
        """Return the project that is at ``root`` already, with a benchmark of its own: to put runs into it."""
        project = cls.__new__(cls)
        project.root = Path(root)
        return project

    def write(self, path: str | Path, data: Any) -> Path:
        """Write a file: text as it is, anything else as YAML."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
        return file

    def benchmark(self, **changes: Any) -> dict[str, Any]:
        """Return the benchmark file's content with ``changes`` laid over its keys, and write it."""
        data = yaml.safe_load((self.root / BENCHMARK).read_text()) | changes
        self.write(BENCHMARK, data)
        return data

    def table(self, **changes: Any) -> None:
        """Change keys of the benchmark's only table."""
        (table,) = self.benchmark()["tables"]
        self.benchmark(tables=[table | changes])

    def plan(self, **overrides: Any) -> Plan:
        """Resolve the benchmark."""
        return make_plan(self.root, self.root / BENCHMARK, overrides)

    def cell(self, method: str, variant: str = "published") -> Cell:
        """Return the cell of a method."""
        wanted = [c for c in self.plan().cells if (c.method, c.variant) == (method, variant)]
        (cell,) = wanted
        return cell

    def run(
        self, cell: Cell, seed: int, correct: int = TEST_SIZE, /, command: str = "counterpoise train", **changes: Any
    ) -> Path:
        """Write a finished run of which the first ``correct`` of 20 predictions of each output are right."""
        folder = self.root / cell.run_directory(seed)
        folder.mkdir(parents=True, exist_ok=True)
        labels = np.arange(TEST_SIZE) % CLASSES
        predicted = np.where(np.arange(TEST_SIZE) < correct, labels, (labels + 1) % CLASSES)
        logits = (4 * np.eye(CLASSES)[predicted]).astype(np.float32)
        outputs = ["joint", *cell.config["model"]["encoders"]]
        arrays = {f"last.logits.{output}": logits for output in outputs}
        np.savez(folder / "predictions.npz", **{"labels.digit": labels.astype(np.int64)}, **arrays)
        (folder / "history.csv").write_text("epoch,step,lr\n0,1,0.1\n")
        self.record(folder, cell, seed, command=command, **changes)
        return folder

    def record(self, folder: Path, cell: Cell, seed: int, command: str = "counterpoise train", **changes: Any) -> None:
        """Write the record of a run whose files are in ``folder``."""
        outputs = ["joint", *cell.config["model"]["encoders"]]
        attempt = {
            "started": "2026-01-02T03:04:05+00:00",
            "host": "a-machine",
            "command": command,
            "git": {"commit": "c0ffee", "dirty": True},
            "environment": {
                "device": "cpu",
                "device_name": "An Old Processor",
                "cpu_capability": "AVX2",
                "threads": 1,
                "memory_format": "contiguous",
                "precision": "fp32",
                "deterministic": True,
                "python": "3.12.1",
                "libraries": {"torch": "2.11.0", "numpy": None},
            },
        }
        record = {
            "schema": 2,
            "key": cell.key,
            "seed": seed,
            "identity": {"config": cell.config, "source": cell.source, "data": cell.data.key},
            **{name: getattr(cell, name) for name in ("dataset", "model", "method", "variant", "protocol")},
            "prepared_data": cell.data.directory.name,
            "raw_data": RAW,
            "status": "completed",
            "reason": None,
            "epochs_run": cell.config["protocol"]["epochs"],
            "steps_run": 100,
            "seconds": 60.0,
            "finished": "2026-01-02T03:05:05+00:00",
            "selections": {"last": {"epoch": 19, "accuracy": None}},
            "output_targets": dict.fromkeys(outputs, "digit"),
            "output_kinds": dict.fromkeys(outputs, "classification"),
            "n_test": TEST_SIZE,
            "parameters": 1234,
            "weights_sha256": "a" * 64,
            "attempts": [attempt],
            "files": {name: sha256_file(folder / name) for name in ("history.csv", "predictions.npz")},
            **changes,
        }
        write_record(folder, validate(RunRecord, record, "a made record"))

    def fail(self, cell: Cell, seed: int, status: str, reason: str) -> None:
        """Put the note of a failure in place of a run."""
        folder = self.root / cell.run_directory(seed)
        shutil.rmtree(folder, ignore_errors=True)
        note_failure(folder, cell.key, seed, Failure(status=status, reason=reason, again=False))

    def state(self, cell: Cell, seed: int, epoch: int) -> Path:
        """Write what an interrupted run leaves behind, as far as a status looks at it."""
        folder = self.root / "work" / cell.name / f"seed-{seed}" / "states"
        folder.mkdir(parents=True)
        (folder / "state-000001.json").write_text(json.dumps({"state": {"epoch": epoch}}))
        (folder / "state-000001.safetensors").write_bytes(b"x" * 100)
        return folder

    def prepared(self, cell: Cell) -> Path:
        """Write a manifest of prepared data."""
        folder = self.root / cell.data.directory
        folder.mkdir(parents=True, exist_ok=True)
        sources = [{"name": f"digits-{number}.csv", "sha256": f"{number}" * 64} for number in range(7)]
        (folder / "manifest.json").write_text(json.dumps({"sources": sources, "raw": {"digest": RAW}}))
        return folder
