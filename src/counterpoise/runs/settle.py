"""What killed attempts and finished jobs leave in ``work/``, brought to its end before results are written."""

from __future__ import annotations

from pathlib import Path

from counterpoise.planning.plan import Cell, Plan
from counterpoise.results.record import RECORD
from counterpoise.runs.attempt import WorkFolder, publish
from counterpoise.runs.failure import Failure, note_failure, read_failures

KILLED = "killed from outside (a time or memory limit, or a person)"
KILLED_FOR_MEMORY = "killed by the operating system for its memory"


def settle(plan: Plan, root: Path) -> None:
    """Publish runs that finished without being published, and note those whose process was killed.

    A run that some process is at is left alone.
    """
    for cell in plan.cells:
        for seed in plan.seeds:
            folder, work = Path(root) / cell.run_directory(seed), _work(root, cell, seed)
            if (folder / RECORD).is_file() or not work.path.is_dir():
                continue
            if work.finished_record(cell.key, seed) is not None:
                publish(work.finished, folder)
            else:
                _note_killed(folder, work, cell, seed, _log(root, cell, seed))


def clear_finished(plan: Plan, root: Path) -> None:
    """Delete the work folders of runs that have a record: no attempt will need them."""
    for cell in plan.cells:
        for seed in plan.seeds:
            work = _work(root, cell, seed)
            if work.path.is_dir() and (Path(root) / cell.run_directory(seed) / RECORD).is_file():
                work.remove()


def _note_killed(folder: Path, work: WorkFolder, cell: Cell, seed: int, log: str | None) -> None:
    cut_off = work.cut_off()
    if cut_off is None:
        return
    failure = Failure(
        status="out_of_memory" if cut_off.out_of_memory else "failed",
        reason=f"{KILLED_FOR_MEMORY if cut_off.out_of_memory else KILLED}; on {cut_off.host}",
        again=True,
        log=log,
        host=cut_off.host,
        at=cut_off.started,
    )
    # One note per killed attempt, however often results are written.
    if all(noted.at != cut_off.started for noted in read_failures(folder, cell.key, seed)):
        note_failure(folder, cell.key, seed, failure)


def _log(root: Path, cell: Cell, seed: int) -> str | None:
    log = Path("logs/train", cell.name, f"seed-{seed}.log")
    return log.as_posix() if (Path(root) / log).is_file() else None


def _work(root: Path, cell: Cell, seed: int) -> WorkFolder:
    return WorkFolder(Path(root) / "work" / cell.name / f"seed-{seed}")
