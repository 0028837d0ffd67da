"""A paper's table with our numbers in it, laid out once for every format.

Rows are the paper's in its order, one line per variant, and those that the benchmark adds. Columns are the paper's
and, behind each group that ran, what we measure beside them. Nothing is judged here: verdicts are the comparison's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from counterpoise.comparability import NOT_IN_BENCHMARK
from counterpoise.judging.compare import Comparison, ComparisonRow
from counterpoise.judging.entries import row_label
from counterpoise.judging.verdicts import Verdict
from counterpoise.metrics import METRICS, UNITS, Metric
from counterpoise.papers.paper import Column, Paper, PaperTable, PrintedValue
from counterpoise.reporting.tables.marks import Mark, mark_best
from counterpoise.reporting.tables.notes import Place, table_notes
from counterpoise.results.layout import LayoutCell, LayoutTable, LayoutValue
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results

Style = Literal["full", "paper"]


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column as shown: the paper's, or one of ours (``ours_only``) beside them; ``noted`` says so in the title."""

    id: str
    group: str | None
    heading: tuple[str, ...]
    title: str
    metric: str
    better: str
    decimals: int
    scale: float
    ours_only: bool = False
    noted: bool = False
    output: str = "joint"

    @property
    def own_title(self) -> str:
        """The title, with a note where the paper does not have the column."""
        return f"{self.title} (ours)" if self.noted else self.title

    @property
    def flat_title(self) -> str:
        """Headings and title in one line."""
        return " ".join([*self.heading, self.own_title])


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """One place of a table, in printed units. ``n`` of ``planned`` runs have a value; ``cell`` regenerates it.

    ``drop``: our mean is worse than that of the row against which the paper marks drops. ``reason``: why nothing runs.
    """

    printed: PrintedValue | None = None
    mean: float | None = None
    std: float | None = None
    n: int = 0
    planned: int = 0
    verdict: Verdict = Verdict.NOT_RUN
    delta: float | None = None
    decimals: int = 2
    mark: Mark = ""
    drop: bool = False
    cell: LayoutCell | None = None
    failed: bool = False
    reason: str = ""

    @property
    def ours(self) -> str:
        """Our number, ``mean ± std``, or the word in its place. Never empty."""
        if self.verdict is Verdict.NOT_DEFINED:
            return self.printed.printed if self.printed else "-"
        if self.mean is None:
            return str(self.verdict)
        text = f"{self.mean:.{self.decimals}f}"
        if self.std is not None:
            text += f" ± {self.std:.{self.decimals}f}"
        text += "↓" if self.drop else ""
        if self.verdict is Verdict.DIVERGED:
            return f"{text} (n = {self.n}, others diverged)"
        if self.failed:
            return f"{text} (n = {self.n}, others failed)"
        return f"{text} (n = {self.n})" if self.n != self.planned else text

    @property
    def as_printed(self) -> str:
        """Our mean alone, in the paper's digits; a dash where there is none."""
        if self.verdict is Verdict.NOT_DEFINED:
            return self.printed.printed if self.printed else "-"
        return "–" if self.mean is None else f"{self.mean:.{self.decimals}f}{'↓' if self.drop else ''}"

    @property
    def paper(self) -> str:
        """The paper's number with its arrow, empty where there is none to show beside ours."""
        if self.printed is None or self.printed.kind != "number":
            return ""
        return self.printed.printed + ("↓" if self.printed.drop else "")


@dataclass(frozen=True, kw_only=True)
class TableLine:
    """One row of a table: a method, or one of its variants, or (``added``) a method that the paper lacks.

    ``row`` is the table's row that it shows.
    """

    id: str
    title: str
    row: str
    cells: tuple[TableCell, ...]
    added: bool = False

    @property
    def own_title(self) -> str:
        """The title, with a note where the paper does not have the row."""
        return f"{self.title} (not in the paper)" if self.added else self.title


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A table ready to be written in any format.

    ``style`` ``full``: ours with its spread, the printed number and the verdict in every cell, and columns of our
    own. ``paper``: the paper's columns and digits with our means alone, to be pasted; its notes are
    ``notes_as_printed``, which speak of nothing that it leaves out.
    """

    paper: Paper
    table: PaperTable
    columns: tuple[TableColumn, ...]
    lines: tuple[TableLine, ...]
    notes: tuple[str, ...]
    notes_as_printed: tuple[str, ...]
    benchmark: str
    style: Style = "full"

    @property
    def name(self) -> str:
        """``Table 3 of MMPareto``, or the title of a table of one's own."""
        if self.paper.is_own:
            return self.table.title
        return f"{self.table.name} of {self.paper.short_title}"

    @property
    def title(self) -> str:
        """``Table 3 of MMPareto: …``, or the title of a table of one's own."""
        return self.name if self.paper.is_own else f"{self.name}: {self.table.title}"

    def header(self) -> list[list[tuple[str, int]]]:
        """Return the lines above the column titles as (text, columns spanned), outermost first."""
        depth = max(len(column.heading) for column in self.columns)
        lines = []
        for level in range(depth):
            spans: list[tuple[tuple[str, ...], int]] = []
            for column in self.columns:
                path = column.heading[: level + 1] if len(column.heading) > level else (*column.heading, "")
                if spans and spans[-1][0] == path:
                    spans[-1] = (path, spans[-1][1] + 1)
                else:
                    spans.append((path, 1))
            lines.append([(path[-1], span) for path, span in spans])
        return lines

    def in_style(self, style: Style) -> TableView:
        """Return the table in another style; from ``paper`` there is no way back to ``full``."""
        if style == self.style or style == "full":
            return self
        columns, lines = _as_printed(self.columns, self.lines)
        return replace(self, columns=columns, lines=lines, notes=self.notes_as_printed, style=style)


