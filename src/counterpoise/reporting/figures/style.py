"""How figures look, and what several kinds draw alike: bars of means, a legend above the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

# Okabe and Ito (2008): distinguishable with every common kind of colour blindness. Line styles, markers and
# hatches tell the same things apart once more, for print without colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++", "--")
STYLE: dict[str, Any] = {
    "font.size": 9,
    "svg.hashsalt": "counterpoise",
    "svg.fonttype": "path",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "legend.fontsize": 8,
}


def line_style(place: int) -> dict[str, Any]:
    """Return colour and line style of the series at a place."""
    return {"color": COLOURS[place % len(COLOURS)], "ls": LINES[place % len(LINES)]}


def marker_style(place: int) -> dict[str, Any]:
    """Return colour and marker of the series at a place."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def bar_style(place: int) -> dict[str, Any]:
    """Return colour, hatch and edge of the bars of the series at a place."""
    colour, hatch = COLOURS[place % len(COLOURS)], HATCHES[place % len(HATCHES)]
    return {"color": colour, "hatch": hatch, "edgecolor": "white"}


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation (divisor n - 1), 0 below two values: the length of an error bar."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def mean_bars(axes: Axes, frame: pd.DataFrame, *, across: str, within: str, members: Sequence[str]) -> None:
    """Draw groups of bars: the mean of ``value`` over seeds, with its standard deviation where there are several.

    Args:
        across: the column whose values are the groups, along the axis.
        within: the column whose values are the bars of a group.
        members: all values of ``within`` in the figure; each keeps its place, colour and hatching in every panel.
    """
    groups = list(dict.fromkeys(frame[across]))
    here = [member for member in members if member in set(frame[within])]
    values = {name: part["value"].tolist() for name, part in frame.groupby([across, within], sort=False)}
    width = 0.8 / len(here)
    for place, member in enumerate(here):
        shown = [number for number, group in enumerate(groups) if (group, member) in values]
        axes.bar(
            [number + (place - (len(here) - 1) / 2) * width for number in shown],
            [np.mean(values[groups[number], member]) for number in shown],
            width,
            yerr=[spread(values[groups[number], member]) for number in shown],
            capsize=2,
            label=str(member),
            **bar_style(list(members).index(member)),
        )
    axes.set_xticks(range(len(groups)), [str(group) for group in groups], rotation=30, ha="right")
    axes.grid(visible=False, axis="x")


def legend_above(picture: Picture, columns: int = 4) -> None:
    """Put one legend for all axes between the title and them, where it covers nothing."""
    legends = [axes.get_legend_handles_labels() for axes in picture.axes]
    handles = {label: handle for pair in legends for handle, label in zip(*pair, strict=True)}
    picture.legend(handles.values(), handles, loc="outside upper center", ncols=columns, frameon=False)
