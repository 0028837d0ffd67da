"""What is there of a plan: fresh, missing, interrupted and diverged runs, and what no benchmark asks for any more."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json
from counterpoise.planning.plan import Cell, Plan, make_plan
from counterpoise.results.record import RECORD, RunRecord, absent_files, read_record
from counterpoise.runs.attempt import WorkFolder
from counterpoise.runs.failure import NAME as FAILURE
from counterpoise.runs.failure import is_interrupted, read_failure
from counterpoise.runs.kept_data import KEPT
from counterpoise.runs.progress import read_progress
from counterpoise.runs.remembered import remembered
from counterpoise.runs.run import RUNS, WORK

PREPARED = "data/prepared"


class State(StrEnum):
    """How far a run is. ``fresh`` and ``diverged`` runs are finished, and right for the plan as it is now."""

    FRESH = "fresh"
    DIVERGED = "diverged"
    TRAINING = "training"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    MISSING = "missing"
    BROKEN = "broken"


FINISHED = (State.FRESH, State.DIVERGED)


@dataclass(frozen=True)
class RunStatus:
    """One planned run: its state, a ``detail`` in words, and its record where it has a readable one.

    ``progress`` has ``epoch``, ``epochs``, ``seconds_per_epoch`` and ``at`` (seconds since 1970) of a run in training.
    """

    cell: Cell
    seed: int
    state: State
    detail: str = ""
    record: RunRecord | None = None
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the run needs no more training."""
        return self.state in FINISHED


@dataclass(frozen=True)
class Orphan:
    """Files that no benchmark of the project asks for: ``kind`` is ``runs``, ``state`` or ``data``."""

    kind: str
    path: Path
    files: int
    size: int


def run_statuses(plan: Plan, root: Path) -> list[RunStatus]:
    """Return the status of every run of a plan, cell by cell."""
    return [run_status(root, cell, seed) for cell in plan.cells for seed in plan.seeds]


def run_status(root: Path, cell: Cell, seed: int) -> RunStatus:
    """Return the status of one run, from the files that are there; nothing is opened but the record."""
    folder = Path(root) / cell.run_directory(seed)
    if not (folder / RECORD).is_file():
        return _unfinished(Path(root), cell, seed)
    try:
        record = read_record(folder, cell.key, seed)
    except UserError as error:
        return RunStatus(cell, seed, State.BROKEN, str(error))
    absent = absent_files(folder, record)
    if absent:
        detail = f"{folder}: {', '.join(absent)} not there; 'counterpoise run' makes it again"
        return RunStatus(cell, seed, State.BROKEN, detail, record)
    if record.status == "diverged":
        return RunStatus(cell, seed, State.DIVERGED, record.reason or "", record)
    return RunStatus(cell, seed, State.FRESH, "", record)


def _unfinished(root: Path, cell: Cell, seed: int) -> RunStatus:
    work = root / WORK / cell.name / f"seed-{seed}"
    if (work / "finished" / RECORD).is_file():
        return RunStatus(cell, seed, State.INTERRUPTED, "trained, to be published")
    progress = read_progress(work)
    if progress and (work / "attempt.json").is_file() and WorkFolder(work).cut_off() is None:
        epochs = f"epoch {progress['epoch']} of {progress['epochs']}"
        return RunStatus(cell, seed, State.TRAINING, epochs, progress=progress)
    folder = root / cell.run_directory(seed)
    if (folder / FAILURE).is_file():
        said = _failure(folder, cell, seed)
        if said is not None:
            return RunStatus(cell, seed, State.FAILED, said)
    states = sorted((work / "states").glob("state-*.json"))
    if not states and ((folder / FAILURE).is_file() or (work / "attempt.json").is_file()):
        return RunStatus(cell, seed, State.INTERRUPTED, "before it saved a state")
    if not states:
        return RunStatus(cell, seed, State.MISSING)
    try:
        epoch = int(read_json(states[-1], "run state")["state"]["epoch"])
    except (UserError, KeyError, TypeError, ValueError):
        return RunStatus(cell, seed, State.INTERRUPTED, "in an unknown epoch")
    return RunStatus(cell, seed, State.INTERRUPTED, f"in epoch {epoch + 1} of {cell.config['protocol']['epochs']}")


