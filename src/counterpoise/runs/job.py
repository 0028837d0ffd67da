"""A training job: some seeds of one or more cells in one process, how it is stopped, and what happens to
runs that fail.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

import torch

from counterpoise.engine.device import choose_device, keep_freed_memory
from counterpoise.engine.loop import Control, Interrupted
from counterpoise.runs.failure import classify, forget_failure, read_failure, write_failure
from counterpoise.runs.lease import NoLease, candidates, lease_folder, leased, visible
from counterpoise.runs.train import CellToTrain, run_directory, train_cell

DONE = 0
FAILED = 1
INTERRUPTED = 75  # sysexits' EX_TEMPFAIL: the same command goes on where it stopped

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def run_job(
    cells: Sequence[CellToTrain],
    seeds: list[int],
    device: str,
    *,
    save_seconds: float,
    runs_per_gpu: int = 1,
    attempt: int = 1,
    log: str | None = None,
) -> int:
    """Train ``seeds`` of every cell on a leased device and return the process's exit code.

    A run that fails is noted and does not keep the others from being trained. From the second ``attempt`` on,
    a run that failed by a mistake in code or configuration is left alone, because it would fail again, and
    the others get a whole device.
    """
    stop = stop_on_signals()
    keep_freed_memory()
    share = 1 / runs_per_gpu if attempt == 1 else 1.0
    try:
        with leased(candidates(device), share, lease_folder(), stop) as found, visible(found):
            chosen = choose_device(device if found is None else "cuda")
            codes = [_train(cell, seeds, chosen, stop, save_seconds, attempt, log) for cell in cells]
            return max(codes, default=DONE)
    except (Interrupted, NoLease):
        print("stopped as asked; the state is saved, the same command goes on from it", file=sys.stderr)
        return INTERRUPTED


def _train(
    cell: CellToTrain,
    seeds: list[int],
    device: torch.device,
    stop: Callable[[], bool],
    save_seconds: float,
    attempt: int,
    log: str | None,
) -> int:
    hopeless = [seed for seed in seeds if attempt > 1 and _is_hopeless(cell, seed)]
    failed: list[int] = []

    def note(seed: int, error: Exception) -> None:
        failure = classify(error, log)
        traceback.print_exception(error)
        write_failure(run_directory(cell, seed), cell.key, seed, failure, attempt)
        print(f"{_name(cell)} seed {seed}: {failure.status}: {failure.reason}", file=sys.stderr)
        failed.append(seed)

    epochs = cell.config["protocol"]["epochs"]
    wanted = [seed for seed in seeds if seed not in hopeless]
    train_cell(cell, wanted, device, lambda seed: Control(stop, _Report(_name(cell), seed, epochs), save_seconds), note)
    for seed in wanted:
        if seed not in failed:
            forget_failure(run_directory(cell, seed))
    for seed in hopeless:
        print(f"{_name(cell)} seed {seed}: not tried again: it would fail in the same way", file=sys.stderr)
    return FAILED if failed or hopeless else DONE


def stop_on_signals() -> Callable[[], bool]:
    """Return a function that says whether the process was asked to stop; a second request is not waited
    for.
    """
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in SIGNALS:
        signal.signal(number, note)
    return lambda: bool(asked)


def _is_hopeless(cell: CellToTrain, seed: int) -> bool:
    failure = read_failure(run_directory(cell, seed), cell.key, seed)
    return failure is not None and not failure.again


def _name(cell: CellToTrain) -> str:
    return f"{cell.dataset}/{cell.model}/{cell.method}-{cell.variant}.{cell.key}"


class _Report:
    """Prints a line for about every tenth part of a run."""

    def __init__(self, name: str, seed: int, epochs: int) -> None:
        self.name = name
        self.seed = seed
        self.epochs = epochs

    def __call__(self, epoch: int, row: dict[str, float]) -> None:
        if epoch % max(1, self.epochs // 10) and epoch != self.epochs:
            return
        tests = ((name.partition(".")[2], v) for name, v in row.items() if name.startswith("test_"))
        shown = " ".join(f"{name} {value:.4f}" for name, value in tests)
        where = f"epoch {epoch}/{self.epochs}"
        print(f"{self.name} seed {self.seed}: {where} test accuracy {shown}", file=sys.stderr)