def view_table(results: Results, comparison: Comparison, name: str) -> TableView:
    """Return a table of the layout with the paper's rows and columns, our numbers, and columns of our own.

    Raises:
        UserError: the paper has no such table.
    """
    paper = comparison.paper
    table = paper.table(name)
    rows = comparison.rows_of(name)
    place = results.layout.table(paper.paper, name)
    columns = tuple(_columns(table, place, rows))
    lines = [*_paper_lines(results, table, place, rows, columns), *_added_lines(results, table, place, columns)]

    def notes(columns: Sequence[TableColumn], lines: Sequence[TableLine], full: bool = True) -> tuple[str, ...]:
        own = any(column.ours_only for column in columns)
        places = list(_places(table, columns, lines))
        return tuple(table_notes(results, comparison, table, own_columns=own, places=places, full=full))

    return TableView(
        paper=paper,
        table=table,
        columns=columns,
        lines=tuple(_marked(columns, lines, table.drops_against)),
        notes=notes(columns, lines),
        notes_as_printed=notes(*_as_printed(columns, lines), full=False),
        benchmark=results.layout.name,
    )


def _as_printed(
    columns: Sequence[TableColumn], lines: Sequence[TableLine]
) -> tuple[tuple[TableColumn, ...], tuple[TableLine, ...]]:
    """Return the paper's columns and what stands in them."""
    kept = [place for place, column in enumerate(columns) if not column.ours_only]
    shown = tuple(replace(line, cells=tuple(line.cells[place] for place in kept)) for line in lines)
    return tuple(columns[place] for place in kept), shown


# -- columns -----------------------------------------------------------------------------------------------------


def _columns(table: PaperTable, place: LayoutTable, rows: Sequence[ComparisonRow]) -> Iterator[TableColumn]:
    running = {row.entry.column.group for row in rows if row.entry.cell is not None}
    stand_in = {row.entry.column.group for row in rows if row.entry.stand_in}
    shown = {_measured(rows, column.group, column.output, column.metric) for column in table.columns}
    for group in table.groups:
        own = [column for column in table.columns if column.group == group.id]
        heading = group.heading
        if heading and group.id in stand_in:
            heading = (f"{heading[0]} (stand-in)", *heading[1:])
        for column in own:
            yield _paper_column(table, column, heading)
        if group.id in running:
            for extra in _extra_columns(group.id, heading, own, noted=not table.is_own):
                # Two columns of one's own may be of the same runs: what one of them shows is not shown again.
                measured = _measured(rows, group.id, extra.output, extra.metric)
                if not table.is_own or measured not in shown:
                    shown.add(measured)
                    yield extra
            if place.probe == "all":
                yield from _probe_columns(table, group.id, heading, own)
    for column in table.columns:
        if column.group is None:  # rows are datasets and name the group
            yield _paper_column(table, column, ())


def _measured(
    rows: Sequence[ComparisonRow], group: str | None, output: str, metric: str
) -> tuple[frozenset[tuple[str, str]], str, str]:
    """Return what a column shows: a metric of an output of the runs in its group, those by row."""
    own = [row.entry for row in rows if row.entry.column.group == group]
    return frozenset((entry.label, entry.cell.name) for entry in own if entry.cell is not None), output, metric


def _paper_column(table: PaperTable, column: Column, heading: tuple[str, ...]) -> TableColumn:
    decimals = 2 if table.unprinted else max(table.value(row, column.id).decimals for row in table.row_ids)
    return TableColumn(
        id=column.id,
        group=column.group,
        heading=heading,
        title=column.title,
        metric=column.metric,
        better=column.better,
        decimals=decimals,
        scale=column.scale,
    )


