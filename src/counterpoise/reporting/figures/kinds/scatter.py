"""Unimodal against multimodal accuracy of several methods, with two reference lines (MMPareto, Figure 1c)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.declare import figure_kind, setting
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers, by_seed
from counterpoise.reporting.figures.style import LINES, legend_above, marker_style, spread
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results


@figure_kind(name="scatter", title="Unimodal against multimodal accuracy")
class Scatter(FigureKind):
    """A point per method and seed, their mean with standard deviations, and a line for each reference.

    The output whose accuracy is the unimodal one is the figure's ``output``.
    """

    multimodal_line: str = setting("", doc="the series whose multimodal accuracy is a vertical line")
    unimodal_line: str = setting("", doc="the series whose unimodal accuracy is a horizontal line")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        points = []
        for series in place.series:
            if series.cell is None:
                continue
            for axis, output in (("multimodal", "joint"), ("unimodal", place.output)):
                if series.label == {"multimodal": self.unimodal_line, "unimodal": self.multimodal_line}[axis]:
                    continue  # a model with one objective has the other accuracy from an untrained head
                values = results.seeds(series.cell, results.layout.selection, output, "accuracy", 100.0)
                points += [
                    {"method": series.label, "seed": seed, "axis": axis, "accuracy": value}
                    for seed, value in values.finished.items()
                ]
        return pd.DataFrame(points, columns=["method", "seed", "axis", "accuracy"])

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """``multimodal`` and ``unimodal``: accuracies in percent."""
        return {
            (label, axis): by_seed(part.set_index("seed")["accuracy"])
            for (label, axis), part in frame.groupby(["method", "axis"], sort=False)
        }

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        axes = picture.subplots()
        wide = frame.pivot_table(index=["method", "seed"], columns="axis", values="accuracy", sort=False)
        references = {self.multimodal_line, self.unimodal_line}
        for place, label in enumerate(name for name in dict.fromkeys(frame["method"]) if name not in references):
            points = wide.loc[label].dropna() if {"multimodal", "unimodal"} <= set(wide.columns) else wide.iloc[:0]
            if points.empty:
                continue
            x, y = points["multimodal"], points["unimodal"]
            look = marker_style(place)
            axes.plot(x, y, ls="none", ms=3, alpha=0.5, **look)
            axes.errorbar(x.mean(), y.mean(), spread(y), spread(x), ls="none", ms=8, capsize=2, label=label, **look)
        for name, axis, line in (
            (self.multimodal_line, "multimodal", axes.axvline),
            (self.unimodal_line, "unimodal", axes.axhline),
        ):
            values = frame[(frame["method"] == name) & (frame["axis"] == axis)]["accuracy"]
            if len(values) > 0:
                style = LINES[1] if axis == "multimodal" else LINES[3]
                line(values.mean(), color="grey", lw=1.0, ls=style, label=name)
        axes.set(xlabel="multimodal test accuracy (%)", ylabel=f"unimodal test accuracy, {figure.output} (%)")
        legend_above(picture, 3)
