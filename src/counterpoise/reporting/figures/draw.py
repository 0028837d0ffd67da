"""From a figure's CSV to SVG and PNG. Legible in print, and for the colour-blind: Okabe and Ito's colours,
and a line style, marker or hatching of its own for every method.
"""

from __future__ import annotations

import csv
import io
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from counterpoise import files
from counterpoise.planning.plan import Plan, PlannedFigure
from counterpoise.reporting.figures.collect import collect
from counterpoise.reporting.words import seeds_in_all

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++", "--")
STYLE = {
    "font.size": 9,
    "svg.hashsalt": "counterpoise",
    "svg.fonttype": "path",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "legend.fontsize": 8,
}
SUFFIXES = (".csv", ".svg", ".png")
OUTPUTS = {"joint": "multimodal", "visual": "unimodal, video"}

Rows = list[dict[str, Any]]


def write_figure(plan: Plan, root: Path, paper: str, name: str) -> list[Path]:
    """Write a figure as CSV, SVG and PNG below ``results/figures``; the pictures are drawn from the CSV."""
    planned = plan.figure(paper, name)
    base = Path(root) / "results/figures" / paper / name
    paths = [base.with_name(f"{name}{suffix}") for suffix in SUFFIXES]
    rows = collect(plan, root, planned)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(paths[0], text.getvalue())
    stored = read_rows(paths[0])
    with mpl.rc_context(STYLE):
        picture = draw(planned, stored, caption(planned, stored, plan.benchmark.scale))
        for path in paths[1:]:
            image = io.BytesIO()
            dated = {"Date": None} if path.suffix == ".svg" else {}
            picture.savefig(image, format=path.suffix[1:], dpi=200, bbox_inches="tight", metadata=dated)
            files.write_bytes(path, image.getvalue())
    return paths


def read_rows(path: Path) -> Rows:
    """Read a figure's CSV; what reads as a number is one."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def caption(planned: PlannedFigure, rows: Rows, scale: str) -> str:
    """Return the line under a figure: on what its rows were made, of which seeds, and what is not there.

    ``scale`` is the benchmark's.
    """
    parts = []
    cells = [cell for _, cell, _ in planned.cells if cell is not None]
    if cells:
        parts.append(f"{cells[0].dataset}, {cells[0].model}, {cells[0].protocol}")
    drawn = _seeds(rows)
    if drawn:
        parts.append(str(seeds_in_all(drawn)))
    if planned.stand_in or (planned.figure.table and scale == "tiny"):
        parts.append("stand-in data: not comparable with the paper")
    parts += [f"{label}: {reason}" for label, cell, reason in planned.cells if cell is None]
    return "; ".join([*parts, *([planned.note] if planned.note else [])])


def _seeds(rows: Rows) -> list[set[int]]:
    """Return the seeds of each thing that is drawn; a formula has none."""
    found: dict[tuple[Any, ...], set[int]] = {}
    for row in rows:
        if "seed" in row:
            thing = tuple(row.get(name) for name in ("panel", "method", "output"))
            found.setdefault(thing, set()).add(int(row["seed"]))
    return list(found.values())


def draw(planned: PlannedFigure, rows: Rows, below: str) -> Picture:
    """Return the picture of a figure's rows, with the line ``below`` it."""
    picture = Picture(figsize=(6.4, 4.0), layout="constrained")
    _DRAWERS[planned.figure.kind](picture, rows)
    if picture.legends:
        # Where a legend stands above the axes, a title of the picture's own would lie on it.
        picture.legends[0].set_title(planned.figure.title, {"size": 10})
    else:
        picture.suptitle(planned.figure.title, fontsize=10)
    if below:
        # A line holds about 15 characters of this size per inch.
        lines = textwrap.wrap(below, int(15 * picture.get_figwidth()))
        picture.supxlabel("\n".join(lines), fontsize=7.5)
    return picture


def _values(rows: Rows, name: str) -> list[Any]:
    return list(dict.fromkeys(row[name] for row in rows))


def _where(rows: Rows, **wanted: Any) -> Rows:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _mean_bars(axes: Axes, rows: Rows, across: str, within: str, value: str, members: list[str]) -> None:
    """Draw groups of bars, the mean over seeds, with the standard deviation where there are several.

    ``members`` are the bars that a group may have, each with its place, colour and hatching in every picture
    of a figure.
    """
    groups = _values(rows, across)
    here = [member for member in members if member in _values(rows, within)]
    width = 0.8 / len(here)
    for place, member in enumerate(here):
        found = [[row[value] for row in _where(rows, **{across: g, within: member})] for g in groups]
        shown = [number for number, values in enumerate(found) if values]
        look = members.index(member)
        axes.bar(
            [number + (place - (len(here) - 1) / 2) * width for number in shown],
            [np.mean(found[number]) for number in shown],
            width,
            yerr=[np.std(found[n], ddof=1) if len(found[n]) > 1 else 0.0 for n in shown],
            capsize=2,
            label=str(member),
            color=COLOURS[look % len(COLOURS)],
            hatch=HATCHES[look % len(HATCHES)],
            edgecolor="white",
        )
    axes.set_xticks(range(len(groups)), [str(group) for group in groups], rotation=30, ha="right")
    axes.grid(visible=False, axis="x")