def _extra_columns(group: str, heading: tuple[str, ...], own: Sequence[Column], noted: bool) -> Iterator[TableColumn]:
    """Yield the metrics that we show beside the paper's, for its joint output or for each task."""
    for output in _main_outputs(own):
        there = {column.metric for column in own if column.output == output}
        title = next(column.title for column in own if column.output == output)
        for metric in _beside(there):
            yield TableColumn(
                id=f"{group}.{metric.name}" + ("" if output == "joint" else f"_{output}"),
                group=group,
                heading=heading,
                title=metric.title if output == "joint" else f"{title} {metric.title}",
                metric=metric.name,
                better=metric.better,
                decimals=2,
                scale=UNITS[metric.unit].scale,
                ours_only=True,
                noted=noted,
                output=output,
            )


def _beside(printed: set[str]) -> list[Metric]:
    """Return the metrics shown beside printed ones: those of the same source that the paper does not print."""
    sources = {METRICS[name].source for name in printed if name in METRICS}
    every = METRICS.values()
    return [metric for metric in every if metric.beside and metric.source in sources and metric.name not in printed]


def _probe_columns(
    table: PaperTable, group: str, heading: tuple[str, ...], own: Sequence[Column]
) -> Iterator[TableColumn]:
    """Yield, beside the unimodal columns, those in which every row is measured on a probe."""
    for column in own:
        if table.is_unimodal(column.id):
            yield TableColumn(
                id=f"{column.id}_probe",
                group=group,
                heading=heading,
                title=f"{column.title}, probe",
                metric="accuracy",
                better="higher",
                decimals=2,
                scale=column.scale,
                ours_only=True,
                noted=True,
                output=f"probe:{column.output}",
            )


def _main_outputs(own: Sequence[Column]) -> list[str]:
    """Return the outputs that extra metrics are shown of: the joint one, or each task where there is none."""
    beside = {metric.source for metric in METRICS.values() if metric.beside}
    outputs = [column.output for column in own if column.metric in METRICS and METRICS[column.metric].source in beside]
    return ["joint"] if "joint" in outputs else list(dict.fromkeys(outputs))


# -- lines -------------------------------------------------------------------------------------------------------


def _paper_lines(
    results: Results,
    table: PaperTable,
    place: LayoutTable,
    rows: Sequence[ComparisonRow],
    columns: Sequence[TableColumn],
) -> Iterator[TableLine]:
    lines: dict[tuple[str, str | None], dict[str, ComparisonRow]] = {}
    for row in rows:
        lines.setdefault((row.entry.row, row.entry.variant), {})[row.entry.column.id] = row
    for (name, variant), by_column in lines.items():
        cells = [
            _extra_cell(results, place, column, by_column.values())
            if column.ours_only
            else _paper_cell(results, column, by_column[column.id])
            for column in columns
        ]
        title = row_label(table.row(name).title, variant)
        label = next(iter(by_column.values())).entry.label
        yield TableLine(id=label, title=title, row=name, cells=tuple(cells))


def _paper_cell(results: Results, column: TableColumn, row: ComparisonRow) -> TableCell:
    entry, number = row.entry, row.number
    return TableCell(
        printed=None if entry.table.is_own else entry.printed,
        mean=number.mean,
        std=number.std,
        n=number.n,
        planned=_planned(results, entry.cell),
        verdict=number.verdict,
        delta=number.delta,
        decimals=column.decimals,
        cell=entry.cell,
        failed=bool(entry.ours.failed),
        reason=number.reason if number.verdict is Verdict.NOT_RUN else "",
    )


def _extra_cell(results: Results, place: LayoutTable, column: TableColumn, rows: Sequence[ComparisonRow]) -> TableCell:
    own = [row.entry for row in rows if row.entry.column.group == column.group and row.entry.cell is not None]
    if not own:
        return TableCell()  # the paper's columns beside it say why
    # Beside a number, what is measured on the same output: a run of one modality has another than the column names.
    entry = next((entry for entry in own if entry.column.output == column.output), own[0])
    same = entry.column.output == column.output
    output = entry.output if same else place.output_in_dataset(column.group, column.output)
    return _own_cell(results, column, entry.cell, output, entry.stand_in)


