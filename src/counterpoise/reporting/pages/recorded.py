"""What the files of runs and data say, as far as pages show it; what is not there is not guessed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from counterpoise.errors import UserError
from counterpoise.files import read_json
from counterpoise.planning.plan import Cell, Plan, PreparedDataset
from counterpoise.results.results import CellResults
from counterpoise.runs.trace import redo_command, run_logs

Columns = dict[str, NDArray[np.float64]]
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Run:
    """One planned run: what its record says, or what became of it where there is none."""

    seed: int
    folder: str
    state: str
    detail: str
    record: Mapping[str, Any]
    redo: str
    logs: tuple[str, ...]

    @property
    def commit(self) -> str:
        """The commit that the run was made with, and whether tracked files differed from it."""
        git = self.record.get("git") or {}
        return f"{str(git.get('commit') or UNKNOWN)[:12]}{' (with changes)' if git.get('dirty') else ''}"

    @property
    def seconds(self) -> float | None:
        """How long the training took."""
        return self.record.get("seconds")

    @property
    def machine(self) -> dict[str, str]:
        """Device, precision, threads and libraries, by name."""
        found = dict(self.record.get("environment") or {})
        libraries = found.pop("libraries", None) or {}
        found["libraries"] = ", ".join(f"{name} {version}" for name, version in libraries.items() if version)
        return {name: _plain(value) for name, value in sorted(found.items()) if value not in (None, "")}


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def read_runs(plan: Plan, root: Path, found: CellResults) -> tuple[Run, ...]:
    """Return every planned run of a cell, finished or not, by seed."""
    return tuple(_run(plan, root, found, seed) for seed in sorted({*found.runs, *found.missing}))


def _run(plan: Plan, root: Path, found: CellResults, seed: int) -> Run:
    cell, folder = found.cell, found.cell.run_directory(seed)
    state, detail, record = "missing", "", {}
    if seed in found.runs:
        state, detail = found.runs[seed].status, found.runs[seed].reason or ""
        record = read_json(root / folder / "record.json", "run record")
    elif seed in found.failed:
        state, detail = "failed", found.failed[seed]
    logs = tuple(str(path.relative_to(root)) for path in run_logs(root, cell, seed))
    return Run(seed, str(folder), state, detail, record, redo_command(plan, cell, seed), logs)


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV of numbers, an empty field as NaN; nothing where the file is not there."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file)
        table = np.array([[float(field or "nan") for field in row] for row in rows], dtype=np.float64)
        return dict(zip(names, table.reshape(len(rows), len(names)).T, strict=True))
    except ValueError as error:
        raise UserError(f"{path}: not a table of numbers: {error}; delete its folder to run again") from error


@dataclass(frozen=True)
class Data:
    """A prepared dataset and what its manifest says of it, if it is there."""

    data: PreparedDataset
    manifest: Mapping[str, Any]

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of examples."""
        return {name: split["size"] for name, split in self.manifest.get("splits", {}).items()}

    def class_names(self, target: str) -> tuple[str, ...]:
        """Return a target's class names, none where they are not known."""
        return tuple(map(str, self.manifest.get("targets", {}).get(target, {}).get("names") or ()))


def read_data(plan: Plan, root: Path) -> dict[str, Data]:
    """Return every prepared dataset of a plan by its key."""
    found = {}
    for data in plan.datasets:
        path = root / data.directory / "manifest.json"
        manifest = read_json(path, "manifest of prepared data") if path.is_file() else {}
        found[data.key] = Data(data, manifest)
    return found


@dataclass(frozen=True)
class Machine:
    """One distinct environment and how many runs were made in it, in how much time."""

    facts: Mapping[str, str]
    runs: int
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """What all numbers rest on: runs by state, environments, commits, adopted runs."""

    states: Mapping[str, int]
    machines: tuple[Machine, ...]
    commits: Mapping[str, int]
    adopted: tuple[tuple[str, int, str, str], ...]
    seconds: float

    @property
    def finished(self) -> int:
        """How many runs have a record."""
        return self.states.get("completed", 0) + self.states.get("diverged", 0)


def evidence(cells: Iterable[tuple[Cell, tuple[Run, ...]]]) -> Evidence:
    """Sum up the runs of all cells."""
    states: Counter[str] = Counter()
    commits: Counter[str] = Counter()
    machines: dict[str, list] = {}
    adopted = []
    for cell, runs in cells:
        for run in runs:
            states[run.state] += 1
            if run.record:
                commits[run.commit] += 1
                facts = run.machine
                entry = machines.setdefault(json.dumps(facts, sort_keys=True), [facts, 0, 0.0])
                entry[1] += 1
                entry[2] += run.seconds or 0.0
            for note in run.record.get("adopted", []):
                adopted.append((cell.name, run.seed, str(note.get("from")), str(note.get("reason"))))
    ordered = sorted(machines.values(), key=lambda entry: -entry[1])
    found = tuple(Machine(*entry) for entry in ordered)
    return Evidence(states, found, dict(commits.most_common()), tuple(adopted), sum(m.seconds for m in found))


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return settings as a person would write them."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, sooner
    return yaml.dump(data, Dumper=dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
