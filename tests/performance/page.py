"""Write docs/performance.md and its figures from the CSV files of results/performance.

``python tests/performance/page.py``, which ``make bench`` runs after the measurements.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from counterpoise import files

matplotlib.rcParams["svg.hashsalt"] = "counterpoise"  # the same figure is the same file

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE, FIGURES = ROOT / "results/performance", ROOT / "docs/performance.md", ROOT / "docs/performance"

Row = dict[str, str]

PANELS = 3

TWO_GRADIENTS = {"mmpareto", "conventional_pareto", "pcgrad", "metabalance"}

COMPARISONS = {
    "steps": "Training steps",
    "end_to_end": "A whole epoch against the usual recipe",
    "processes": "Processes against threads",
    "data": "Data",
}
SERIES = {
    "data_decoding": "Clips like CREMA-D's prepared per second (wall time)",
    "processes_start": "Starting a run (seconds of processor time)",
    "processes_commands": "Commands (seconds of processor time; goals 0.3 for help, 3 for a plan)",
    "processes_workers": "Throughput against workers (uniform, cg_mnist, batch 64, channels last, wall time)",
    "steps_batch": "Throughput against batch (cg_mnist)",
    "steps_parameters": "Throughput against parameters (conv4 encoders, batch 64)",
    "settings_accuracy": "Accuracy under other settings (cg_digits, test points of the last epoch)",
}

INTRODUCTION = """\
# Performance

Made by `make bench` (`python tests/performance/page.py` alone writes this page from
`results/performance/`); do not edit.

Every ratio is the median over rounds in which both sides ran one after the other, by processor time unless
the heading says wall time; in brackets its quartiles over the rounds. Both sides run in one process, but for
whole epochs and for processes against threads: there each side is a process of its own. A *cost* is
time over the baseline's time (small is good), a *speed-up* the reverse. What can be said without a clock is
held by ordinary tests (`tests/training/test_gates.py`): passes through every layer, calls of the library,
no wait for the device.

The floors. f is one forward pass, b one backward pass. The plain sum of the losses takes f + b, and so do
methods that scale losses or gradients. Methods that need the gradients of two objectives by themselves take
f + 2b. Three modalities do not change that: a unimodal loss reaches its own encoder alone. Nor does MBT,
where the sum of the unimodal losses is one objective (`engine/gradients.py`). T tasks on a trunk take f +
Tb. AGM takes 2f + 2b and a row of zeros through every encoder, 2 + 1/B in all.
"""

NOT_MEASURED = """\
## Not measured