def _added_lines(
    results: Results, table: PaperTable, place: LayoutTable, columns: Sequence[TableColumn]
) -> Iterator[TableLine]:
    """Yield the rows that the benchmark adds to the paper's."""
    added: dict[tuple[str, str | None], dict[str, LayoutValue]] = {}
    for value in results.layout.values_of(table.paper, table.table):
        if value.row not in table.row_ids:
            added.setdefault((value.row, value.variant), {})[value.column] = value
    for (row, variant), by_column in added.items():
        cells = tuple(_added_cell(results, table, place, column, by_column) for column in columns)
        title = row_label(row, variant)
        yield TableLine(id=title, title=title, row=row, cells=cells, added=True)


def _added_cell(
    results: Results, table: PaperTable, place: LayoutTable, column: TableColumn, by_column: Mapping[str, LayoutValue]
) -> TableCell:
    group = [value for name, value in by_column.items() if table.column(name).group == column.group]
    ran = next((value for value in group if value.cell is not None), None)
    if ran is None:
        return TableCell(reason=group[0].reason if group else NOT_IN_BENCHMARK)
    if column.ours_only or column.id not in by_column:
        output = place.output_in_dataset(column.group, column.output)
    else:
        output = by_column[column.id].output
    return _own_cell(results, column, results.cell(ran.cell), output, ran.stand_in)


def _own_cell(results: Results, column: TableColumn, cell: LayoutCell, output: str, stand_in: bool) -> TableCell:
    """Return a cell without a printed number: a metric or a method that the paper does not have."""
    values = results.seeds(cell.name, results.layout.selection, output, column.metric, column.scale)
    verdict = _own_verdict(values, stand_in)
    return TableCell(
        mean=values.mean,
        std=values.std,
        n=values.n,
        planned=_planned(results, cell),
        verdict=verdict,
        decimals=column.decimals,
        cell=cell,
        failed=bool(values.failed),
        reason="no seed has finished" if verdict is Verdict.NOT_RUN else "",
    )


def _own_verdict(values: SeedValues, stand_in: bool) -> Verdict:
    if values.diverged:
        return Verdict.DIVERGED
    if values.absent:  # the runs are there, and predict no such thing: an encoder alone has no joint prediction
        return Verdict.NOT_DEFINED
    if not values.finished:
        return Verdict.FAILED if values.failed else Verdict.NOT_RUN
    return Verdict.STAND_IN if stand_in else Verdict.NOT_PRINTED


def _places(table: PaperTable, columns: Sequence[TableColumn], lines: Sequence[TableLine]) -> Iterator[Place]:
    """Yield the places with a verdict; of columns of our own, what is said of the paper's beside them goes for them."""
    ids = set(table.column_ids)
    groups = {group.id: group for group in table.groups}
    for line in lines:
        empty: set[str] = set()
        for column, cell in sorted(zip(columns, line.cells, strict=True), key=lambda place: place[0].ours_only):
            group = groups[column.group] if column.group is not None else table.group(line.row, column.id)
            missing = cell.verdict is Verdict.NOT_RUN
            if column.id in ids or (missing and group.id not in empty and cell.reason):
                yield Place(group=group, line=line.own_title, reason=cell.reason if missing else "")
            empty.update({group.id} if missing else ())


def _planned(results: Results, cell: LayoutCell | None) -> int:
    return 0 if cell is None else len(results.runs_of[cell.name])


def _marked(columns: Sequence[TableColumn], lines: Sequence[TableLine], drops_against: str) -> list[TableLine]:
    """Mark the best and the runner-up of our means in each column; a mean with diverged runs never is.

    ``drops_against`` is the row against which drops are marked, if the paper marks any.
    """
    grid = [list(line.cells) for line in lines]
    for place, column in enumerate(columns):
        means = [None if row[place].verdict is Verdict.DIVERGED else row[place].mean for row in grid]
        for row, mark in zip(grid, mark_best(means, column.better, column.decimals), strict=True):
            row[place] = replace(row[place], mark=mark)
    _mark_drops(columns, lines, grid, drops_against)
    return [replace(line, cells=tuple(cells)) for line, cells in zip(lines, grid, strict=True)]


def _mark_drops(
    columns: Sequence[TableColumn], lines: Sequence[TableLine], grid: Sequence[list[TableCell]], against: str
) -> None:
    """Mark, in the paper's columns, our means that are worse than ours in the row ``against``, as the digits show.

    Like the paper, only the rows below that one: above it are those with a single loss.
    """
    base = next((number for number, line in enumerate(lines) if line.id == against), None)
    if base is None:
        return
    for place, column in enumerate(columns):
        mean = grid[base][place].mean
        for row in grid[base + 1 :]:
            if column.ours_only or mean is None or row[place].mean is None:
                continue
            gain = round(row[place].mean, column.decimals) - round(mean, column.decimals)
            row[place] = replace(row[place], drop=gain < 0 if column.better == "higher" else gain > 0)