def _legend_above(picture: Picture, columns: int = 4) -> None:
    """Put one legend for all axes between the title and them, where it covers nothing."""
    found = [axes.get_legend_handles_labels() for axes in picture.axes]
    handles = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    picture.legend(handles.values(), handles, loc="outside upper center", ncols=columns, frameon=False)


def _draw_cosine(picture: Picture, rows: Rows) -> None:
    axes = picture.subplots()
    for seed in _values(rows, "seed"):
        found = _where(rows, seed=seed)
        axes.plot(
            [r["iteration"] for r in found],
            [r["cosine"] for r in found],
            ".",
            ms=2,
            alpha=0.6,
            color=COLOURS[int(seed) % len(COLOURS)],
            label=f"seed {seed:.0f}",
        )
    axes.axhline(0, color="black", lw=0.8)
    share = 100 * np.mean([row["cosine"] < 0 for row in rows])
    axes.set(xlabel="iteration", ylabel="cosine of the two gradients (−1 to 1)", ylim=(-1.05, 1.05))
    axes.set_title(f"{share:.1f} % of iterations conflict (cosine below 0)", fontsize=8)
    axes.legend(markerscale=4)


def _draw_bars(picture: Picture, rows: Rows) -> None:
    axes = picture.subplots()
    named = [{**row, "output": OUTPUTS.get(row["output"], f"unimodal, {row['output']}")} for row in rows]
    _mean_bars(axes, named, "method", "output", "accuracy", _values(named, "output"))
    axes.set_ylabel("test accuracy (%)")
    _legend_above(picture)


def _draw_table(picture: Picture, rows: Rows) -> None:
    """One panel per dataset, methods along it, and a bar per backbone and fusion, as the paper draws it."""
    (value,) = (name for name in rows[0] if name not in ("panel", "method", "seed"))
    split = [dict(row) for row in rows]
    for row in split:
        row["dataset"], _, row["setting"] = row["panel"].partition(" / ")
    datasets, settings = _values(split, "dataset"), _values(split, "setting")
    counts = [len(_values(_where(split, dataset=name), "setting")) for name in datasets]
    picture.set_size_inches(max(6.4, 1.5 + 1.4 * sum(counts)), 4.4)
    panels = picture.subplots(1, len(datasets), squeeze=False, sharey=True, width_ratios=counts)[0]
    for axes, name in zip(panels, datasets, strict=True):
        _mean_bars(axes, _where(split, dataset=name), "method", "setting", value, settings)
        axes.set_title(name, fontsize=9)
    panels[0].set_ylabel("test accuracy (%)" if value == "accuracy" else f"{value} (%)")
    _legend_above(picture, 3 if len(settings) in (3, 6) else 4)


def _draw_magnitudes(picture: Picture, rows: Rows) -> None:
    axes = picture.subplots()
    kinds = ("multimodal", "unimodal")
    edges = np.histogram_bin_edges([row[kind] for row in rows for kind in kinds], bins=30)
    for place, kind in enumerate(kinds):
        axes.hist(
            [row[kind] for row in rows],
            edges,
            label=f"{kind} loss",
            alpha=0.7,
            color=COLOURS[place],
            hatch=HATCHES[place],
            edgecolor="white",
        )
    ratios = [_where(rows, seed=seed)[0]["k"] for seed in _values(rows, "seed")]
    seeds = f"{len(ratios)} seed{'' if len(ratios) == 1 else 's'}"
    axes.set_title(f"covariance ratio k = {np.mean(ratios):.2f}, mean over {seeds}", fontsize=8)
    axes.set(xlabel="gradient norm", ylabel="mini-batches")
    _legend_above(picture)


def _draw_landscape(picture: Picture, rows: Rows) -> None:
    left, right = picture.subplots(1, 2)
    for place, method in enumerate(_values(rows, "method")):
        found = _where(rows, method=method)
        steps = sorted(_values(found, "step"))
        sharpness = np.mean([_where(found, seed=seed)[0]["sharpness"] for seed in _values(found, "seed")])
        label = f"{method}\n(sharpness {sharpness:.2f})"
        look = {"color": COLOURS[place], "ls": LINES[place], "label": label}
        for axes, name, scale in ((left, "loss", 1), (right, "accuracy", 100)):
            axes.plot(steps, [scale * np.mean([r[name] for r in _where(found, step=s)]) for s in steps], **look)
    left.set(xlabel="step (filter norms)", ylabel="test loss (nats)", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="step (filter norms)", ylabel="test accuracy (%)")
    _legend_above(picture)


