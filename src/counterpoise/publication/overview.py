"""The picture of a published table: every seed, our mean and the printed number, row by row."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterpoise.files import write_bytes
from counterpoise.judging.compare import Comparison, ComparisonRow
from counterpoise.papers.paper import PaperTable
from counterpoise.reporting.figures.style import COLOURS, STYLE

PANELS = 4
"""Columns that one picture shows: the first that have values of ours."""


@dataclass(kw_only=True)
class _Line:
    """A row of one column: the values of our seeds, the printed one where it may be compared."""

    ours: list[float] = field(default_factory=list)
    printed: float | None = None


def draw_tables(comparisons: Iterable[Comparison], folder: Path) -> list[Path]:
    """Draw ``figures/<paper>/<table>.svg`` and ``.png`` of each table of a benchmark; return their paths.

    A table without a number of ours has no picture.
    """
    paths = []
    for comparison in comparisons:
        for place in comparison.layout.tables:
            if place.paper != comparison.paper.paper:
                continue
            with mpl.rc_context(STYLE):
                picture = table_picture(comparison.paper.table(place.table), comparison.rows_of(place.table))
                if picture is None:
                    continue
                for suffix in (".svg", ".png"):
                    image = io.BytesIO()
                    dated = {"Date": None} if suffix == ".svg" else {}
                    picture.savefig(image, format=suffix[1:], dpi=150, bbox_inches="tight", metadata=dated)
                    path = folder / "figures" / place.paper / f"{place.table}{suffix}"
                    write_bytes(path, image.getvalue())
                    paths.append(path)
    return paths


def table_picture(table: PaperTable, rows: Iterable[ComparisonRow]) -> Figure | None:
    """Return the picture of a table from its compared rows, one panel per column; None without numbers of ours.

    Where a stand-in ran, the printed numbers are not shown: they are not to be compared.
    """
    columns: dict[str, dict[str, _Line]] = {}
    titles: dict[str, str] = {}
    for row in rows:
        entry = row.entry
        if entry.ours is None or not entry.ours.finished:
            continue
        if entry.column.id not in columns and len(columns) == PANELS:
            continue
        printed = None if entry.stand_in else entry.printed.value
        line = _Line(ours=list(entry.ours.finished.values()), printed=printed)
        columns.setdefault(entry.column.id, {})[entry.label] = line
        unit = " (%)" if entry.column.unit == "percent" else ""
        heading = table.group(entry.row, entry.column.id).heading
        titles.setdefault(entry.column.id, " ".join([*heading, entry.column.title]) + unit)
    return _draw(columns, titles) if columns else None


def _draw(columns: dict[str, dict[str, _Line]], titles: dict[str, str]) -> Figure:
    rows = list(dict.fromkeys(row for lines in columns.values() for row in lines))
    picture = Figure(figsize=(2.2 + 2.6 * len(columns), 1.2 + 0.34 * len(rows)))
    panels = picture.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (column, lines) in zip(panels, columns.items(), strict=True):
        _draw_column(axes, rows, lines)
        axes.set_xlabel(titles[column])
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.02), frameon=False)
    picture.tight_layout(rect=(0, 0, 1, 0.95))
    return picture


def _draw_column(axes: Axes, rows: list[str], lines: dict[str, _Line]) -> None:
    places = [(rows.index(row), line) for row, line in lines.items()]
    seeds = [(value, place) for place, line in places for value in line.ours]
    axes.scatter(*zip(*seeds, strict=True), s=14, color=COLOURS[5], alpha=0.6, linewidths=0, label="one seed")
    means = [(np.mean(line.ours), place) for place, line in places]
    bar = {"s": 60, "marker": "|", "color": COLOURS[0], "linewidths": 2.2}
    axes.scatter(*zip(*means, strict=True), **bar, label="our mean")
    printed = [(line.printed, place) for place, line in places if line.printed is not None]
    if printed:
        axes.scatter(
            *zip(*printed, strict=True),
            s=34,
            marker="D",
            facecolors="none",
            edgecolors=COLOURS[1],
            linewidths=1.4,
            label="printed",
        )
