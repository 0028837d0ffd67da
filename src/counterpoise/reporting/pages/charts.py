"""The geometry of the report's charts: numbers in, coordinates out; the templates draw them as inline SVG.

All lengths are in the units of the chart's own view box, which is about one CSS pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
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


@dataclass(frozen=True, kw_only=True)
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
        """At most six round values inside the axis, with their coordinates."""
        step = _round_step((self.high - self.low) / 5, self.whole)
        slack = 1e-9
        first, last = math.ceil(self.low / step - slack), math.floor(self.high / step + slack)
        return [Tick(self(number * step), f"{number * step:g}") for number in range(first, last + 1)]


def _round_step(least: float, whole: bool) -> float:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    steps = [factor * power for factor in (1, 2, 2.5, 5, 10) if not whole or (factor * power).is_integer()]
    return next((step for step in steps if step >= least * (1 - 1e-9)), 1.0)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart: a path per seed, one of their mean; ``style`` chooses colour and dashes."""

    name: str
    style: int
    seeds: tuple[str, ...]
    mean: str


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """Lines over a common axis; ``summary`` says in words what they show. ``marks`` are places on the x axis."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    summary: str
    marks: tuple[float, ...] = ()
    width: int = 360
    height: int = 230


def line_chart(
    title: str,
    series: Series,
    x_label: str,
    y_label: str,
    bounds: tuple[float, float] | None = None,
    marks: Iterable[float] = (),
) -> LineChart | None:
    """Return a chart of finite points, None where there are none.

    Args:
        bounds: those of the y axis.
        marks: values of x to be marked; those beyond the axis are not.
    """
    finite = {name: [kept for kept in map(_finite, seeds) if kept.shape[1]] for name, seeds in series.items()}
    finite = {name: seeds for name, seeds in finite.items() if seeds}
    if not finite:
        return None
    points = np.concatenate([seed for seeds in finite.values() for seed in seeds], axis=1)
    low, high = bounds or _padded(float(points[1].min()), float(points[1].max()))
    left, right = float(points[0].min()), float(points[0].max())
    x = Axis(low=left, high=right if right > left else left + 1, start=46, end=350, label=x_label, whole=True)
    y = Axis(low=low, high=high, start=188, end=10, label=y_label)
    lines = tuple(
        Line(
            name=name,
            style=number % 6,
            seeds=tuple(_path(seed, x, y) for seed in seeds) if len(seeds) > 1 else (),
            mean=_path(mean_of(seeds), x, y),
        )
        for number, (name, seeds) in enumerate(finite.items())
    )
    summary = "; ".join(_summary(name, mean_of(seeds)) for name, seeds in finite.items())
    places = tuple(x(value) for value in sorted(set(marks)) if left <= value <= right)
    return LineChart(title=title, x=x, y=y, lines=lines, summary=summary, marks=places)


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


@dataclass(frozen=True, kw_only=True)
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


def confusion(output: str, matrices: Sequence[NDArray[np.int64]], names: Sequence[str]) -> Confusion:
    """Return the confusion of all seeds together; names that are missing are the classes' numbers.

    Args:
        matrices: one of counts per seed, ``(C, C)``, labels down.
    """
    counts = np.sum([np.asarray(matrix, dtype=np.int64) for matrix in matrices], axis=0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    levels = np.where(counts > 0, np.ceil(share * 8), 0).astype(int)
    size = len(counts)
    called = tuple(names) if len(names) == size else tuple(map(str, range(size)))
    off = counts - np.diag(counts.diagonal())
    order = np.argsort(-off, axis=None, kind="stable")[:10]
    places = [divmod(int(place), size) for place in order]
    return Confusion(
        output=output,
        names=called,
        counts=_nested(counts),
        levels=_nested(levels),
        paths=tuple(_squares(levels)),
        worst=tuple((called[i], called[j], int(off[i, j]), float(share[i, j])) for i, j in places if off[i, j] > 0),
    )


def _nested(values: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, values.tolist()))


def _squares(levels: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    """Yield (level, path of unit squares) for many classes, where a table would be too wide."""
    for level in range(1, 9):
        places = np.argwhere(levels == level).tolist()
        if places:
            yield level, "".join(f"M{j} {i}h1v1h-1z" for i, j in places)


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bin of a reliability diagram; confidence and accuracy are in percent."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
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
    output: str, tables: Sequence[NDArray[np.float64]], errors: Sequence[tuple[int, float]]
) -> ReliabilityChart | None:
    """Return the diagram of all seeds together, None where no bin has a prediction.

    Args:
        tables: one per seed, ``(bins, 3)`` of count, mean confidence and accuracy. In an empty bin, the last two
            are NaN.
        errors: (seed, calibration error in percent).
    """
    every = np.nan_to_num(np.stack(tables))  # (seeds, bins, 3)
    count = every[:, :, 0]
    total = count.sum(axis=0)
    if not total.sum():
        return None
    edges = np.linspace(0, 100, len(total) + 1)
    sure, right = (100 * (count * every[:, :, part]).sum(axis=0) / np.maximum(total, 1) for part in (1, 2))
    bins = tuple(
        Bin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(total[i]),
            confidence=float(sure[i]),
            accuracy=float(right[i]),
        )
        for i in np.flatnonzero(total)
    )
    x = Axis(low=0, high=100, start=42, end=242, label="confidence, %")
    y = Axis(low=0, high=100, start=212, end=12, label="accuracy, %")
    return ReliabilityChart(output=output, x=x, y=y, bins=bins, errors=tuple(errors))


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a dot plot shows of one row, in printed units. ``margin`` surrounds the printed value."""

    label: str
    seeds: Sequence[float]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    printed: float | None = None
    margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class Dots:
    """One row of a dot plot in coordinates: seeds, their mean, the interval for one more run, the printed value.

    ``band`` is where our mean must lie, with some certainty, to be equivalent to the printed value.
    """

    label: str
    y: float
    seeds: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    printed: float | None
    band: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class DotPlot:
    """Every row of a table's column over one axis, in coordinates; labels stand above their rows."""

    title: str
    x: Axis
    rows: tuple[Dots, ...]
    width: int
    height: int

    @property
    def printed(self) -> bool:
        """Whether any row has a printed value to compare with."""
        return any(row.printed is not None for row in self.rows)

    @property
    def margins(self) -> bool:
        """Whether any row has a margin around it."""
        return any(row.band is not None for row in self.rows)


