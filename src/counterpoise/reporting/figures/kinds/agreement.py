"""What two unimodal models get right, crossed with what each multimodal one gets right (MLB, Figure 4)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.declare import figure_kind, setting
from counterpoise.errors import UserError
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, completed_runs
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results, RunEntry

MULTIMODAL = ("right", "wrong")


@figure_kind(name="agreement", title="Agreement of multimodal and unimodal predictions")
class Agreement(FigureKind):
    """A matrix per multimodal series; runs of one seed are compared, example by example.

    ``alone`` names the two unimodal models: what each is called in a case (``Audio True``) and its series.
    """

    alone: dict[str, str] = setting({}, doc="name in the cases -> label of the unimodal series; two of them")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        labels = [series.label for series in place.series]
        if len(self.alone) != 2 or not set(self.alone.values()) <= set(labels):
            raise UserError(f"alone: must name two series of the figure, not {self.alone}; series: {', '.join(labels)}")
        (first, first_label), (second, second_label) = self.alone.items()
        cases = {
            "Both False": (False, False),
            f"{first} True": (True, False),
            f"{second} True": (False, True),
            "Both True": (True, True),
        }
        right = {(label, run.seed): _right(results, run) for label, run in completed_runs(results, place)}
        shares = []
        for (label, seed), multimodal in right.items():
            alone = right.get((first_label, seed)), right.get((second_label, seed))
            if label in self.alone.values() or multimodal is None or any(hits is None for hits in alone):
                continue
            if len({hits.shape for hits in (multimodal, *alone)}) > 1:
                raise UserError(f"{label}, seed {seed}: was tested on other examples than the unimodal models")
            for case, hits in cases.items():
                chosen = (alone[0] == hits[0]) & (alone[1] == hits[1])
                for name, agrees in zip(MULTIMODAL, (multimodal, ~multimodal), strict=True):
                    share = 100 * float((chosen & agrees).mean())
                    shares.append({"method": label, "seed": seed, "unimodal": case, "multimodal": name, "share": share})
        return pd.DataFrame(shares, columns=["method", "seed", "unimodal", "multimodal", "share"])

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        methods, cases = list(dict.fromkeys(frame["method"])), list(dict.fromkeys(frame["unimodal"]))
        means = frame.groupby(["method", "multimodal", "unimodal"])["share"].mean()
        panels = picture.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        most = float(means.max())
        for axes, method in zip(panels, methods, strict=True):
            shares = np.array([[means[method, name, case] for case in cases] for name in MULTIMODAL])  # (2, 4)
            axes.imshow(shares, cmap="cividis", vmin=0, vmax=most, aspect="auto")
            axes.grid(visible=False)
            for (line, column), share in np.ndenumerate(shares):
                colour = "black" if share > most / 2 else "white"
                axes.text(column, line, f"{share:.1f}", ha="center", va="center", color=colour, fontsize=8)
            axes.set_xticks(range(len(cases)), cases, rotation=60, ha="right", fontsize=8)
            axes.set_yticks((0, 1), MULTIMODAL)
            axes.set_title(method, fontsize=9)
            axes.set_xlabel("unimodal models", fontsize=8)
        panels[0].set_ylabel("multimodal prediction (% of test)")

    def without_rows(self) -> set[str]:
        return set(self.alone.values())


def _right(results: Results, run: RunEntry) -> np.ndarray | None:
    """Return which examples a run got right: a unimodal model by its own output, any other by the joint one."""
    settings = results.cell(run.cell).config.get("method", {}).get("settings", {})
    return results.correct.get((run.cell, run.seed, results.layout.selection, settings.get("modality", "joint")))
