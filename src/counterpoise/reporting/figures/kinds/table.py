"""Bars of a table's values, one panel per dataset (MLB, Figures 3 and 6)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.declare import figure_kind, setting
from counterpoise.judging.entries import row_label
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Column, Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers
from counterpoise.reporting.figures.style import legend_above, mean_bars
from counterpoise.results.layout import LayoutFigure, LayoutValue
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results


@figure_kind(name="table", title="Bars of a table's values")
class Table(FigureKind):
    """A panel for each first heading of a column group (the dataset), a bar for what follows it (the setting).

    Of each of the ``gains``, the smallest and the largest difference between the mean of the row ``gain_of`` and the
    best mean among the rows ``gain_over`` is a number of the figure.
    """

    metric: str = setting("", doc="the metric that is drawn; default: that of the table's first column")
    gain_of: str = setting("", doc="the row whose gains are numbers of the figure")
    gain_over: list[str] = setting([], doc="the rows whose best it is compared with")
    gains: dict[str, list[str]] = setting({}, doc="name -> columns, as <table>.<column>")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        figure = paper.figure(place.figure)
        table = paper.table(figure.table)
        metric = self.metric or table.columns[0].metric
        points = []
        for value in results.layout.values_of(paper.paper, figure.table):
            column = table.column(value.column)
            if value.cell is None or column.metric != metric or value.row not in table.row_ids:
                continue
            heading = table.group(value.row, value.column).heading or (column.title,)
            method = row_label(value.row, None if value.variant == "published" else value.variant)
            for seed, number in _values(results, value, column).finished.items():
                points.append(
                    {
                        "panel": heading[0],
                        "setting": " / ".join(heading[1:]) or column.title,
                        "method": method,
                        "seed": seed,
                        "metric": metric,
                        "unit": column.unit,
                        "value": number,
                    }
                )
        return pd.DataFrame(points, columns=["panel", "setting", "method", "seed", "metric", "unit", "value"])

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """``smallest_gain`` and ``largest_gain`` of each of the gains, of means over seeds (under the seed -1)."""
        gains: Numbers = {}
        for name, columns in self.gains.items():
            differences = [
                gain for gain in (self._gain(results, paper, column) for column in columns) if gain is not None
            ]
            if len(differences) == len(columns):  # a range over some of them would be another range
                gains[name, "smallest_gain"] = {-1: min(differences)}
                gains[name, "largest_gain"] = {-1: max(differences)}
        return gains

    def _gain(self, results: Results, paper: Paper, name: str) -> float | None:
        """Return the gain in a column, None where it cannot be taken."""
        table_name, _, column_id = name.partition(".")
        table = paper.table(table_name)
        column = table.column(column_id)
        table.row(self.gain_of)
        means = {
            value.row: _values(results, value, column).mean
            for value in results.layout.values_of(paper.paper, table_name)
            if value.column == column_id and value.cell is not None and value.variant in (None, "published")
        }
        sign = 1.0 if column.better == "higher" else -1.0
        ours = means.get(self.gain_of)
        # A method that the table does not have, or that is not defined here, has no place; one whose runs are missing
        # must not be left out: the gain over the others would be another gain.
        others = [means[row] for row in self.gain_over if row in means]
        if ours is None or not others or any(mean is None for mean in others):
            return None
        return sign * ours - max(sign * mean for mean in others)

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        panels, settings = list(dict.fromkeys(frame["panel"])), list(dict.fromkeys(frame["setting"]))
        counts = [frame[frame["panel"] == name]["setting"].nunique() for name in panels]
        picture.set_size_inches(max(6.4, 1.5 + 1.4 * sum(counts)), 4.4)
        places = picture.subplots(1, len(panels), squeeze=False, sharey=True, width_ratios=counts)[0]
        for axes, name in zip(places, panels, strict=True):
            mean_bars(axes, frame[frame["panel"] == name], across="method", within="setting", members=settings)
            axes.set_title(name, fontsize=9)
        metric, unit = frame["metric"].iloc[0].replace("_", " "), frame["unit"].iloc[0]
        places[0].set_ylabel(f"test {metric} ({'%' if unit == 'percent' else unit})")
        legend_above(picture, 3 if len(settings) in (3, 6) else 4)


def _values(results: Results, value: LayoutValue, column: Column) -> SeedValues:
    return results.seeds(value.cell, results.layout.selection, value.output, column.measure, column.scale)
