"""The geometry of the report's charts: numbers in, coordinates out; the templates draw them as inline SVG.

All lengths are in the units of the chart's own view box, which is about one CSS pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Series = Mapping[str, Sequence[NDArray[np.float64]]]
"""Name of a line -> one ``(x, y)`` pair of rows, ``(2, T)``, per seed."""

MOST_POINTS = 100
FINE = 10
"""Paths are in tenths of a unit: whole numbers are short."""


class Tick(NamedTuple):
    """A place on an axis and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to coordinates between ``start`` and ``end``."""

    low: float
    high: float
    start: float
    end: float
    label: str
    whole: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return round(float(self.places(np.float64(value))), 1)

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coordinates of values of any shape."""
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[Tick]:
        """About five round values inside the axis, with their coordinates."""
        values = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=self.whole).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [Tick(self(v), f"{v:g}") for v in values if self.low - slack <= v <= self.high + slack]


@dataclass(frozen=True)
class Line:
    """One line of a chart: a path per seed, one of their mean; ``style`` chooses colour and dashes."""

    name: str
    style: int
    seeds: tuple[str, ...]
    mean: str


@dataclass(frozen=True)
class LineChart:
    """Lines over a common axis; ``summary`` says in words what they show."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    summary: str
    width: int = 360
    height: int = 230


def line_chart(
    title: str, series: Series, x_label: str, y_label: str, bounds: tuple[float, float] | None = None
) -> LineChart | None:
    """Return a chart of finite points, None where there are none; ``bounds`` are of the y axis."""
    finite = {name: [kept for kept in map(_finite, seeds) if kept.shape[1]] for name, seeds in series.items()}
    finite = {name: seeds for name, seeds in finite.items() if seeds}
    if not finite:
        return None
    points = np.concatenate([seed for seeds in finite.values() for seed in seeds], axis=1)
    low, high = bounds or _padded(float(points[1].min()), float(points[1].max()))
    left, right = float(points[0].min()), float(points[0].max())
    x = Axis(left, right if right > left else left + 1, 46, 350, x_label, whole=True)
    y = Axis(low, high, 188, 10, y_label)
    lines = tuple(
        Line(
            name,
            number % 6,
            tuple(_path(seed, x, y) for seed in seeds) if len(seeds) > 1 else (),
            _path(mean_of(seeds), x, y),
        )
        for number, (name, seeds) in enumerate(finite.items())
    )
    return LineChart(title, x, y, lines, "; ".join(_summary(name, mean_of(s)) for name, s in finite.items()))


def mean_of(seeds: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over seeds at the places that all of them have."""
    shared = seeds[0][0]
    if all(np.array_equal(seed[0], shared) for seed in seeds):
        return np.mean(seeds, axis=0)
    for seed in seeds[1:]:
        shared = np.intersect1d(shared, seed[0])
    if not len(shared):
        return seeds[0]
    return np.stack([shared, np.mean([seed[1][np.isin(seed[0], shared)] for seed in seeds], axis=0)])


def thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most :data:`MOST_POINTS` points: the means of equally long stretches."""
    length = points.shape[1]
    if length <= MOST_POINTS:
        return points
    edges = np.linspace(0, length, MOST_POINTS + 1).astype(int)
    return np.stack([row[: edges[-1]] for row in (_stretches(points[0], edges), _stretches(points[1], edges))])


def _stretches(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def _finite(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return thinned(points[:, np.isfinite(points).all(axis=0)])


def _padded(low: float, high: float) -> tuple[float, float]:
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        pad = abs(low) * 0.1 or 1.0
        return low - pad, high + pad
    pad = 0.04 * (high - low)
    return (0.0 if 0 <= low < 0.25 * high else low - pad), high + pad


def _path(points: NDArray[np.float64], x: Axis, y: Axis) -> str:
    """Return SVG path data in tenths of a unit; a lone point becomes a short dash."""
    inside = np.clip(points[1], y.low, y.high)
    across, down = (np.rint(FINE * axis.places(values)).astype(int) for axis, values in ((x, points[0]), (y, inside)))
    steps = zip(np.diff(across).tolist(), np.diff(down).tolist(), strict=True)
    rest = "".join(f" {dx}{dy if dy < 0 else f' {dy}'}" for dx, dy in steps)
    return f"M{across[0]} {down[0]}l{rest[1:]}" if rest else f"M{across[0] - 20} {down[0]}h40"


def _summary(name: str, mean: NDArray[np.float64]) -> str:
    y = mean[1]
    return f"{name}: from {y[0]:.3g} to {y[-1]:.3g}, least {y.min():.3g}, most {y.max():.3g}"


@dataclass(frozen=True)
class Confusion:
    """Counts of labels (down) against predictions, pooled over seeds; ``levels`` are 0 to 8, by row share."""

    output: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    levels: tuple[tuple[int, ...], ...]
    paths: tuple[tuple[int, str], ...]
    worst: tuple[tuple[str, str, int, float], ...]

    @property
    def total(self) -> int:
        """The number of predictions."""
        return sum(map(sum, self.counts))

    @property
    def right(self) -> float:
        """The share on the diagonal."""
        return sum(row[i] for i, row in enumerate(self.counts)) / max(self.total, 1)


def confusion(output: str, matrices: Sequence[Sequence[Sequence[int]]], names: Sequence[str]) -> Confusion:
    """Return the confusion of all seeds together; names that are missing are the classes' numbers."""
    counts = np.sum([np.array(matrix, dtype=np.int64) for matrix in matrices], axis=0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    levels = np.where(counts > 0, np.ceil(share * 8), 0).astype(int)
    size = len(counts)
    called = tuple(names) if len(names) == size else tuple(map(str, range(size)))
    off = counts - np.diag(counts.diagonal())
    order = np.argsort(-off, axis=None, kind="stable")[:10]
    places = [divmod(int(place), size) for place in order]
    worst = tuple((called[i], called[j], int(off[i, j]), float(share[i, j])) for i, j in places if off[i, j] > 0)
    return Confusion(output, called, _nested(counts), _nested(levels), tuple(_squares(levels)), worst)


def _nested(values: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, values.tolist()))