STEP = 42
PLOT_WIDTH = 360
"""Narrow enough for a telephone; wider windows show several plots side by side."""


def dot_plot(title: str, rows: Sequence[Values], label: str) -> DotPlot | None:
    """Return a dot plot of the rows with any value of ours, None where there is none."""
    shown = [row for row in rows if row.mean is not None]
    known = [value for row in shown for value in _extent(row) if value is not None and math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    pad = 0.04 * (high - low) or 1.0
    x = Axis(low=low - pad, high=high + pad, start=12, end=PLOT_WIDTH - 12, label=label)
    dots = tuple(_dots(row, x, 32 + STEP * place) for place, row in enumerate(shown))
    return DotPlot(title=title, x=x, rows=dots, width=PLOT_WIDTH, height=32 + STEP * len(shown) + 30)


def _extent(row: Values) -> list[float | None]:
    band = [row.printed - row.margin, row.printed + row.margin] if _has_band(row) else []
    return [*row.seeds, row.mean, row.low, row.high, row.printed, *band]


def _has_band(row: Values) -> bool:
    return row.printed is not None and row.margin is not None


def _dots(row: Values, x: Axis, y: float) -> Dots:
    mean, low, high, printed = (None if v is None else x(v) for v in (row.mean, row.low, row.high, row.printed))
    return Dots(
        label=row.label,
        y=y,
        seeds=tuple(map(x, row.seeds)),
        mean=mean,
        low=low,
        high=high,
        printed=printed,
        band=(x(row.printed - row.margin), x(row.printed + row.margin)) if _has_band(row) else None,
    )


@dataclass(frozen=True, kw_only=True)
class StripDot:
    """One number of a strip: where it is, and its verdict."""

    x: float
    y: float
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Differences ours − printed of a table on one line: a small picture of how far off it is.

    ``band`` are the coordinates of the margin, None where the numbers have different ones.
    """

    x: Axis
    dots: tuple[StripDot, ...]
    band: tuple[float, float] | None
    summary: str
    width: int = 300
    height: int = 74


def strip(numbers: Sequence[tuple[float, str]], margin: float | None, unit: str) -> Strip | None:
    """Return the strip of (difference, verdict) pairs in one unit, None where there are none.

    Dots that would cover each other are piled up; beyond what fits they overlap.
    """
    if not numbers:
        return None
    most = max(abs(delta) for delta, _ in numbers)
    reach = 1.08 * max(most, 1.5 * (margin or 0.0)) or 1.0
    x = Axis(low=-reach, high=reach, start=8, end=292, label=f"ours − printed, {unit}")
    piles: dict[int, int] = {}
    dots = []
    for delta, verdict in sorted(numbers):
        at = x(delta)
        pile = round(at / 7)
        piles[pile] = piles.get(pile, 0) + 1
        dots.append(StripDot(x=at, y=max(34 - 7 * (piles[pile] - 1), 4), verdict=verdict))
    least, largest = min(numbers)[0], max(numbers)[0]
    summary = f"{len(numbers)} differences ours − printed, from {least:+.2f} to {largest:+.2f} {unit}"
    band = None
    if margin is not None:
        summary += f"; the margin is {margin:g}"
        band = (x(-margin), x(margin))
    return Strip(x=x, dots=tuple(dots), band=band, summary=summary)
