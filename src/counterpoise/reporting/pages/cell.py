"""A cell's page: its place in the tables, selections, curves, confusion, calibration, diagnostics, origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from counterpoise.components import components
from counterpoise.judging.compare import ComparisonRow
from counterpoise.judging.verdicts import SeedValues
from counterpoise.planning.plan import Cell, Plan
from counterpoise.reporting.pages.charts import (
    Confusion,
    LineChart,
    ReliabilityChart,
    Series,
    confusion,
    line_chart,
    mean_of,
    reliability_chart,
)
from counterpoise.reporting.pages.explained import ExplainedNumber
from counterpoise.reporting.pages.recorded import Columns, Data, Run, as_yaml, read_columns, read_runs
from counterpoise.results.results import CellResults

SELECTIONS = ("last", "best_val", "best_test")
MAIN = ("accuracy", "miou", "absolute_error")
CURVES = (
    ("train_loss", "Training loss", "loss", 1.0),
    ("val_accuracy", "Validation accuracy", "accuracy, %", 100.0),
    ("test_accuracy", "Test accuracy", "accuracy, %", 100.0),
)
KINDS = {
    "norm": ("Length of each objective's gradient", "norm"),
    "cosine": ("Cosine between objectives' gradients", "cosine"),
    "weight": ("Weight of each objective", "weight"),
    "combined_norm": ("Length of the combined gradient", "norm"),
    "min_norm": ("Length of the smallest convex combination", "norm"),
    "coefficient": ("Coefficient of the encoder", "coefficient"),
    "update_norm": ("Length of the optimiser's step", "norm"),
}


@dataclass(frozen=True)
class Selected:
    """A metric of one output under each selection rule; ``optimism`` is best_test minus last, by seed."""

    output: str
    metric: str
    percent: bool
    values: dict[str, SeedValues]
    optimism: SeedValues


@dataclass(frozen=True)
class CurveNumbers:
    """A line of the curves in words: the mean over seeds in the first and last epoch, and its extremes."""

    curve: str
    output: str
    first: float
    last: float
    least: tuple[float, int]
    most: tuple[float, int]


@dataclass(frozen=True)
class CellPage:
    """Everything that a cell's page shows; lists are empty where nothing was recorded."""

    cell: Cell
    title: str
    runs: tuple[Run, ...]
    uses: tuple[ComparisonRow, ...]
    explained: tuple[ExplainedNumber, ...]
    selected: tuple[Selected, ...]
    epochs: dict[int, dict[str, int | None]]
    metrics: tuple[tuple[int, str, str, str, float], ...]
    curves: tuple[LineChart, ...]
    numbers: tuple[CurveNumbers, ...]
    confusions: tuple[Confusion, ...]
    reliability: tuple[ReliabilityChart, ...]
    diagnostics: tuple[tuple[str, tuple[LineChart, ...]], ...]
    config: str
    data: Data

    @property
    def name(self) -> str:
        """The page's name, which is a file's, too."""
        return page_name(self.cell)

    @property
    def finished(self) -> int:
        """How many seeds have a record."""
        return sum(run.state in ("completed", "diverged") for run in self.runs)

    @property
    def unfinished(self) -> list[Run]:
        """The runs that give no value: missing, failed or diverged."""
        return [run for run in self.runs if run.state != "completed"]

    @property
    def main(self) -> Selected | None:
        """The first output's metric, for lists of cells."""
        return self.selected[0] if self.selected else None


def page_name(cell: Cell) -> str:
    """Return the name of a cell's page: the cell's name without slashes."""
    return "cells/" + cell.name.replace("/", ".")


def cell_title(cell: Cell) -> str:
    """Return a cell's title: the method's, its variant, and the data's."""
    known = components("method").get(cell.method)
    return f"{known.info.title if known else cell.method} ({cell.variant}) on {cell.data.title}"


def read_cell_page(
    plan: Plan,
    root: Path,
    found: CellResults,
    data: Data,
    uses: Sequence[ComparisonRow],
    explained: Sequence[ExplainedNumber] = (),
) -> CellPage:
    """Read everything that the runs of a cell left and lay it out."""
    runs = read_runs(plan, root, found)
    folders = [root / run.folder for run in runs if run.state == "completed"]
    history = [columns for columns in (read_columns(f / "history.csv") for f in folders) if columns]
    steps = [columns for columns in (read_columns(f / "diagnostics.csv") for f in folders) if columns]
    charts, numbers = _curves(history)
    selection = plan.benchmark.selection
    return CellPage(
        found.cell,
        cell_title(found.cell),
        runs,
        tuple(uses),
        tuple(explained),
        tuple(_selected(found)),
        _epochs(found),
        tuple(_metrics(found)),
        charts,
        numbers,
        tuple(_confusions(found, selection, runs, data)),
        tuple(_reliability(found, selection)),
        tuple(_diagnostics(steps)),
        as_yaml(found.cell.config),
        data,
    )


