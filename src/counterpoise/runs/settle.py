"""What killed attempts and finished jobs leave in ``work/``, brought to its end before results are written."""

from __future__ import annotations

from pathlib import Path

from counterpoise.planning.plan import Plan
from counterpoise.results.record import RECORD
from counterpoise.runs.attempt import WorkFolder, publish
from counterpoise.runs.failure import KILLED, Failure, note_failure, read_failures
from counterpoise.runs.run import Run, runs_of

KILLED_FOR_MEMORY = "killed by the operating system for its memory"


def settle(plan: Plan, root: Path) -> None:
    """Publish runs that finished without being published, and note those whose process was killed.

    A run that some process is at is left alone.
    """
    for run in runs_of(plan, root):
        work = WorkFolder(run.work_folder)
        if (run.folder / RECORD).is_file() or not work.path.is_dir():
            continue
        if work.finished_record(run.cell.key, run.seed) is not None:
            publish(work.finished, run.folder)
        else:
            _note_killed(run, work)


def clear_finished(plan: Plan, root: Path) -> None:
    """Delete the work folders of runs that have a record: no attempt will need them."""
    for run in runs_of(plan, root):
        work = WorkFolder(run.work_folder)
        if work.path.is_dir() and (run.folder / RECORD).is_file():
            work.remove()


def _note_killed(run: Run, work: WorkFolder) -> None:
    cut_off = work.cut_off()
    if cut_off is None:
        return
    log = Path("logs/train", run.cell.name, f"seed-{run.seed}.log")
    failure = Failure(
        status="out_of_memory" if cut_off.out_of_memory else "failed",
        reason=f"{KILLED_FOR_MEMORY if cut_off.out_of_memory else KILLED}; on {cut_off.host}",
        again=True,
        log=log.as_posix() if (run.root / log).is_file() else None,
        host=cut_off.host,
        at=cut_off.started,
    )
    # One note per killed attempt, however often results are written.
    key, seed = run.cell.key, run.seed
    if all(noted.at != cut_off.started for noted in read_failures(run.folder, key, seed)):
        note_failure(run.folder, key, seed, failure)