def _draw_agreement(picture: Picture, rows: Rows) -> None:
    methods, cases = _values(rows, "method"), _values(rows, "unimodal")
    panels = np.atleast_1d(picture.subplots(1, len(methods), sharey=True))
    found = {(row["method"], row["unimodal"], row["correct"]) for row in rows}
    means = {
        key: np.mean([r["share"] for r in _where(rows, method=key[0], unimodal=key[1], correct=key[2])])
        for key in found
    }
    most = max(means.values())
    for axes, method in zip(panels, methods, strict=True):
        shares = [[means[method, case, right] for case in cases] for right in ("True", "False")]
        axes.imshow(shares, cmap="cividis", vmin=0, vmax=most, aspect="auto")
        axes.grid(visible=False)
        for (line, column), share in np.ndenumerate(np.array(shares)):
            colour = "black" if share > most / 2 else "white"
            axes.text(column, line, f"{share:.1f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(cases)), cases, rotation=60, ha="right", fontsize=8)
        axes.set_yticks((0, 1), ("right", "wrong"))
        axes.set_title(method, fontsize=9)
        axes.set_xlabel("unimodal models", fontsize=8)
    panels[0].set_ylabel("multimodal prediction (% of test)")


def _draw_reliability(picture: Picture, rows: Rows) -> None:
    picture.set_size_inches(7.6, 4.4)
    left, right = picture.subplots(1, 2)
    methods = _values(rows, "method")
    for place, method in enumerate(methods):
        found = _where(rows, method=method)
        errors = [_where(found, seed=seed)[0]["ece"] for seed in _values(found, "seed")]
        spread = np.std(errors, ddof=1) if len(errors) > 1 else 0.0
        left.bar(
            place,
            np.mean(errors),
            yerr=spread,
            capsize=2,
            color=COLOURS[place],
            hatch=HATCHES[place],
            edgecolor="white",
        )
        look = {"color": COLOURS[place], "ls": LINES[place], "marker": MARKERS[place]}
        right.plot(*_reliability(found), ms=3, label=method, **look)
    left.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
    left.grid(visible=False, axis="x")
    left.set_ylabel("expected calibration error (%)")
    right.plot((0, 100), (0, 100), color="grey", lw=0.8)
    right.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 100))
    _legend_above(picture)


def _reliability(rows: Rows) -> tuple[list[float], list[float]]:
    """Return confidence and accuracy by bin, over all seeds' samples in it."""
    found = [_where(rows, bin=number) for number in sorted(_values(rows, "bin"))]
    weights = [[row["count"] for row in inside] for inside in found]
    return tuple(
        [np.average([row[name] for row in inside], weights=w) for inside, w in zip(found, weights, strict=True)]
        for name in ("confidence", "accuracy")
    )


def _draw_bound(picture: Picture, rows: Rows) -> None:
    axes = picture.subplots()
    axes.plot([row["k"] for row in rows], [row["bound"] for row in rows], color=COLOURS[0])
    axes.axvline(3, color="grey", lw=0.8, ls="--")
    axes.axhline(1, color="grey", lw=0.8, ls="--")
    axes.annotate("1 at k = 3", (3, 1), (8, -14), textcoords="offset points", fontsize=8)
    axes.set(
        xlabel="k, covariance of the unimodal over the multimodal gradient (ratio of traces)",
        ylabel="(3k − 1) / (2k + 2)",
    )


def _draw_coefficient(picture: Picture, rows: Rows) -> None:
    axes = picture.subplots()
    pairs = itertools.product(_values(rows, "alpha"), _values(rows, "beta_max"))
    for place, (alpha, beta) in enumerate(pairs):
        found = _where(rows, alpha=alpha, beta_max=beta)
        axes.plot(
            [r["ratio"] for r in found],
            [r["coefficient"] for r in found],
            color=COLOURS[place],
            ls=LINES[place],
            label=rf"$\alpha$ = {alpha:g}, $\beta_{{max}}$ = {beta:g}",
        )
    axes.axhline(1, color="grey", lw=0.8)
    axes.set(xlabel="performance ratio r (others over own)", ylabel="coefficient k (times the gradient)")
    axes.legend()


_DRAWERS: dict[str, Callable[[Picture, Rows], None]] = {
    "cosine": _draw_cosine,
    "bars": _draw_bars,
    "table": _draw_table,
    "magnitudes": _draw_magnitudes,
    "landscape": _draw_landscape,
    "agreement": _draw_agreement,
    "reliability": _draw_reliability,
    "bound": _draw_bound,
    "coefficient": _draw_coefficient,
}
