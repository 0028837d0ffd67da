"""Everything that the report's pages show, put together once from results, comparisons and explanations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from counterpoise.judging.audit import Finding, audit_paper
from counterpoise.judging.claims import Answer, ClaimResult
from counterpoise.judging.compare import Comparison, ComparisonRow
from counterpoise.judging.contrast import GainResult
from counterpoise.judging.entries import Entry
from counterpoise.judging.level import judge_entry
from counterpoise.judging.row_pairs import RowPair
from counterpoise.judging.verdicts import Verdict
from counterpoise.papers.paper import Paper
from counterpoise.papers.tables import PaperTable, table_name
from counterpoise.reporting.outcome import (
    NotRun,
    Numbers,
    Progress,
    answer,
    claims_sentence,
    not_run,
    numbers_of,
    progress_of,
    table_headline,
    table_summary,
)
from counterpoise.reporting.pages.cell import CellPage, cell_page, page_name, values_by_cell
from counterpoise.reporting.pages.charts import DotPlot, LineChart, Strip, Values, dot_plot, line_chart, strip
from counterpoise.reporting.pages.evidence import Evidence, as_yaml, evidence_of
from counterpoise.reporting.pages.explained import Explained, ExplainedNumber, match_explanations, row_name
from counterpoise.reporting.tables.view import TableView
from counterpoise.reporting.templating import slug
from counterpoise.reporting.words import counted, difference_unit, metric_name
from counterpoise.results.explained import WrittenExplanation
from counterpoise.results.layout import Layout, LayoutFigure
from counterpoise.results.table import Results

MOST_PLOTS = 24
"""Dot plots per table; a table with more columns than any paper's has the rest in its cells alone."""
UNITS_SHOWN = {"percent": ", %", "seconds": ", s", "seconds_squared": ", s²", "loss": ", nats"}


@dataclass(frozen=True, kw_only=True)
class NumberLine:
    """One printed entry: its column in words, the page of the cell that regenerates it, what explains it.

    ``page`` is empty where no cell runs. ``id`` is the entry's anchor on the page of numbers.
    """

    row: ComparisonRow
    column: str
    page: str
    id: str
    explained: ExplainedNumber | None

    @property
    def ran(self) -> bool:
        """Whether something was tried for it: it has a value of ours, or its runs failed or diverged."""
        return self.row.verdict not in (Verdict.NOT_RUN, Verdict.NOT_DEFINED)

    @property
    def not_run(self) -> bool:
        """Whether it is a printed number, counted as one, that nothing ran for."""
        return self.row.entry.counted and self.row.verdict is Verdict.NOT_RUN


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Entries that nothing was tried for: the printed numbers of a paper, or without one what is no printed number."""

    id: str
    paper: Paper | None
    lines: tuple[NumberLine, ...]


@dataclass(frozen=True, kw_only=True)
class TablePage:
    """A table of the benchmark, its dot plots, the counts of its verdicts, and a small picture of both."""

    view: TableView
    plots: tuple[DotPlot, ...]
    numbers: Numbers
    strip: Strip | None
    headline: str
    summary: str
    gains: tuple[GainResult, ...]
    pairs: tuple[RowPair, ...]
    curve: LineChart | None

    @property
    def name(self) -> str:
        """The page's name."""
        return f"tables/{self.view.paper.paper}.{self.view.table.table}"

    @property
    def without_print(self) -> str:
        """What ran for a table of which the paper prints no number, in a sentence; empty for any other table."""
        if self.numbers.printed or self.view.paper.is_own:
            return ""
        shown = [
            cell
            for line in self.view.lines
            for column, cell in zip(self.view.columns, line.cells, strict=True)
            if not column.ours_only and cell.verdict is not Verdict.NOT_DEFINED
        ]
        there = sum(cell.mean is not None for cell in shown)
        return f"{there} of {counted(len(shown), 'value')} measured; the paper prints no number beside them."

    @property
    def pair_columns(self) -> dict[str, str]:
        """The columns in which rows are compared with each other, and their titles."""
        return {pair.column: self.view.table.column_name(pair.column) for pair in self.pairs}

    @property
    def rows(self) -> list[str]:
        """The rows that are compared with each other, by their names."""
        return list(dict.fromkeys(name for pair in self.pairs for name in (pair.row, pair.other)))

    @property
    def file(self) -> str:
        """The path, without its suffix, of the table's files in the derived folder."""
        return f"tables/{self.view.paper.paper}/{self.view.table.table}"


@dataclass(frozen=True, kw_only=True)
class FigurePage:
    """A figure of the benchmark. ``files`` are those that were drawn, by suffix, as paths in the derived folder.

    ``notes`` say what it is drawn from, what it chooses and what is missing: the text in the picture is drawn, too,
    and no screen reader could read it there.
    """

    figure: LayoutFigure
    name: str
    title: str
    notes: tuple[str, ...]
    files: Mapping[str, str]

    @property
    def id(self) -> str:
        """The figure's anchor on the page of figures."""
        return slug(self.figure.id)


