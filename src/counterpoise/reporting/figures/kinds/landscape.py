"""Loss and accuracy along random directions around solutions (MMPareto, Figure 5)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from counterpoise.declare import figure_kind
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers, by_seed, columns_of, run_tables, stacked
from counterpoise.reporting.figures.style import legend_above, line_style
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results

COLUMNS = ("direction", "step", "loss", "accuracy", "sharpness")


@figure_kind(name="landscape", title="Loss and accuracy around solutions")
class Landscape(FigureKind):
    """Means over seeds and directions, a line per series; needs the measurement ``landscape``."""

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        tables = run_tables(results, place, place.measurement)
        frames = [columns_of(table, COLUMNS, where).assign(**named) for named, table, where in tables]
        return stacked(frames, "method", "seed", *COLUMNS)

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """``sharpness``, as the measurement defines it."""
        return {
            (str(label), "sharpness"): by_seed(rows.groupby("seed")["sharpness"].first())
            for label, rows in frame.groupby("method", sort=False)
        }

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        left, right = picture.subplots(1, 2)
        for place, (label, rows) in enumerate(frame.groupby("method", sort=False)):
            means = rows.groupby("step")[["loss", "accuracy"]].mean()
            sharpness = rows.groupby("seed")["sharpness"].first().mean()
            look = {"label": f"{label}\n(sharpness {sharpness:.2f})", **line_style(place)}
            left.plot(means.index, means["loss"], **look)
            right.plot(means.index, 100 * means["accuracy"], **look)
        left.set(xlabel="step (filter norms)", ylabel="test loss (nats)", yscale="log")
        # Plain numbers, few enough that their labels do not touch over several decades.
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_formatter(NullFormatter())
        right.set(xlabel="step (filter norms)", ylabel="test accuracy (%)")
        legend_above(picture)
