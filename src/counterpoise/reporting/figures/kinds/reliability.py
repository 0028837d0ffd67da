"""Calibration errors, and accuracy by confidence (MLB, Figure 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.declare import figure_kind
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers, by_seed, completed_runs
from counterpoise.reporting.figures.style import bar_style, legend_above, line_style, marker_style, spread
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results

OUTPUT = "joint"


@figure_kind(name="reliability", title="Calibration")
class Reliability(FigureKind):
    """Bars of the expected calibration error, and a reliability diagram over all seeds' examples beside them.

    The bins are those of the results, which the metric ``ece`` is computed from.
    """

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        selection = results.layout.selection
        points = []
        for label, run in completed_runs(results, place):
            bins = results.details.get((run.cell, run.seed, selection, OUTPUT), {}).get("reliability")  # (bins, 3)
            error = results.seeds(run.cell, selection, OUTPUT, "ece", 100.0).finished.get(run.seed)
            if bins is None or error is None:
                continue
            points += [
                {
                    "method": label,
                    "seed": run.seed,
                    "bin": number,
                    "confidence": 100 * confidence,
                    "accuracy": 100 * accuracy,
                    "count": int(count),
                    "ece": error,
                }
                for number, (count, confidence, accuracy) in enumerate(bins)
                if count > 0
            ]
        columns = ["method", "seed", "bin", "confidence", "accuracy", "count", "ece"]
        return pd.DataFrame(points, columns=columns)

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """``ece``: the expected calibration error in percent."""
        return {(label, "ece"): errors for label, errors in _errors(frame).items()}

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        picture.set_size_inches(7.6, 4.4)
        left, right = picture.subplots(1, 2)
        errors = _errors(frame)
        for place, (label, of_label) in enumerate(errors.items()):
            values = list(of_label.values())
            left.bar(place, np.mean(values), yerr=spread(values), capsize=2, **bar_style(place))
            bins = [part for _, part in frame[frame["method"] == label].groupby("bin")]
            mean = {
                name: [np.average(part[name], weights=part["count"]) for part in bins]
                for name in ("confidence", "accuracy")
            }
            look = {**line_style(place), **marker_style(place)}
            right.plot(mean["confidence"], mean["accuracy"], ms=3, label=label, **look)
        left.set_xticks(range(len(errors)), list(errors), rotation=30, ha="right")
        left.grid(visible=False, axis="x")
        left.set_ylabel("expected calibration error (%)")
        right.plot((0, 100), (0, 100), color="grey", lw=0.8)
        right.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 100))
        legend_above(picture)


def _errors(frame: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Return the calibration error by series and seed."""
    return {
        str(label): by_seed(part.groupby("seed")["ece"].first()) for label, part in frame.groupby("method", sort=False)
    }
