"""After jobs failed: bring to the tables what stands, and say what does not.

The workflow engine makes nothing that depends on a failed job. So that one failing cell does not block the
other cells' tables, this runs at the end of a workflow with failures, over whatever finished runs there are.
The next run of the workflow makes again what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.judging.compare import compare_paper
from counterpoise.planning.plan import Cell, Plan
from counterpoise.reporting.report import write_report
from counterpoise.reporting.tables import write_table
from counterpoise.results.evaluate import evaluate_run
from counterpoise.runs.attempt import RECORD, WorkFolder, publish
from counterpoise.runs.failure import Failure, read_failure, write_failure

KILLED = "killed from outside (a time or memory limit, or a person)"
KILLED_FOR_MEMORY = "killed by the operating system for its memory"


@dataclass(frozen=True)
class Lost:
    """A run without a record, and why; ``failure`` is None where it was not tried or interrupted."""

    cell: str
    seed: int
    failure: Failure | None


@dataclass(frozen=True)
class Salvage:
    """What stands and what does not; ``errors`` are from writing the tables."""

    runs: int
    lost: list[Lost]
    errors: list[str]

    @property
    def failed(self) -> list[Lost]:
        """The runs that were tried and failed."""
        return [lost for lost in self.lost if lost.failure is not None]


def salvage(plan: Plan, root: Path) -> Salvage:
    """Publish and evaluate every finished run of the plan, write all tables and the report; return what is
    lost.
    """
    lost: list[Lost] = []
    errors: list[str] = []
    for cell in plan.cells:
        for seed in plan.seeds_of(cell):
            try:
                if not _recover(plan, Path(root), cell, seed):
                    lost.append(Lost(cell.name, seed, _failure(Path(root), cell, seed)))
            except UserError as error:
                errors.append(str(error))
    errors.extend(_write_all(plan, Path(root)))
    return Salvage(plan.runs, lost, errors)


def _recover(plan: Plan, root: Path, cell: Cell, seed: int) -> bool:
    """Bring a run as far as it goes without training; return whether it has a record."""
    folder, work = root / cell.run_directory(seed), _work(root, cell, seed)
    if not (folder / RECORD).is_file():
        if not work.is_finished(cell.key, seed):
            return False
        publish(work.finished, folder)
    probe = plan.probe_of(cell)
    if probe is not None and not (folder / f"{probe}.json").is_file():
        return True  # its metrics wait for the probe, which takes training
    if not (folder / plan.metrics_name).is_file():
        asked = plan.benchmark.evaluation
        where = (folder, plan.metrics_name, cell.key, seed)
        evaluate_run(*where, asked.ece_bins, probe, asked.stationarity)
    return True


def _failure(root: Path, cell: Cell, seed: int) -> Failure | None:
    folder = root / cell.run_directory(seed)
    cut_off = _work(root, cell, seed).cut_off()
    if cut_off is None:
        return read_failure(folder, cell.key, seed)
    status = "out_of_memory" if cut_off.out_of_memory else "failed"
    reason = KILLED_FOR_MEMORY if cut_off.out_of_memory else KILLED
    failure = Failure(status, f"{reason}; on {cut_off.host}, started {cut_off.started}", True)
    write_failure(folder, cell.key, seed, failure)
    return failure


def _work(root: Path, cell: Cell, seed: int) -> WorkFolder:
    return WorkFolder(root / "work" / cell.name / f"seed-{seed}")


def _write_all(plan: Plan, root: Path) -> Iterator[str]:
    """Write tables, comparisons and the report; yield the error of each that cannot be."""
    for paper, table in plan.tables:
        try:
            write_table(plan, root, paper, table)
        except UserError as error:
            yield str(error)
    for paper in plan.papers:
        try:
            compare_paper(plan, root, paper).write(root)
        except UserError as error:
            yield str(error)
    try:
        write_report(plan, root)
    except UserError as error:
        yield str(error)