def _failure(folder: Path, cell: Cell, seed: int) -> str | None:
    """Return what the note of a failure says; None where the run was only interrupted."""
    try:
        failure = read_failure(folder, cell.key, seed)
    except UserError as error:
        return str(error)
    if failure is None:
        return f"{folder / FAILURE}: the note of another run"
    if is_interrupted(failure.reason):
        return None
    return f"{failure.status}: {failure.reason}" + (f" (log: {failure.log})" if failure.log else "")


@dataclass(frozen=True, kw_only=True)
class InUse:
    """The names of cells and data that must not be deleted: those of benchmarks, and of explanations of their numbers.

    Flips of the ``plans`` are many, so they are looked for only where something is not otherwise known.
    """

    plans: tuple[Plan, ...]
    cells: frozenset[str]
    data: frozenset[str]

    def has_cell(self, name: str) -> bool:
        """Whether a benchmark, or an explanation of one of its numbers, runs the cell of this name."""
        return name in self.cells or any(name in plan.flipped for plan in self.plans)

    def has_data(self, folder: str) -> bool:
        """Whether one of these cells is trained on the prepared data in this folder."""
        return folder in self.data or folder in self._flipped_data

    @functools.cached_property
    def _flipped_data(self) -> frozenset[str]:
        cells = (cell for plan in self.plans for cell in plan.flipped.values())
        return frozenset(data.directory.name for cell in cells for data in (cell.data, *cell.folds))


def known_to_benchmarks(plan: Plan, root: Path) -> InUse:
    """Return what the plan, every file in ``configs/benchmarks`` and every benchmark that ran here names.

    Raises:
        UserError: a benchmark file cannot be resolved; what it would name is then unknown.
    """
    plans = (plan, *(make_plan(root, path) for path in sorted((root / "configs/benchmarks").glob("*.yaml"))))
    cells, data = remembered(root)
    return InUse(
        plans=plans,
        cells=cells.union(cell.name for plan in plans for cell in plan.cells),
        data=data.union(found.directory.name for plan in plans for found in plan.datasets),
    )


def find_orphans(root: Path, in_use: InUse) -> list[Orphan]:
    """Return runs, saved states and prepared data that no benchmark names."""
    root = Path(root)
    found = [_orphan("runs", path) for path in _unknown_cells(root / RUNS, in_use)]
    found += [_orphan("state", path) for path in _unknown_cells(root / WORK, in_use)]
    prepared = [path for home in (PREPARED, KEPT) for path in sorted((root / home).glob("*.*/manifest.json"))]
    return found + [_orphan("data", path.parent) for path in prepared if not in_use.has_data(path.parent.name)]


def remove(orphan: Orphan, root: Path) -> None:
    """Delete an orphan and the folders above it that are empty then."""
    shutil.rmtree(orphan.path)
    for folder in orphan.path.parents:
        if folder == Path(root) or any(folder.iterdir()):
            break
        folder.rmdir()


CELL_FOLDER = re.compile(r".+-.+\.[0-9a-f]+")


def cell_folders(home: Path) -> Iterator[Path]:
    """Yield the folders ``<dataset>/<model>/<method>-<variant>.<key>`` below ``home``."""
    for path in sorted(home.glob("*/*/*")):
        if path.is_dir() and CELL_FOLDER.fullmatch(path.name) and not path.name.startswith("."):
            yield path


def _unknown_cells(home: Path, in_use: InUse) -> list[Path]:
    return [path for path in cell_folders(home) if not in_use.has_cell(path.relative_to(home).as_posix())]


def _orphan(kind: str, path: Path) -> Orphan:
    sizes = [file.lstat().st_size for file in path.rglob("*") if not file.is_dir()]
    return Orphan(kind, path, len(sizes), sum(sizes))
