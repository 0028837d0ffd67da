"""What a plan says to those who know no plan: the layout of its results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from counterpoise.components import component
from counterpoise.papers.head import OWN
from counterpoise.planning.figures import measurement_name
from counterpoise.planning.manifest import data_again, read_manifest
from counterpoise.planning.plan import Cell, Plan, PlannedFigure, PlannedValue, PreparedDataset
from counterpoise.results.layout import (
    OF_ONE_MACHINE,
    FigureSeries,
    Layout,
    LayoutCell,
    LayoutData,
    LayoutFigure,
    LayoutTable,
    LayoutValue,
    without_local,
)
from counterpoise.runs.kept_data import MANIFEST, described
from counterpoise.runs.redo import relative
from counterpoise.validation import validate


def layout_of(plan: Plan, root: Path, cells: Iterable[Cell] | None = None) -> Layout:
    """Return the layout of a plan's results: which cell fills which place of which table and figure.

    Args:
        cells: other cells than the plan's own (those of an explanation); such a layout has no tables and figures.

    Raises:
        UserError: the manifest of prepared data is torn.
    """
    own = cells is None
    chosen = {cell.name: cell for cell in (plan.cells if cells is None else cells)}
    data = {_full_name(part): part for cell in chosen.values() for part in (cell.data, *cell.folds)}
    benchmark = plan.benchmark
    return Layout(
        schema=1,
        name=benchmark.name,
        title=benchmark.title,
        note=benchmark.note,
        file=relative(plan.path, root),
        overrides=without_local(plan.overrides),
        benchmark=benchmark.model_dump(mode="json", exclude=set(OF_ONE_MACHINE)),
        seeds=tuple(plan.seeds),
        selection=benchmark.selection,
        scale=benchmark.scale,
        ece_bins=benchmark.evaluation.ece_bins,
        papers=tuple(plan.papers),
        own=tuple(plan.papers[OWN].tables.values()) if own and OWN in plan.papers else (),
        tables=tuple(_tables(plan)) if own else (),
        values=tuple(_value(plan, value) for value in plan.values) if own else (),
        figures=tuple(_figure(plan, planned) for planned in plan.figures) if own else (),
        cells={name: _cell(cell) for name, cell in chosen.items()},
        data={name: _data(part, root) for name, part in data.items()},
    )


def _tables(plan: Plan) -> Iterable[LayoutTable]:
    for run in plan.benchmark.table_runs:
        modalities = {group: column.modalities for group, column in run.columns.items() if column.modalities}
        yield LayoutTable(paper=run.paper, table=run.table, probe=run.probe, modalities=modalities)


def _value(plan: Plan, value: PlannedValue) -> LayoutValue:
    if value.cell is None:
        return LayoutValue(**vars(value))
    return LayoutValue(**{**vars(value), "cell": value.cell.name, "output": plan.output(value)})


def _figure(plan: Plan, planned: PlannedFigure) -> LayoutFigure:
    measure = planned.figure.measure
    return LayoutFigure(
        paper=planned.figure.paper,
        figure=planned.figure.name,
        series=tuple(
            FigureSeries(label=label, cell=None if cell is None else cell.name, reason=reason)
            for label, cell, reason in planned.cells
        ),
        output=planned.output,
        note=planned.note,
        stand_in=planned.stand_in,
        measurement=measurement_name(measure) if measure else "",
    )


def _cell(cell: Cell) -> LayoutCell:
    return LayoutCell(
        dataset=cell.dataset,
        model=cell.model,
        method=cell.method,
        method_title=component("method", cell.method).info.title,
        variant=cell.variant,
        protocol=cell.protocol,
        key=cell.key,
        source=cell.source,
        config=cell.config,
        data=_full_name(cell.data),
        folds=tuple(_full_name(fold) for fold in cell.folds),
        parents={modality: parent.name for modality, parent in cell.parents},
    )


def _full_name(part: PreparedDataset) -> str:
    return part.directory.name


def _data(part: PreparedDataset, root: Path) -> LayoutData:
    path = described(part, root) / MANIFEST
    manifest: dict[str, Any] = read_manifest(path.parent) if path.is_file() else {}
    entry = {
        "name": part.name,
        "title": part.title,
        "component": part.component,
        "settings": part.settings,
        "key": part.key,
        "manifest": manifest,
    }
    return validate(LayoutData, entry, f"{path}: not a manifest of prepared data ({data_again(path.parent)})")
