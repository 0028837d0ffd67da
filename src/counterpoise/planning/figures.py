"""The figures of a benchmark: for each of a figure's methods the cell that it is drawn from, and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from counterpoise.components import Component, component
from counterpoise.errors import UserError, suggest
from counterpoise.identity import short_key, source_digest
from counterpoise.papers.figures import Figure, Measurement
from counterpoise.papers.paper import Paper
from counterpoise.planning.benchmark import FigureRun
from counterpoise.planning.cells import Cell
from counterpoise.planning.resolve import CellNames, Resolver


@dataclass(frozen=True, kw_only=True)
class PlannedFigure:
    """One figure, and of each of its methods the cell that it is drawn from, or the reason why there is none.

    ``output`` is the modality that it looks at, by the dataset's name. ``stand_in``: not on the paper's data.
    """

    figure: Figure
    cells: tuple[tuple[str, Cell | None, str], ...] = ()
    output: str = ""
    note: str = ""
    stand_in: bool = False


def plan_figure(resolver: Resolver, run: FigureRun, paper: Paper) -> PlannedFigure:
    """Return a figure of the benchmark, resolved.

    Raises:
        UserError: a name, key or value that cannot be.
    """
    where = f"{resolver.path}: figure {run.paper}.{run.figure}"
    if run.figure not in paper.figures:
        raise UserError(f"{where}: there is no such figure{suggest(run.figure, paper.figures)}")
    figure = paper.figures[run.figure]
    kind = component("figure_kind", figure.kind, f"{where}: kind")
    kind.resolve(figure.settings, f"{where}: settings of its kind '{figure.kind}'")
    if figure.measure is not None:
        measurement_of(figure.measure, where)
    tables = resolver.benchmark.table_runs
    if figure.table and all((t.paper, t.table) != (run.paper, figure.table) for t in tables):
        raise UserError(f"{where}: draws table '{figure.table}', which is not among 'tables'")
    if figure.needs_runs != (run.runs is not None):
        raise UserError(f"{where}: the key 'runs' {'is missing' if figure.needs_runs else 'does not belong here'}")
    if run.runs is None:
        return PlannedFigure(figure=figure, note=run.note)
    resolver.check_column(run.runs, f"{where}: runs")
    cells = []
    for series in figure.series:
        names = CellNames.of(run.runs, series.method, "published", sorted(series.settings.items()))
        cells.append((series.label, *resolver.resolve(names, f"{where}: {series.label}")))
    dataset = resolver.configs.dataset(run.runs.dataset)
    protocol = resolver.protocol_file(run.runs.protocol)
    return PlannedFigure(
        figure=figure,
        cells=tuple(cells),
        output=run.runs.modalities.get(figure.output, figure.output),
        note=run.note,
        stand_in=bool(dataset.stand_in_for or protocol.stand_in_for) or resolver.benchmark.scale == "tiny",
    )


def measurement_of(measurement: Measurement, where: str = "") -> tuple[Component, dict[str, Any]]:
    """Return a measurement's component and its settings, complete and checked."""
    declared = component("measurement", measurement.name, where)
    return declared, declared.resolve(
        measurement.settings, f"{where}: settings of the measurement '{measurement.name}'"
    )


def measurement_name(measurement: Measurement) -> str:
    """Return the name, without its suffix, of a measurement's file: it carries the key of settings and source."""
    declared, settings = measurement_of(measurement)
    return f"{measurement.name}.{short_key({'settings': settings, 'source': source_digest((declared.module,))})}"
