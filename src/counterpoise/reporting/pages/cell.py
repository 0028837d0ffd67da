"""A cell's page: its place in the tables, selections, curves, confusion, calibration, diagnostics, origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from counterpoise.errors import UserError
from counterpoise.judging.compare import ComparisonRow
from counterpoise.metrics import METRICS, OF_PREDICTIONS, UNITS
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
from counterpoise.reporting.pages.evidence import as_yaml, commit_of, machine_of, record_of
from counterpoise.reporting.pages.explained import ExplainedNumber
from counterpoise.results.layout import LayoutCell, LayoutData
from counterpoise.results.record import RunRecord
from counterpoise.results.seeds import SeedValues
from counterpoise.results.series import Columns, read_series
from counterpoise.results.table import Results, RunEntry

SELECTIONS = ("last", "best_val", "best_test")
CURVES = (
    ("train_loss", "Training loss", "loss", 1.0),
    ("val_accuracy", "Validation accuracy", "accuracy, %", 100.0),
    ("test_accuracy", "Test accuracy", "accuracy, %", 100.0),
)
KINDS = {
    "norm": ("Norm of each objective's gradient", "norm"),
    "cosine": ("Cosine between objectives' gradients", "cosine"),
    "weight": ("Weight of each objective", "weight"),
    "combined_norm": ("Norm of the combined gradient", "norm"),
    "min_norm": ("Norm of the smallest convex combination", "norm"),
    "coefficient": ("Coefficient of the encoder", "coefficient"),
    "update_norm": ("Norm of the optimiser's step", "norm"),
}


class CellValue(NamedTuple):
    """A row of the results table that has a value, as stored: a fraction where the unit is percent."""

    seed: int
    selection: str
    epoch: int | None
    output: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A metric of one output under each selection rule; ``optimism`` is best_test minus last, by seed."""

    output: str
    metric: str
    percent: bool
    values: dict[str, SeedValues]
    optimism: SeedValues


@dataclass(frozen=True, kw_only=True)
class CurveNumbers:
    """A line of the curves in numbers: the mean over seeds in the first and last epoch, (value, epoch) extremes."""

    curve: str
    output: str
    first: float
    last: float
    least: tuple[float, int]
    most: tuple[float, int]


@dataclass(frozen=True, kw_only=True)
class RunShown:
    """A run and its record; ``commit`` and ``machine`` are those that finished it."""

    entry: RunEntry
    record: RunRecord | None
    commit: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CellPage:
    """Everything that a cell's page shows; sequences are empty where nothing was recorded.

    ``problems`` are series of its runs that could not be read.
    """

    cell: LayoutCell
    data: LayoutData
    title: str
    runs: tuple[RunShown, ...]
    uses: tuple[ComparisonRow, ...]
    explained: tuple[ExplainedNumber, ...]
    selected: tuple[Selected, ...]
    values: tuple[CellValue, ...]
    curves: tuple[LineChart, ...]
    numbers: tuple[CurveNumbers, ...]
    confusions: tuple[Confusion, ...]
    reliability: tuple[ReliabilityChart, ...]
    diagnostics: tuple[tuple[str, tuple[LineChart, ...]], ...]
    config: str
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """The page's name, which is a file's, too."""
        return page_name(self.cell.name)

    @property
    def finished(self) -> int:
        """How many seeds have a record."""
        return sum(run.entry.finished for run in self.runs)

    @property
    def unfinished(self) -> list[RunEntry]:
        """The runs that give no value: missing, failed, interrupted or diverged."""
        return [run.entry for run in self.runs if run.entry.status != "completed"]

    @property
    def main(self) -> Selected | None:
        """The first output's metric, for lists of cells."""
        return self.selected[0] if self.selected else None


def page_name(cell: str) -> str:
    """Return the name of a cell's page: the cell's name without slashes."""
    return "cells/" + cell.replace("/", ".")


def cell_title(cell: LayoutCell, data: LayoutData) -> str:
    """Return a cell's title: the method's, its variant, and the data's."""
    return f"{cell.method_title} ({cell.variant}) on {data.title}"


def cell_page(
    results: Results,
    cell: LayoutCell,
    values: Sequence[CellValue],
    uses: Sequence[ComparisonRow],
    explained: Sequence[ExplainedNumber],
) -> CellPage:
    """Return the page of a cell, whose part of the results table is ``values``.

    Series come from the runs' own folders. One that cannot be read is named on the page and left out.
    """
    entries = results.runs_of[cell.name]
    runs = tuple(map(_shown, entries))
    data = results.layout.data[cell.data]
    history, history_problems = _read_all(results, entries, "history.csv")
    steps, step_problems = _read_all(results, entries, "diagnostics.csv")
    charts, numbers = _curves(history)
    return CellPage(
        cell=cell,
        data=data,
        title=cell_title(cell, data),
        runs=runs,
        uses=tuple(uses),
        explained=tuple(explained),
        selected=tuple(_selected(results, cell, values)),
        values=tuple(values),
        curves=charts,
        numbers=numbers,
        confusions=tuple(_confusions(results, cell, runs, data)),
        reliability=tuple(_reliability(results, cell)),
        diagnostics=tuple(_diagnostics(steps)),
        config=as_yaml(cell.config),
        problems=(*history_problems, *step_problems),
    )