@dataclass(frozen=True, kw_only=True)
class PaperPart:
    """A paper on the overview: the answer to whether it reproduces, and what stands behind it."""

    comparison: Comparison
    answer: str
    numbers: Numbers
    claims: str
    tables: tuple[TablePage, ...]
    not_run: tuple[NotRun, ...]
    audit: Sequence[Finding]

    @property
    def paper(self) -> Paper:
        """The paper."""
        return self.comparison.paper


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """All that is shown."""

    results: Results
    progress: Progress
    papers: tuple[PaperPart, ...]
    numbers: tuple[NumberLine, ...]
    tables: tuple[TablePage, ...]
    cells: tuple[CellPage, ...]
    evidence: Evidence
    figures: tuple[FigurePage, ...]
    explained: Explained
    problems: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        """The benchmark's layout."""
        return self.results.layout

    @property
    def ran(self) -> list[NumberLine]:
        """The printed entries that something was tried for."""
        return [line for line in self.numbers if line.ran]

    @property
    def rest(self) -> list[Rest]:
        """The entries that nothing was tried for: each paper's numbers, then what is counted among no numbers."""
        missing: dict[str, list[NumberLine]] = {}
        others: list[NumberLine] = []
        for line in self.numbers:
            if line.not_run:
                missing.setdefault(line.row.entry.table.paper, []).append(line)
            elif not line.ran:
                others.append(line)
        papers = {part.paper.paper: part.paper for part in self.of_papers}
        found = [Rest(id=f"not-run-{name}", paper=papers[name], lines=tuple(lines)) for name, lines in missing.items()]
        return [*found, *([Rest(id="no-numbers", paper=None, lines=tuple(others))] if others else [])]

    @property
    def claims(self) -> list[tuple[Paper, ClaimResult]]:
        """Every claim with its paper, those that have an answer first."""
        every = [(part.paper, claim) for part in self.papers for claim in part.comparison.claims]
        return sorted(every, key=lambda pair: pair[1].answer is Answer.NOT_RUN)

    @property
    def of_papers(self) -> list[PaperPart]:
        """The papers, without what stands in the place of one for tables of one's own."""
        return [part for part in self.papers if not part.paper.is_own]

    @property
    def benchmark(self) -> str:
        """The benchmark with all of its settings, as YAML."""
        return as_yaml(self.layout.benchmark)


def report_content(
    results: Results,
    comparisons: Sequence[Comparison],
    views: Sequence[TableView],
    *,
    papers: Mapping[str, Paper],
    explanations: Iterable[WrittenExplanation] = (),
    folder: Path,
    problems: Sequence[str] = (),
) -> ReportContent:
    """Put the report's content together.

    Args:
        views: the tables of the benchmark, laid out.
        papers: every paper that has a table or a figure here, by name.
        folder: the derived folder; figures that are drawn there are shown.
        problems: what could not be made so far; it is named on the overview.
    """
    rows = [row for comparison in comparisons for row in comparison.rows]
    explained = match_explanations(explanations, rows, results.layout.selection)
    tables = tuple(_table_page(comparisons, view) for view in views)
    cells = tuple(_cells(results, rows, explained))
    return ReportContent(
        results=results,
        progress=progress_of(results),
        papers=tuple(_paper_part(comparison, tables) for comparison in comparisons),
        numbers=tuple(_number_lines([row for row in rows if not row.entry.table.is_own], explained)),
        tables=tables,
        cells=cells,
        evidence=evidence_of(run.record for page in cells for run in page.runs if run.record is not None),
        figures=tuple(_figure_page(figure, papers, folder) for figure in results.layout.figures),
        explained=explained,
        problems=(*problems, *(problem for page in cells for problem in page.problems)),
    )


def _paper_part(comparison: Comparison, tables: Sequence[TablePage]) -> PaperPart:
    name = comparison.paper.paper
    return PaperPart(
        comparison=comparison,
        answer=answer(comparison),
        numbers=numbers_of(comparison.rows),
        claims=claims_sentence(comparison),
        tables=tuple(page for page in tables if page.view.paper.paper == name),
        not_run=tuple(not_run(comparison)),
        audit=audit_paper(comparison.paper),
    )


def _cells(results: Results, rows: Sequence[ComparisonRow], explained: Explained) -> Iterator[CellPage]:
    uses: dict[str, list[ComparisonRow]] = {}
    for row in rows:
        if row.entry.cell is not None:
            uses.setdefault(row.entry.cell.name, []).append(row)
    values = values_by_cell(results)
    for name, cell in results.layout.cells.items():
        yield cell_page(results, cell, values.get(cell.key, ()), uses.get(name, ()), explained.of_cell(name))


def _number_lines(rows: Sequence[ComparisonRow], explained: Explained) -> list[NumberLine]:
    """Return every printed entry of the papers, those that ran first."""
    lines = [
        NumberLine(
            row=row,
            column=row.entry.column_name,
            page=page_name(row.entry.cell.name) if row.entry.cell else "",
            id=slug(row_name(row)),
            explained=explained.of(row),
        )
        for row in rows
    ]
    return sorted(lines, key=lambda line: not line.ran)


