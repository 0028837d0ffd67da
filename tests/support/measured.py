"""Measurements of speed: two things side by side, and the CSV files that keep what was found.

A time is processor time of this process, so that what else runs on the machine counts little; a ratio is the
median over rounds in which both things ran one after the other, in an order that changes. ``low`` and
``high`` are the quartiles of the rounds' ratios.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from counterpoise import files

FOLDER = "COUNTERPOISE_PERFORMANCE"
"""The environment variable that says into which folder measurements are written; unset: nowhere."""

Action = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """One thing against its baseline.

    ``ratio`` is its time over the baseline's (``kind`` ``cost``: small is good, ``goal`` the most that is
    wanted), or the baseline's over its (``speed-up``: large is good, ``goal`` the least). ``seconds`` is the
    median processor time of one round, or of one sample where ``per`` says how many samples a round has.
    """

    name: str
    baseline: str
    where: str
    kind: Literal["cost", "speed-up"]
    ratio: float
    low: float
    high: float
    goal: float | None
    rounds: int
    seconds: float
    baseline_seconds: float
    machine: str

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.kind == "cost" else self.ratio >= self.goal

    def __str__(self) -> str:
        goal = "" if self.goal is None else f", goal {'<=' if self.kind == 'cost' else '>='} {self.goal:.3g}"
        return (
            f"{self.where or 'ratio'}: {self.name} / {self.baseline}: "
            f"{self.ratio:.3g} [{self.low:.3g}, {self.high:.3g}] "
            f"({self.kind}, {self.rounds} rounds, {self.seconds:.3g} s{goal})"
        )


def interleaved(
    actions: dict[str, Action], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Return how long each action took in each round; every round runs them all, starting with another one.

    Each is run once before, which does not count.
    """
    for action in actions.values():
        action()
    names = list(actions)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            start = clock()
            actions[name]()
            times[name].append(clock() - start)
    return times


def comparison(
    name: str,
    times: dict[str, list[float]],
    baseline: str,
    *,
    where: str = "",
    kind: Literal["cost", "speed-up"] = "cost",
    goal: float | None = None,
    samples: dict[str, int] | None = None,
) -> Comparison:
    """Return what :func:`interleaved` found of one action against another.

    ``samples`` says how many samples a round of an action goes through, where that differs between the two.
    """
    per = samples or {}
    own = [seconds / per.get(name, 1) for seconds in times[name]]
    other = [seconds / per.get(baseline, 1) for seconds in times[baseline]]
    pairs = zip(own, other, strict=True)
    ratios = [a / b if kind == "cost" else b / a for a, b in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Comparison(
        name,
        baseline,
        where,
        kind,
        middle,
        low,
        high,
        goal,
        len(ratios),
        statistics.median(own),
        statistics.median(other),
        machine(),
    )


def machine() -> str:
    """Return what a measurement depends on: processor, cores, instruction set, torch and its threads."""
    import torch

    capability, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    return f"{_processor()}, {os.cpu_count()} cores, {capability}; torch {torch.__version__}, threads: {threads}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


class Results:
    """What a module of tests measures: printed, and written at once to ``<folder>/<stem>.csv``.

    What an earlier run measured of other things stays in the file, so that a part can be measured again.
    """

    def __init__(self, folder: Path | None, stem: str) -> None:
        self.folder = folder
        self.stem = stem

    def add(self, *found: Comparison) -> None:
        """Keep comparisons: rows of ``<stem>.csv``, in the place of earlier ones of the same things."""
        for row in found:
            print(f"\n{row}")
        rows = [{k: "" if v is None else str(v) for k, v in dataclasses.asdict(row).items()} for row in found]
        measured = {(row["where"], row["name"]) for row in rows}
        kept = [row for row in self._read(self.stem) if (row.get("where"), row.get("name")) not in measured]
        self._write(self.stem, kept + rows)

    def series(self, name: str, rows: Iterable[dict[str, object]]) -> None:
        """Keep the points of a figure: the rows of ``<stem>_<name>.csv``."""
        points = [{**row, "machine": machine()} for row in rows]
        for row in points:
            print(f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
        self._write(f"{self.stem}_{name}", points)

    def _read(self, stem: str) -> list[dict[str, str]]:
        path = None if self.folder is None else self.folder / f"{stem}.csv"
        if path is None or not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _write(self, stem: str, rows: list[dict[str, object]]) -> None:
        if self.folder is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(self.folder / f"{stem}.csv", text.getvalue())
