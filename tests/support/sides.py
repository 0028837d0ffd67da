"""Processes that do a piece of work each time they are told to: what is compared runs as it would by itself.

A side is a Python program that builds its action, calls :func:`serve` and is then told how often to act; it answers
with the processor seconds that this took. Its memory, its threads and its C library's settings are its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
READY = "ready"


def serve(action: Callable[[], object]) -> None:
    """Act once, which does not count, then as often as each line of the standard input says."""
    action()
    print(READY, flush=True)
    for line in sys.stdin:
        start = time.process_time()
        for _ in range(int(line)):
            action()
        print(time.process_time() - start, flush=True)


class Side:
    """One such process."""

    def __init__(self, program: str, *arguments: str, threads: int = 1) -> None:
        code = f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n{program}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )

    def wait_until_ready(self) -> None:
        answer = self._process.stdout.readline()
        if answer.strip() != READY:
            raise RuntimeError(f"a side did not start: it said {answer!r}")

    def begin(self, times: int = 1) -> None:
        """Tell the process to act, and go on."""
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()

    def seconds(self) -> float:
        """Wait until it has acted; return its processor seconds."""
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def sides(*started: Side) -> Iterator[tuple[Side, ...]]:
    """Yield sides that are ready, and end them."""
    try:
        for side in started:
            side.wait_until_ready()
        yield started
    finally:
        for side in started:
            side.close()


def taking_turns(named: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    """Return the processor seconds of each side in each round; every round begins with another one."""
    names = list(named)
    times: dict[str, list[float]] = {name: [] for name in names}
    with sides(*named.values()):
        for number in range(rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                named[name].begin()
                times[name].append(named[name].seconds())
    return times