No GPU was at hand. TF32 and bf16 on a device, jobs that share one, achieved FLOP/s and memory are not measured;
seeds stacked in one process are not built. What is known of a step on a device is that it waits for
nothing, branches on no value (every method's runs under `FakeTensorMode`) and makes no tensor on the host
(every method's runs on torch's meta device); both are properties that `counterpoise check` asks of a
new method too.
"""


def read(stem: str) -> list[Row]:
    path = RESULTS / f"{stem}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by(rows: list[Row], column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def floor(row: Row, group: list[Row]) -> float | None:
    """Return the floor of a method's step over the plain sum's, from the forward pass of the same rounds."""
    forward = [float(other["ratio"]) for other in group if other["name"] == "forward"]
    if not forward or row["baseline"] != "uniform" or row["name"] == "forward":
        return None
    if row["name"] == "agm":
        return 2 + 1 / int(row["where"].split("batch ")[1].split(",")[0])
    return 2 - forward[0] if row["name"] in TWO_GRADIENTS else 1.0


def comparison_table(group: list[Row]) -> Iterator[str]:
    yield "| | against | ratio | goal | reached | floor | rounds | seconds |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in group:
        low, middle, high = (float(row[name]) for name in ("low", "ratio", "high"))
        sign = "≤" if row["kind"] == "cost" else "≥"
        wanted = float(row["goal"]) if row["goal"] else None
        reached = "" if wanted is None else "yes" if (middle <= wanted) == (row["kind"] == "cost") else "**no**"
        goal = "" if wanted is None else f"{sign} {wanted:.3g}"
        least = floor(row, group)
        yield (
            f"| {row['name']} | {row['baseline']} | {middle:.3g} [{low:.3g}, {high:.3g}] | {goal} "
            f"| {reached} "
            f"| {'' if least is None else f'{least:.3g}'} | {row['rounds']} | {float(row['seconds']):.3g} |"
        )


def series_table(rows: list[Row]) -> Iterator[str]:
    names = [name for name in rows[0] if name != "machine"]
    yield "| " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|---" * len(names) + "|"
    for row in rows:
        yield "| " + " | ".join(short(row[name]) for name in names) + " |"


def short(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def draw_steps(rows: list[Row], path: Path) -> None:
    """Draw each method's step over the plain sum's, with its floor."""
    groups = [g for g in by(rows, "where").values() if any(floor(row, g) is not None for row in g)]
    rows_of_panels = math.ceil(len(groups) / PANELS)
    figure = Figure(figsize=(3.2 * PANELS, 3.8 * rows_of_panels))
    axes = list(figure.subplots(rows_of_panels, PANELS, squeeze=False).flat)
    for axis in axes[len(groups) :]:
        axis.remove()
    for axis, group in zip(axes, groups, strict=False):
        shown = [row for row in group if floor(row, group) is not None]
        places = range(len(shown))
        axis.barh(places, [float(row["ratio"]) for row in shown], color="#9db7d5")
        axis.scatter([floor(row, shown + group) for row in shown], places, marker="|", s=160, color="#b03030", zorder=3)
        axis.set_yticks(places, [row["name"] for row in shown], fontsize=7)
        axis.invert_yaxis()
        axis.set_title(group[0]["where"], fontsize=7)
        axis.set_xlabel("time / uniform's (red: floor)", fontsize=7)
    save(figure, path)


def draw_series(rows: list[Row], x: str, path: Path) -> None:
    figure = Figure(figsize=(4.2, 3))
    axis = figure.subplots()
    for method, points in by(rows, "method").items():
        values = [(float(row[x]), float(row["samples_per_second"])) for row in points]
        axis.plot(*zip(*values, strict=True), marker="o", label=method)
    axis.set(xscale="log", yscale="log", xlabel=x, ylabel="samples per second and core")
    axis.legend(fontsize=7)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def write_page() -> None:
    notes = RESULTS / "notes.md"  # written by hand, on this set of measurements
    parts = [INTRODUCTION, *([notes.read_text(encoding="utf-8")] if notes.is_file() else [])]
    for stem, title in COMPARISONS.items():
        rows = read(stem)
        if not rows:
            continue
        parts.append(f"## {title}\n\nMachine: {'; '.join(by(rows, 'machine'))}.")
        if stem == "steps":
            draw_steps(rows, FIGURES / "steps.svg")
            parts.append("![Each method's step against its floor](performance/steps.svg)")
        for where, group in by(rows, "where").items():
            parts.append("\n".join([*([f"**{where}**", ""] if where else []), *comparison_table(group)]))
    for stem, title in SERIES.items():
        rows = read(stem)
        if not rows:
            continue
        parts.append(f"## {title}\n\nMachine: {'; '.join(by(rows, 'machine'))}.")
        if "samples_per_second" in rows[0] and "method" in rows[0]:
            x = next(iter(rows[0]))
            draw_series(rows, x, FIGURES / f"{x}.svg")
            parts.append(f"![{title}](performance/{x}.svg)")
        parts.append("\n".join(series_table(rows)))
    parts.append(NOT_MEASURED)
    files.write_text(PAGE, "\n\n".join(part.rstrip("\n") for part in parts) + "\n")


if __name__ == "__main__":
    write_page()