def _shown(run: RunEntry) -> RunShown:
    record = record_of(run)
    if record is None:
        return RunShown(entry=run, record=None)
    last = record.attempts[-1]
    return RunShown(entry=run, record=record, commit=commit_of(last), machine=machine_of(last))


def _read_all(results: Results, entries: Sequence[RunEntry], name: str) -> tuple[list[Columns], list[str]]:
    """Return a series of every completed run that has it, and what is wrong with those that cannot be read."""
    tables, problems = [], []
    for run in entries:
        if run.status == "completed":
            try:
                columns = read_series(Path(results.runs_folder) / run.folder / name)
            except UserError as error:
                problems.append(str(error))
            else:
                tables += [columns] if columns else []
    return tables, problems


def _selected(results: Results, cell: LayoutCell, values: Sequence[CellValue]) -> Iterator[Selected]:
    """Yield the first metric of each output, in the registry's order, under every selection."""
    for output in results.outputs(cell.name):
        known = {row.metric for row in values if row.output == output}
        metric = next((name for name in METRICS if name in known and METRICS[name].source in OF_PREDICTIONS), None)
        if metric is None:
            continue
        unit = METRICS[metric].unit
        scale = UNITS[unit].scale
        chosen = {name: results.seeds(cell.name, name, output, metric, scale) for name in SELECTIONS}
        last, best = chosen["last"].finished, chosen["best_test"].finished
        gains = {seed: best[seed] - last[seed] for seed in last if seed in best}
        yield Selected(
            output=output, metric=metric, percent=unit == "percent", values=chosen, optimism=SeedValues(finished=gains)
        )


def values_by_cell(results: Results) -> dict[str, list[CellValue]]:
    """Return the rows with a value of each cell, by the cell's key, in the order of seeds."""
    columns = ["key", *CellValue._fields]
    rows: dict[str, list[CellValue]] = {}
    table = results.values.dropna(subset=["value"]).sort_values("seed", kind="stable")
    for key, seed, selection, epoch, output, metric, value in table[columns].itertuples(index=False):
        known = None if pd.isna(epoch) else int(epoch)
        rows.setdefault(key, []).append(CellValue(int(seed), selection, known, output, metric, float(value)))
    return rows


def _curves(history: Sequence[Columns]) -> tuple[tuple[LineChart, ...], tuple[CurveNumbers, ...]]:
    charts, numbers = [], []
    for prefix, title, label, scale in CURVES:
        series = _series(history, prefix, scale)
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
                numbers.append(
                    CurveNumbers(
                        curve=title,
                        output=output,
                        first=float(y[0]),
                        last=float(y[-1]),
                        least=(float(y[least]), int(x[least])),
                        most=(float(y[most]), int(x[most])),
                    )
                )
    return tuple(charts), tuple(numbers)


def _series(tables: Sequence[Columns], prefix: str, scale: float) -> Series:
    """Return the columns ``<prefix>.<name>`` of every table by name; epochs count from 1 as everywhere on pages."""
    series: dict[str, list[np.ndarray]] = {}
    for columns in tables:
        for column, values in columns.items():
            start, _, name = column.partition(".")
            if start == prefix and "epoch" in columns:
                series.setdefault(name, []).append(np.stack([columns["epoch"] + 1, scale * values]))
    return series


def _confusions(results: Results, cell: LayoutCell, runs: Sequence[RunShown], data: LayoutData) -> Iterator[Confusion]:
    targets = next((run.record.output_targets for run in runs if run.record is not None), {})
    for output in results.outputs(cell.name):
        details = _details(results, cell, output)
        matrices = [kinds["confusion"] for kinds in details if "confusion" in kinds]
        if matrices:
            yield confusion(output, matrices, data.class_names(targets.get(output, "")))


def _reliability(results: Results, cell: LayoutCell) -> Iterator[ReliabilityChart]:
    for output in results.outputs(cell.name):
        tables = [kinds["reliability"] for kinds in _details(results, cell, output) if "reliability" in kinds]
        errors = results.seeds(cell.name, results.layout.selection, output, "ece", 100.0).finished
        chart = reliability_chart(output, tables, sorted(errors.items())) if tables else None
        if chart is not None:
            yield chart


def _details(results: Results, cell: LayoutCell, output: str) -> list[Mapping[str, np.ndarray]]:
    """Return the arrays of each seed that has any, by name."""
    places = [(cell.name, run.seed, results.layout.selection, output) for run in results.runs_of[cell.name]]
    return [results.details[place] for place in places if place in results.details]


def _diagnostics(steps: Sequence[Columns]) -> Iterator[tuple[str, tuple[LineChart, ...]]]:
    """Yield (encoder, charts): one chart per kind of diagnostic; the last part of a column's name is the encoder."""
    encoders = dict.fromkeys(name.rpartition(".")[2] for table in steps for name in table if name != "step")
    for encoder in encoders:
        charts = []
        for kind, (title, label) in KINDS.items():
            series: dict[str, list[np.ndarray]] = {}
            for table in steps:
                for column, values in table.items():
                    start, _, rest = column.partition(".")
                    name, _, last = rest.rpartition(".")
                    if start == kind and last == encoder and "step" in table:
                        shown = name.replace(".", " and ") or encoder
                        series.setdefault(shown, []).append(np.stack([table["step"] + 1, values]))
            chart = line_chart(title, series, "step", label, (-1.0, 1.0) if kind == "cosine" else None)
            if chart is not None:
                charts.append(chart)
        if charts:
            yield encoder, tuple(charts)
