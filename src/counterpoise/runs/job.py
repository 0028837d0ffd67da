"""A training job: one run in one process, how it is stopped, and what happens when it fails."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from counterpoise.engine.control import Control, Interrupted
from counterpoise.locks import Stopped
from counterpoise.runs.failure import classify, forget_failure, note_failure, read_failure
from counterpoise.runs.lease import candidates, lease_folder, leased, visible
from counterpoise.runs.machine import choose_device, keep_freed_memory
from counterpoise.runs.progress import Progress
from counterpoise.runs.run import Run
from counterpoise.runs.train import train_run

DONE = 0
FAILED = 1
INTERRUPTED = 75  # sysexits' EX_TEMPFAIL: the same command goes on where it stopped

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def run_job(
    run: Run, device: str, *, save_seconds: float, runs_per_gpu: int = 1, attempt: int = 1, log: str | None = None
) -> int:
    """Train a run on a leased device and return the process's exit code; a failure is noted beside the run.

    From the second ``attempt`` on, the run gets a whole device, and it is left alone if it failed by a mistake in code
    or configuration, because it would fail again.
    """
    if attempt > 1 and _would_fail_again(run):
        return FAILED
    stop = stop_on_signals()
    keep_freed_memory()
    try:
        with (
            leased(candidates(device), runs_per_gpu if attempt == 1 else 1, lease_folder(), stop) as found,
            visible(found),
        ):
            control = Control(stop=stop, report=_Report(run), save_seconds=save_seconds)
            train_run(run, choose_device(device if found is None else "cuda"), control)
    except (Interrupted, Stopped):
        print("stopped as asked; the state is saved, the same command goes on from it", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # whatever it is, it is noted, and decides whether there is another attempt
        failure = classify(error, log, attempt)
        traceback.print_exception(error)
        note_failure(run.folder, run.cell.key, run.seed, failure)
        print(f"{run.name}: {failure.status}: {failure.reason}", file=sys.stderr)
        return FAILED
    forget_failure(run.folder)
    return DONE


def stop_on_signals() -> Callable[[], bool]:
    """Return a function that says whether the process was asked to stop; a second request is not waited for."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in SIGNALS:
        signal.signal(number, note)
    return lambda: bool(asked)


def _would_fail_again(run: Run) -> bool:
    """Say so where the last attempt failed by a mistake, with what it said: its log may be gone by now."""
    failure = read_failure(run.folder, run.cell.key, run.seed)
    if failure is None or failure.again:
        return False
    print("\n".join(failure.last_lines), file=sys.stderr)
    print(f"{run.name}: {failure.status}: {failure.reason}", file=sys.stderr)
    print(f"{run.name}: not tried again: it would fail as it did at {failure.at}, see above", file=sys.stderr)
    return True


class _Report:
    """Prints a line for about every tenth part of a run, and notes its progress for those who watch."""

    def __init__(self, run: Run) -> None:
        self.name = run.name
        self.epochs = run.cell.config["protocol"]["epochs"]
        self.progress = Progress(run.work_folder, self.epochs)

    def __call__(self, epoch: int, row: dict[str, float]) -> None:
        self.progress(epoch)
        if epoch % max(1, self.epochs // 10) and epoch != self.epochs:
            return
        tests = ((name.partition(".")[2], v) for name, v in row.items() if name.startswith("test_"))
        shown = " ".join(f"{name} {value:.4f}" for name, value in tests)
        accuracy = f" test accuracy {shown}" if shown else ""  # an epoch without an evaluation has none
        print(f"{self.name}: epoch {epoch}/{self.epochs}{accuracy}", file=sys.stderr)
