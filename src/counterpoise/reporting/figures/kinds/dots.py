"""Every seed, our mean and the printed number of a table, row by row: the picture of a published table."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from counterpoise.comparability import OTHER
from counterpoise.declare import figure_kind, setting
from counterpoise.judging.entries import row_label
from counterpoise.judging.gate import comparability_of
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.papers.tables import PaperTable
from counterpoise.reporting.figures.interface import FigureKind
from counterpoise.reporting.figures.style import COLOURS, legend_above
from counterpoise.results.layout import LayoutFigure, LayoutValue
from counterpoise.results.table import Results


@figure_kind(name="dots", title="Every seed of a table's values, beside the printed ones")
class Dots(FigureKind):
    """A panel for each of the table's first columns that have values of ours.

    Where a stand-in ran the printed number is left out; where the level is not comparable it is gray, and says so.
    """

    columns: int = setting(4, minimum=1, doc="how many columns are drawn")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        table = paper.table(paper.figure(place.figure).table)
        points, drawn = [], []
        for value in results.layout.values_of(paper.paper, table.table):
            if value.cell is None:
                continue
            column = table.column(value.column)
            selection = results.layout.selection
            values = results.seeds(value.cell, selection, value.output, column.measure, column.scale).finished
            if values and value.column not in drawn:
                drawn.append(value.column)
            label = row_label(value.row, value.variant)
            own = value.stand_in or value.row not in table.row_ids  # a row that the benchmark adds
            printed = None if own else table.value(value.row, value.column).value
            comparable = printed is not None and self._comparable(results, paper, table, value, value.cell)
            common = {
                "column": value.column,
                "title": table.column_name(column.id),
                "unit": column.unit,
                "method": label,
            }
            points += [
                {**common, "comparable": comparable, "seed": seed, "value": ours, "printed": printed}
                for seed, ours in values.items()
            ]
        names = ["column", "title", "unit", "method", "comparable", "seed", "value", "printed"]
        frame = pd.DataFrame(points, columns=names)
        return frame[frame["column"].isin(drawn[: self.columns])].astype({"printed": float})

    @staticmethod
    def _comparable(results: Results, paper: Paper, table: PaperTable, value: LayoutValue, name: str) -> bool:
        cell = results.layout.cells[name]
        group, data = table.group(value.row, value.column), results.layout.data[cell.data]
        gate = comparability_of(paper, group, value, cell, data, results.n_test(name))
        return gate.level != OTHER

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        rows = list(dict.fromkeys(frame["method"]))
        columns = list(dict.fromkeys(frame["column"]))
        picture.set_size_inches(max(4.8, 2.2 + 2.6 * len(columns)), 1.8 + 0.34 * len(rows))
        panels = picture.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, column in zip(panels, columns, strict=True):
            part = frame[frame["column"] == column]
            _draw_column(axes, rows, part)
            unit = " (%)" if part["unit"].iloc[0] == "percent" else ""
            axes.set_xlabel(part["title"].iloc[0] + unit)
        panels[0].set_yticks(range(len(rows)), rows)
        panels[0].invert_yaxis()
        legend_above(picture, 3)


def _draw_column(axes: Axes, rows: list[str], frame: pd.DataFrame) -> None:
    lines = [rows.index(name) for name in frame["method"]]
    axes.scatter(frame["value"], lines, s=14, color=COLOURS[5], alpha=0.6, linewidths=0, label="one seed")
    means = frame.groupby("method", sort=False)[["value", "printed"]].mean()
    lines = [rows.index(name) for name in means.index]
    axes.scatter(means["value"], lines, s=60, marker="|", color=COLOURS[0], linewidths=2.2, label="our mean")
    comparable = frame.groupby("method", sort=False)["comparable"].all()
    for chosen, colour, label in ((comparable, COLOURS[1], "printed"), (~comparable, "0.6", "printed, not comparable")):
        printed = means["printed"].where(chosen)
        if printed.notna().any():
            axes.scatter(
                printed, lines, s=34, marker="D", facecolors="none", edgecolors=colour, linewidths=1.4, label=label
            )