def _outputs(found: CellResults) -> list[str]:
    names = [name for run in found.runs.values() for s in run.selections.values() for name in s.outputs]
    return sorted(dict.fromkeys(names), key=lambda name: (name != "joint", name.startswith("probe:")))


def _selected(found: CellResults) -> Iterable[Selected]:
    for output in _outputs(found):
        there = {m for run in found.runs.values() for s in run.selections.values() for m in s.outputs.get(output, ())}
        metric = next((name for name in MAIN if name in there), None)
        if metric is None:
            continue
        scale = 1.0 if metric == "absolute_error" else 100.0
        values = {name: found.values(name, output, metric, scale) for name in SELECTIONS}
        last, best = values["last"].finished, values["best_test"].finished
        optimism = SeedValues({seed: best[seed] - last[seed] for seed in last if seed in best})
        yield Selected(output, metric, scale != 1.0, values, optimism)


def _epochs(found: CellResults) -> dict[int, dict[str, int | None]]:
    return {
        seed: {name: selection.epoch for name, selection in run.selections.items()}
        for seed, run in found.runs.items()
        if run.selections
    }


def _metrics(found: CellResults) -> Iterable[tuple[int, str, str, str, float]]:
    for seed, run in sorted(found.runs.items()):
        for name in (name for name in SELECTIONS if name in run.selections):
            for output in _outputs(found):
                for metric, value in run.selections[name].outputs.get(output, {}).items():
                    yield seed, name, output, metric, value


def _curves(history: Sequence[Columns]) -> tuple[tuple[LineChart, ...], tuple[CurveNumbers, ...]]:
    charts, numbers = [], []
    for prefix, title, label, scale in CURVES:
        series = _series(history, prefix, "epoch", scale)
        chart = line_chart(title, series, "epoch", label)
        if chart is None:
            continue
        charts.append(chart)
        for output, seeds in series.items():
            x, y = mean_of(seeds)
            known = np.isfinite(y)
            if known.any():
                x, y = x[known], y[known]
                least, most = int(y.argmin()), int(y.argmax())
                ends = (float(y[least]), int(x[least])), (float(y[most]), int(x[most]))
                numbers.append(CurveNumbers(title, output, float(y[0]), float(y[-1]), *ends))
    return tuple(charts), tuple(numbers)


def _series(tables: Sequence[Columns], prefix: str, across: str, scale: float) -> Series:
    """Return ``<prefix>.<name>`` of every table by name; epochs count from 1 as everywhere else on pages."""
    found: dict[str, list[np.ndarray]] = {}
    for columns in tables:
        x = columns[across] + (1 if across == "epoch" else 0)
        for column, values in columns.items():
            start, _, name = column.partition(".")
            if start == prefix:
                found.setdefault(name, []).append(np.stack([x, scale * values]))
    return found


def _confusions(found: CellResults, selection: str, runs: Sequence[Run], data: Data) -> Iterable[Confusion]:
    targets = next((run.record.get("output_targets", {}) for run in runs if run.record), {})
    for output in _outputs(found):
        details = [
            run.selections[selection].details.get(output) for run in found.runs.values() if selection in run.selections
        ]
        matrices = [detail.confusion for detail in details if detail is not None and detail.confusion]
        if matrices:
            yield confusion(output, matrices, data.class_names(targets.get(output, "")))


def _reliability(found: CellResults, selection: str) -> Iterable[ReliabilityChart]:
    for output in _outputs(found):
        bins, errors = [], []
        for seed, run in sorted(found.runs.items()):
            chosen = run.selections.get(selection)
            detail = chosen.details.get(output) if chosen else None
            if detail is not None and detail.reliability is not None:
                bins.append(dict(detail.reliability))
                errors.append((seed, 100 * chosen.outputs[output]["ece"]))
        chart = reliability_chart(output, bins, errors) if bins else None
        if chart is not None:
            yield chart


def _diagnostics(steps: Sequence[Columns]) -> Iterable[tuple[str, tuple[LineChart, ...]]]:
    """Yield (encoder, charts): one chart per kind of diagnostic, the last part of a column is the encoder."""
    encoders = dict.fromkeys(name.rpartition(".")[2] for table in steps for name in table if name != "step")
    for encoder in encoders:
        charts = []
        for kind, (title, label) in KINDS.items():
            series: dict[str, list[np.ndarray]] = {}
            for table in steps:
                for column, values in table.items():
                    start, _, rest = column.partition(".")
                    name, _, last = rest.rpartition(".")
                    if start == kind and last == encoder:
                        shown = name.replace(".", " and ") or encoder
                        series.setdefault(shown, []).append(np.stack([table["step"] + 1, values]))
            chart = line_chart(title, series, "step", label, (-1.0, 1.0) if kind == "cosine" else None)
            if chart is not None:
                charts.append(chart)
        if charts:
            yield encoder, tuple(charts)
