"""Histograms of gradient norms over mini-batches at fixed parameters (MMPareto, Figures 1d and 4b)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.declare import figure_kind, setting
from counterpoise.metrics import variance_ratio
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers, by_seed, columns_of, run_tables, stacked
from counterpoise.reporting.figures.style import bar_style, legend_above
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results

GRADIENTS = ("multimodal", "unimodal")


@figure_kind(name="magnitudes", title="Gradient norms over mini-batches")
class Magnitudes(FigureKind):
    """One panel per series; needs the measurement ``gradients``, of the encoder that is the figure's ``output``."""

    bars: int = setting(30, minimum=2, doc="bars of the histogram")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        frames = []
        for named, table, where in run_tables(results, place, place.measurement):
            rows = columns_of(table, ("encoder", "batch", *GRADIENTS, "k"), where)
            frames.append(rows[rows["encoder"] == place.output].assign(**named))
        return stacked(frames, "method", "seed", "batch", *GRADIENTS, "k")

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """Mean and variance (divisor n - 1) of the norms over mini-batches, the ratio of variances, and k.

        The paper's "magnitude covariance" is the variance of the norm. ``k`` is another quantity: the ratio of the
        traces of the gradients' covariances (its Section 3.3.3).
        """
        return _numbers(frame)

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        labels = list(dict.fromkeys(frame["method"]))
        panels = picture.subplots(1, len(labels), sharey=True, squeeze=False)[0]
        edges = np.histogram_bin_edges(frame[list(GRADIENTS)], bins=self.bars)
        numbers = _numbers(frame)
        for axes, label in zip(panels, labels, strict=True):
            rows = frame[frame["method"] == label]
            each = 1 / rows["seed"].nunique()  # so that a bar counts the mini-batches of an average run
            means = {}
            for place, name in enumerate(GRADIENTS):
                axes.hist(
                    rows[name],
                    edges,
                    weights=np.full(len(rows), each),
                    label=f"{name} loss",
                    alpha=0.7,
                    **bar_style(place),
                )
                means[name] = [_mean(numbers[label, f"{name}_{what}"]) for what in ("mean", "variance")]
            said = "; ".join(
                f"{name}: mean {mean:.3g}, variance {variance:.2g}" for name, (mean, variance) in means.items()
            )
            ratio, k = _mean(numbers[label, "variance_ratio"]), _mean(numbers[label, "k"])
            axes.set_title(
                f"norm, {said}\nratio of the variances {ratio:.2f}; ratio of covariances k = {k:.2f}", fontsize=8
            )
            axes.set_xlabel("gradient norm")
        panels[0].set_ylabel("mini-batches of a run")
        legend_above(picture)


def _numbers(frame: pd.DataFrame) -> Numbers:
    numbers: Numbers = {}
    for label, rows in frame.groupby("method", sort=False):
        runs = rows.groupby("seed")
        label = str(label)
        for name in GRADIENTS:
            numbers[label, f"{name}_mean"] = by_seed(runs[name].mean())
            numbers[label, f"{name}_variance"] = by_seed(runs[name].var(ddof=1))
        pairs = runs[["unimodal", "multimodal"]]
        numbers[label, "variance_ratio"] = by_seed(pairs.apply(lambda run: variance_ratio(*run.to_numpy().T)))
        numbers[label, "k"] = by_seed(runs["k"].first())
    return numbers


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values())))
