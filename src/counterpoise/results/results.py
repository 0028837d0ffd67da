"""Read what the runs of a plan left behind; nothing unfinished, broken or foreign gets past here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.errors import UserError
from counterpoise.files import read_json
from counterpoise.judging.verdicts import SeedValues
from counterpoise.planning.plan import Cell, Plan
from counterpoise.validation import validate


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Reliability(_Read):
    """By bin of the confidence: the number of examples, their mean confidence and their accuracy."""

    count: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]


class OutputDetails(_Read):
    """What one output took for what: ``confusion[label][predicted]`` counts, and reliability by bin."""

    confusion: list[list[int]] = []
    reliability: Reliability | None = None


class SelectionMetrics(_Read):
    """The metrics of one checkpoint: output name → metric name → fraction.

    ``details`` are by output; metrics of schema 1 have none.
    """

    epoch: int | None = None
    outputs: dict[str, dict[str, float]]
    details: dict[str, OutputDetails] = {}


class RunMetrics(_Read):
    """The metrics of one run; schema 1 is the same without details."""

    schema_version: Literal[1, 2] = Field(alias="schema")
    key: str
    seed: int
    status: Literal["completed", "diverged"]
    reason: str | None = None
    n_test: int | None = None
    ece_bins: int | None = None
    predictions_sha256: str | None = None
    selections: dict[str, SelectionMetrics] = {}


class RunRecord(_Read):
    """What is read here of ``record.json`` of one run."""

    schema_version: Literal[1] = Field(alias="schema")
    key: str
    seed: int
    status: Literal["completed", "diverged"]
    files: dict[str, str] = {}


class FailureNote(_Read):
    """What is read here of ``failure.json``, which stands where a run was tried and has no record."""

    key: str
    seed: int
    status: Literal["failed", "out_of_memory"]
    reason: str

    def __str__(self) -> str:
        return f"{self.status.replace('_', ' ')} ({self.reason})"


@dataclass(frozen=True)
class CellResults:
    """The finished runs of a cell by seed, the planned seeds that have none, and why where one failed."""

    cell: Cell
    runs: Mapping[int, RunMetrics]
    missing: Sequence[int]
    failed: Mapping[int, str] = field(default_factory=dict)

    def values(self, selection: str, output: str, metric: str, scale: float = 1.0) -> SeedValues:
        """Return a metric over the seeds, times ``scale``."""
        finished: dict[int, float] = {}
        diverged: dict[int, str] = {}
        absent = ""
        for seed, run in sorted(self.runs.items()):
            if run.status == "diverged":
                diverged[seed] = run.reason or "no reason recorded"
                continue
            found = _lookup(run, selection, output, metric)
            if isinstance(found, str):
                absent = found
            else:
                finished[seed] = found * scale
        return SeedValues(finished, diverged, tuple(self.missing), absent, self.failed)

    @property
    def n_test(self) -> int | None:
        """The size of the test set, None before any run has finished."""
        return next((run.n_test for run in self.runs.values() if run.n_test), None)


def read_results(plan: Plan, root: Path, cells: Iterable[Cell] | None = None) -> dict[str, CellResults]:
    """Return the results of ``cells`` (default: every cell of the plan), by the cell's name."""
    return {cell.name: read_cell(plan, root, cell) for cell in (plan.cells if cells is None else cells)}


def read_cell(plan: Plan, root: Path, cell: Cell, seeds: Sequence[int] | None = None) -> CellResults:
    """Read the runs of one cell, of the ``seeds`` given or of the plan's.

    Raises:
        UserError: a file is broken, belongs to another run, or was made with other settings than the plan's.
    """
    runs = {}
    seeds = plan.seeds_of(cell) if seeds is None else seeds
    for seed in seeds:
        path = Path(root) / cell.run_directory(seed) / plan.metrics_name
        run = _read_run(path, cell.key, seed, plan.benchmark.evaluation.ece_bins)
        if run is not None:
            runs[seed] = run
    missing = [seed for seed in seeds if seed not in runs]
    notes = {seed: _read_failure(Path(root) / cell.run_directory(seed), cell.key, seed) for seed in missing}
    return CellResults(cell, runs, missing, {seed: note for seed, note in notes.items() if note})


def _read_failure(folder: Path, key: str, seed: int) -> str:
    """Return what became of a run that was tried, nothing where there is no note or the run has a record."""
    path = folder / "failure.json"
    if not path.exists() or (folder / "record.json").exists():
        return ""
    note = validate(FailureNote, read_json(path, "note of a failure"), str(path))
    _check_owner(path, note, key, seed)
    return str(note)


def _read_run(path: Path, key: str, seed: int, ece_bins: int) -> RunMetrics | None:
    if not path.exists():
        return None
    metrics = validate(RunMetrics, read_json(path, "metrics of a run"), str(path))
    _check_owner(path, metrics, key, seed)
    if metrics.ece_bins is not None and metrics.ece_bins != ece_bins:
        raise UserError(
            f"{path}: made with {metrics.ece_bins} ECE bins, the benchmark says {ece_bins}; evaluate it again"
        )
    for name, selection in metrics.selections.items():
        for output, values in selection.outputs.items():
            for metric, value in values.items():
                if not math.isfinite(value):
                    raise UserError(f"{path}: selections.{name}.{output}.{metric} is {value}, not a number")
    _check_record(path, metrics, key, seed)
    return metrics


def _check_record(metrics_path: Path, metrics: RunMetrics, key: str, seed: int) -> None:
    path = metrics_path.with_name("record.json")
    if not path.exists():
        raise UserError(f"{path}: the run record is not there, though its metrics are; train the run again")
    record = validate(RunRecord, read_json(path, "run record"), str(path))
    _check_owner(path, record, key, seed)
    if record.status != metrics.status:
        other = f"in {metrics_path.name} '{metrics.status}'"
        raise UserError(f"{path}: status is '{record.status}', {other}; evaluate it again")
    recorded = record.files.get("predictions.npz")
    if recorded and metrics.predictions_sha256 and recorded != metrics.predictions_sha256:
        raise UserError(f"{metrics_path}: made from other predictions than record.json names; evaluate it again")


def _check_owner(path: Path, found: RunMetrics | RunRecord | FailureNote, key: str, seed: int) -> None:
    if found.key != key:
        raise UserError(f"{path}: key is '{found.key}', must be '{key}' as in its path; it belongs to another run")
    if found.seed != seed:
        raise UserError(f"{path}: seed is {found.seed}, must be {seed} as in its path; it belongs to another run")


def _lookup(run: RunMetrics, selection: str, output: str, metric: str) -> float | str:
    if selection not in run.selections:
        return f"the runs have no selection '{selection}'"
    outputs = run.selections[selection].outputs
    if output not in outputs:
        return f"the runs have no output '{output}'"
    if metric not in outputs[output]:
        return f"the runs have no metric '{metric}' for output '{output}'"
    return outputs[output][metric]
