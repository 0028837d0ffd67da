"""The picture of a published table: every seed, our mean and the printed number, row by row."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterpoise.files import write_bytes
from counterpoise.papers.paper import PaperTable
from counterpoise.planning.plan import Plan
from counterpoise.reporting.figures.draw import COLOURS, STYLE

PANELS = 4
"""Columns that one picture shows: the first that have values of ours."""


@dataclass
class _Line:
    """A row of one column: the values of our seeds, the printed one where it may be compared."""

    ours: list[float] = field(default_factory=list)
    printed: float | None = None


def draw_tables(plan: Plan, folder: Path) -> list[Path]:
    """Draw ``figures/<paper>/<table>.svg`` and ``.png`` of each table of a record, from its comparison's CSV
    files; return their paths. A table without a number of ours has no picture.
    """
    paths = []
    for paper, name in plan.tables:
        with mpl.rc_context(STYLE):
            picture = table_picture(plan.papers[paper].table(name), folder / "comparison")
            if picture is None:
                continue
            for suffix in (".svg", ".png"):
                image = io.BytesIO()
                dated = {"Date": None} if suffix == ".svg" else {}
                picture.savefig(image, format=suffix[1:], dpi=150, bbox_inches="tight", metadata=dated)
                path = folder / "figures" / paper / f"{name}{suffix}"
                write_bytes(path, image.getvalue())
                paths.append(path)
    return paths


def table_picture(table: PaperTable, comparison: Path) -> Figure | None:
    """Return the picture of a table from a folder of comparisons, one panel per column; None without numbers
    of ours. Where a stand-in ran, the printed numbers are not shown: they are not to be compared.
    """
    columns = _columns(comparison, table.paper, table.table)
    return _draw(table, columns) if columns else None


def _columns(folder: Path, paper: str, table: str) -> dict[str, dict[str, _Line]]:
    """Return what is drawn: column → row → line, for the first columns that have values of ours."""
    columns: dict[str, dict[str, _Line]] = defaultdict(lambda: defaultdict(_Line))
    compared = set()
    for row in _rows(folder / f"{paper}.seeds.csv"):
        if row["table"] == table and row["status"] == "completed":
            columns[row["column"]][row["row"]].ours.append(float(row["value"]))
            if row["stand_in"] == "no":
                compared.add(row["column"])
    shown = dict(list(columns.items())[:PANELS])
    for row in _rows(folder / f"{paper}.csv"):
        lines = shown.get(row["column"], {}) if row["table"] == table else {}
        if row["row"] in lines and row["column"] in compared:
            lines[row["row"]].printed = _number(row["printed"])
    return shown


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _draw(table: PaperTable, columns: dict[str, dict[str, _Line]]) -> Figure:
    rows = list(dict.fromkeys(row for lines in columns.values() for row in lines))
    picture = Figure(figsize=(2.2 + 2.6 * len(columns), 1.2 + 0.34 * len(rows)))
    panels = picture.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (column, lines) in zip(panels, columns.items(), strict=True):
        _draw_column(axes, rows, lines)
        axes.set_xlabel(_title(table, rows[0], column))
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.02), frameon=False)
    picture.tight_layout(rect=(0, 0, 1, 0.95))
    return picture


def _title(table: PaperTable, row: str, column: str) -> str:
    found = table.column(column)
    unit = " (%)" if found.unit == "percent" else ""
    return " ".join([*table.group(row, column).heading, found.title]) + unit


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
