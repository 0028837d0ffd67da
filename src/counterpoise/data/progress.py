"""Progress of anything that takes longer than seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done and how much there is (``None``: not known)."""
FILES = "files of"
"""Begins the name of what is counted in files where most is counted in bytes."""


def quiet(what: str, done: int, total: int | None) -> None:
    """Show nothing."""


@contextlib.contextmanager
def on_terminal(unit: str = "") -> Iterator[Progress]:
    """Yield a progress that draws a bar per task on a terminal, or a line every ten seconds where there is none."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console, unit) as progress:
            yield progress
    else:
        yield _Lines(console, unit)


@contextlib.contextmanager
def _bars(console: object, unit: str) -> Iterator[Progress]:
    from rich.filesize import decimal
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    count = TextColumn("{task.fields[count]}")
    # What is done may be a file's name, whose brackets are no markup.
    what_is_done = TextColumn("{task.description}", markup=False)
    with Bars(what_is_done, BarColumn(), count, TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, object] = {}

        def show(what: str, done: int, total: int | None) -> None:
            text = decimal if unit == "bytes" and not what.startswith(FILES) else str
            of = "" if total is None else f" of {text(total)}"
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, count="")
            bars.update(tasks[what], completed=done, total=total, count=f"{text(done)}{of}")

        yield show


class _Lines:
    """One line per task at its start and end, and every ten seconds in between."""

    def __init__(self, console: object, unit: str) -> None:
        self._console = console
        self._unit = unit
        self._shown: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if done != total and now - self._shown.get(what, -10.0) < 10.0:
            return
        self._shown[what] = now
        of = "" if total is None else f" of {total}"
        unit = "" if what.startswith(FILES) else self._unit
        self._console.print(f"{what}: {done}{of} {unit}".rstrip(), highlight=False, markup=False)