def _squares(levels: NDArray[np.int64]):
    """Yield (level, path of unit squares) for many classes, where a table would be too wide."""
    for level in range(1, 9):
        places = np.argwhere(levels == level).tolist()
        if places:
            yield level, "".join(f"M{j} {i}h1v1h-1z" for i, j in places)


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram; confidence and accuracy are in percent."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ReliabilityChart:
    """Accuracy by confidence, pooled over seeds, with the calibration error of each seed."""

    output: str
    x: Axis
    y: Axis
    bins: tuple[Bin, ...]
    errors: tuple[tuple[int, float], ...]

    @property
    def most(self) -> int:
        """The largest count of a bin."""
        return max((found.count for found in self.bins), default=1)

    @property
    def total(self) -> int:
        """The number of predictions."""
        return sum(found.count for found in self.bins)


def reliability_chart(
    output: str, found: Sequence[Mapping[str, Sequence]], errors: Sequence[tuple[int, float]]
) -> ReliabilityChart | None:
    """Return the diagram of all seeds together; ``found`` are counts, confidences and accuracies by bin."""
    count = np.array([one["count"] for one in found], dtype=np.float64)
    sure, right = (
        np.array([[value or 0.0 for value in one[name]] for one in found]) for name in ("confidence", "accuracy")
    )
    total = count.sum(axis=0)
    if not total.sum():
        return None
    edges = np.linspace(0, 100, count.shape[1] + 1)
    means = [100 * (count * values).sum(axis=0) / np.maximum(total, 1) for values in (sure, right)]
    bins = tuple(
        Bin(float(edges[i]), float(edges[i + 1]), int(total[i]), float(means[0][i]), float(means[1][i]))
        for i in np.flatnonzero(total)
    )
    x, y = Axis(0, 100, 42, 242, "confidence, %"), Axis(0, 100, 212, 12, "accuracy, %")
    return ReliabilityChart(output, x, y, bins, tuple(errors))


@dataclass(frozen=True)
class Dots:
    """One row of a dot plot: seeds, their mean, the interval for one more run, the printed value."""

    label: str
    y: float
    seeds: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    printed: float | None


@dataclass(frozen=True)
class DotPlot:
    """Every row of a table's column over one axis, in coordinates."""

    title: str
    x: Axis
    rows: tuple[Dots, ...]
    width: int
    height: int
    printed: bool


class Values(NamedTuple):
    """What a dot plot shows of one row, in printed units."""

    label: str
    seeds: Sequence[float]
    mean: float | None
    low: float | None
    high: float | None
    printed: float | None


LABELS = 190
STEP = 24


def dot_plot(title: str, rows: Sequence[Values], label: str) -> DotPlot | None:
    """Return a dot plot of the rows with any value of ours, None where there is none."""
    shown = [row for row in rows if row.mean is not None]
    every = [v for row in shown for v in (*row.seeds, row.mean, row.low, row.high, row.printed)]
    known = [value for value in every if value is not None and math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    pad = 0.04 * (high - low) or 1.0
    x = Axis(low - pad, high + pad, LABELS, 590, label)
    dots = tuple(
        Dots(
            row.label,
            18 + STEP * place,
            tuple(map(x, row.seeds)),
            *(None if value is None else x(value) for value in (row.mean, row.low, row.high, row.printed)),
        )
        for place, row in enumerate(shown)
    )
    printed = any(row.printed is not None for row in shown)
    return DotPlot(title, x, dots, 600, 18 + STEP * len(shown) + 36, printed)