def _table_page(comparisons: Sequence[Comparison], view: TableView) -> TablePage:
    comparison = next(found for found in comparisons if found.paper.paper == view.paper.paper)
    rows = comparison.rows_of(view.table.table)
    return TablePage(
        view=view,
        plots=tuple(_plots(view.paper, rows, comparison.added))[:MOST_PLOTS],
        numbers=numbers_of(rows),
        strip=_strip(view.paper, rows),
        headline=table_headline(comparison, view.table.table),
        summary=table_summary(comparison, view.table.table),
        gains=tuple(gain for gain in comparison.gains if gain.entry.table.table == view.table.table),
        pairs=tuple(pair for pair in comparison.pairs if pair.table == view.table.table),
        curve=_margin_curve(comparison, view.table),
    )


def _margin_curve(comparison: Comparison, table: PaperTable) -> LineChart | None:
    """Return how the table's verdicts would count at other margins, None where nothing of it was tested.

    The margins that are declared are marked.
    """
    points = [point for point in comparison.curves if point.table == table.table]
    if not points:
        return None
    margins = np.array([point.margin for point in points])
    counts = {
        "within the margin": [point.within for point in points],
        "deviates": [point.deviates for point in points],
        "neither": [point.neither for point in points],
    }
    lines = {name: [np.stack([margins, np.array(count, float)])] for name, count in counts.items()}
    most = sum(count[0] for count in counts.values())
    rows = [row for row in comparison.rows_of(table.table) if row.number.n and row.number.margin is not None]
    units = {difference_unit(row.entry.column.unit) for row in rows}
    label = f"margin, {units.pop() if len(units) == 1 else 'in printed units'}"
    # Room above, so that a line of all numbers does not run along the edge.
    return line_chart(
        "Verdicts by margin",
        lines,
        label,
        "numbers",
        bounds=(0.0, 1.08 * most),
        marks=[row.number.margin for row in rows],
    )


def _plots(paper: Paper, rows: Sequence[ComparisonRow], added: Sequence[Entry]) -> Iterator[DotPlot]:
    by_column: dict[str, list[ComparisonRow]] = {}
    for row in rows:
        by_column.setdefault(row.entry.column.id, []).append(row)
    for column in by_column.values():
        values = [_values(paper, row) for row in column if row.number.mean is not None]
        entry = column[0].entry
        values += [
            _added_values(paper, one)
            for one in added
            if one.cell is not None and (one.table.table, one.column.id) == (entry.table.table, entry.column.id)
        ]
        label = f"{metric_name(entry.column.metric)}{UNITS_SHOWN.get(entry.column.unit, '')}"
        plot = dot_plot(entry.column_name, values, f"{label} ({entry.column.better} is better)")
        if plot is not None:
            yield plot


def _added_values(paper: Paper, entry: Entry) -> Values:
    """Return the values of a row that the benchmark adds: where one more run would be expected, and nothing printed."""
    number = judge_entry(paper, entry)
    return Values(
        label=entry.label, seeds=list(entry.ours.finished.values()), mean=number.mean, low=number.low, high=number.high
    )


def _values(paper: Paper, row: ComparisonRow) -> Values:
    entry, number = row.entry, row.number
    return Values(
        label=entry.label,
        seeds=list(entry.ours.finished.values()),
        mean=number.mean,
        low=number.low,
        high=number.high,
        printed=None if entry.stand_in or row.verdict is Verdict.NOT_COMPARABLE else entry.printed.value,
        margin=entry.table.margin(entry.column.id, paper),
    )


def _strip(paper: Paper, rows: Sequence[ComparisonRow]) -> Strip | None:
    """Return the differences of the unit that most compared numbers of the table have."""
    by_unit: dict[str, list[ComparisonRow]] = {}
    for row in rows:
        if row.number.delta is not None:
            by_unit.setdefault(row.entry.column.unit, []).append(row)
    if not by_unit:
        return None
    unit, chosen = max(by_unit.items(), key=lambda item: len(item[1]))
    margins = {row.entry.table.margin(row.entry.column.id, paper) for row in chosen}
    margin = margins.pop() if len(margins) == 1 else None
    return strip([(row.number.delta, str(row.verdict)) for row in chosen], margin, difference_unit(unit))


def _figure_page(figure: LayoutFigure, papers: Mapping[str, Paper], folder: Path) -> FigurePage:
    base = f"figures/{figure.paper}/{figure.figure}"
    paper = papers[figure.paper]
    source = paper.figure(figure.figure)
    said = folder / f"{base}.txt"
    if said.is_file():
        notes = [line for line in said.read_text(encoding="utf-8").splitlines() if line]
    else:
        notes = [f"{one.label} is not drawn: {one.reason}" for one in figure.series if one.cell is None]
    return FigurePage(
        figure=figure,
        name=f"{table_name(figure.figure)} of {paper.short_title}",
        title=source.title,
        notes=tuple(notes),
        files={end: f"{base}{end}" for end in (".svg", ".png", ".csv") if (folder / f"{base}{end}").is_file()},
    )
