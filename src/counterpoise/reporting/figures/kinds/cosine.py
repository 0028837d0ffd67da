"""Cosines of the joint and the unimodal gradient along training, by sign (MMPareto, Figures 1a and 4a)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.declare import figure_kind, setting
from counterpoise.metrics import share_of_conflicts
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers, by_seed, columns_of, run_tables, stacked
from counterpoise.reporting.figures.style import COLOURS, legend_above
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results

DIAGNOSTICS = "diagnostics"


@figure_kind(name="cosine", title="Cosine of two gradients along training")
class Cosine(FigureKind):
    """One panel per series, one point per iteration and seed, coloured by sign."""

    first: int = setting(400, minimum=1, doc="how many iterations are drawn")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        frames = []
        for named, table, where in run_tables(results, place, DIAGNOSTICS):
            # Where the modalities' losses all reach an encoder, they are one objective, called "unimodal".
            both = [f"cosine.joint.{objective}.{place.output}" for objective in (place.output, "unimodal")]
            column = next((name for name in both if name in table.columns), both[0])
            steps = columns_of(table, ("step", column), where)
            steps = steps[steps["step"] < self.first].dropna()  # no angle where a gradient is 0
            steps = steps.rename(columns={"step": "iteration", column: "cosine"}).astype({"iteration": int})
            frames.append(steps.assign(**named))
        return stacked(frames, "method", "seed", "iteration", "cosine")

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """``conflicts``: the share of iterations with a cosine below 0, in percent."""
        return {(label, "conflicts"): shares for label, shares in _conflicts(frame).items()}

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        conflicts = _conflicts(frame)
        panels = picture.subplots(1, len(conflicts), sharey=True, squeeze=False)[0]
        for axes, (label, shares) in zip(panels, conflicts.items(), strict=True):
            rows = frame[frame["method"] == label]
            for name, colour, part in (
                ("positive", COLOURS[2], rows[rows["cosine"] >= 0]),
                ("negative: a conflict", COLOURS[1], rows[rows["cosine"] < 0]),
            ):
                axes.plot(part["iteration"], part["cosine"], ".", ms=3, alpha=0.6, color=colour, label=name)
            axes.axhline(0, color="black", lw=0.8)
            share = sum(shares.values()) / len(shares)
            axes.set_title(f"{label}: {share:.1f} % of these iterations conflict", fontsize=8)
            axes.set(xlabel="iteration", ylim=(-1.05, 1.05))
        panels[0].set_ylabel("cosine of the two gradients (−1 to 1)")
        legend_above(picture)
        for handle in picture.legends[0].legend_handles:
            handle.set_markersize(8)


def _conflicts(frame: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Return the share of negative cosines in percent, by series and seed."""
    cosines = frame.groupby(["method", "seed"], sort=False)["cosine"]
    shares = cosines.apply(lambda values: 100 * share_of_conflicts(values.to_numpy()))
    return {label: by_seed(shares[label]) for label in dict.fromkeys(frame["method"])}
