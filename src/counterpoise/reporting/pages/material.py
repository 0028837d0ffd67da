"""Everything that the report's pages are made of, read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterpoise.judging.audit import Finding, audit_paper
from counterpoise.judging.claims import Answer, ClaimResult
from counterpoise.judging.compare import Comparison, ComparisonRow, compare_paper
from counterpoise.planning.plan import Plan, PlannedFigure
from counterpoise.reporting.layout import TableView, lay_out
from counterpoise.reporting.pages.cell import CellPage, page_name, read_cell_page
from counterpoise.reporting.pages.charts import DotPlot, Values, dot_plot
from counterpoise.reporting.pages.explained import Explained, ExplainedNumber, read_explained
from counterpoise.reporting.pages.recorded import Data, Evidence, as_yaml, evidence, read_data
from counterpoise.reporting.tables import as_latex, as_table_csv
from counterpoise.reporting.words import Seeds, metric_name, seeds_in_all
from counterpoise.results.results import CellResults, read_results

MOST_PLOTS = 24
"""Dot plots per table; a table with more columns than any paper's has the rest in its cells alone."""


@dataclass(frozen=True)
class NumberLine:
    """One printed entry: what it is called, the page of the cell that regenerates it, if one does, and what
    explains it.
    """

    row: ComparisonRow
    column: str
    page: str
    explained: ExplainedNumber | None = None

    @property
    def ran(self) -> bool:
        """Whether any seed gave a value."""
        return self.row.number.mean is not None


@dataclass(frozen=True)
class TablePage:
    """A table of the benchmark with its dot plots and the counts of its verdicts."""

    view: TableView
    plots: tuple[DotPlot, ...]
    counts: Mapping[str, int]

    @property
    def name(self) -> str:
        """The page's name."""
        return f"tables/{self.view.paper.paper}.{self.view.table.table}"

    @property
    def file(self) -> str:
        """The name, without its suffix, of the table's data files."""
        return f"data/{self.view.paper.paper}.{self.view.table.table}"


@dataclass(frozen=True)
class FigurePage:
    """A figure of the benchmark; its pictures are there once the workflow has drawn it."""

    planned: PlannedFigure
    caption: str
    picture: str
    table: str


@dataclass(frozen=True)
class Material:
    """All that is shown, and the files beside the pages."""

    plan: Plan
    comparisons: tuple[Comparison, ...]
    numbers: tuple[NumberLine, ...]
    tables: tuple[TablePage, ...]
    cells: tuple[CellPage, ...]
    data: Mapping[str, Data]
    evidence: Evidence
    audits: Mapping[str, Sequence[Finding]]
    figures: tuple[FigurePage, ...]
    explained: Explained
    files: Mapping[str, bytes]

    @property
    def claims(self) -> list[tuple[str, ClaimResult]]:
        """Every claim with its paper's name, those that have an answer first."""
        every = [(found.paper.paper, claim) for found in self.comparisons for claim in found.claims]
        return sorted(every, key=lambda entry: entry[1].answer in (Answer.NOT_RUN, Answer.NOT_TESTED))

    @property
    def seeds(self) -> Seeds:
        """The seeds that the cells are to have, by what is there now."""
        return seeds_in_all(self.plan.seeds_of(cell) for cell in self.plan.cells)

    @property
    def benchmark(self) -> str:
        """The benchmark with all of its settings, as YAML."""
        return as_yaml(self.plan.benchmark.model_dump(mode="json"))


def gather(plan: Plan, root: Path) -> Material:
    """Read results, records, manifests and figures of a plan.

    Raises:
        UserError: a result file is broken or belongs to another run.
    """
    results = read_results(plan, root)
    comparisons = tuple(compare_paper(plan, root, paper, results) for paper in plan.papers)
    data = read_data(plan, root)
    explained = read_explained(plan, root, (row for found in comparisons for row in found.rows))
    cells = tuple(_cells(plan, root, results, data, comparisons, explained))
    tables = tuple(_table(plan, results, comparisons, paper, table) for paper, table in plan.tables)
    figures, pictures = _figures(plan, root)
    audits = {found.paper.paper: audit_paper(found.paper) for found in comparisons}
    files = {**dict(_table_files(tables)), **dict(_comparison_files(comparisons)), **pictures, **explained.files}
    return Material(
        plan,
        comparisons,
        tuple(_numbers(comparisons, explained)),
        tables,
        cells,
        data,
        evidence((page.cell, page.runs) for page in cells),
        audits,
        figures,
        explained,
        files,
    )


def _cells(
    plan: Plan,
    root: Path,
    results: Mapping[str, CellResults],
    data: Mapping[str, Data],
    comparisons: Sequence[Comparison],
    explained: Explained,
) -> Iterable[CellPage]:
    uses: dict[str, list[ComparisonRow]] = {}
    for row in (row for comparison in comparisons for row in comparison.rows):
        if row.entry.results is not None:
            uses.setdefault(row.entry.results.cell.name, []).append(row)
    for name, found in results.items():
        yield read_cell_page(plan, root, found, data[found.cell.data_key], uses.get(name, ()), explained.of_cell(name))


def _numbers(comparisons: Sequence[Comparison], explained: Explained) -> Iterable[NumberLine]:
    """Yield every printed entry of the papers, those that ran first."""
    lines = [
        NumberLine(
            row, column_name(row), page_name(row.entry.results.cell) if row.entry.results else "", explained.of(row)
        )
        for comparison in comparisons
        for row in comparison.rows
    ]
    return sorted(lines, key=lambda line: not line.ran)


def column_name(row: ComparisonRow) -> str:
    """Return a column's heading and title in one line."""
    entry = row.entry
    return ": ".join(
        filter(None, [" ".join(entry.table.group(entry.row, entry.column.id).heading), entry.column.title])
    )


def _table(
    plan: Plan, results: Mapping[str, CellResults], comparisons: Sequence[Comparison], paper: str, table: str
) -> TablePage:
    comparison = next(found for found in comparisons if found.paper.paper == paper)
    view = lay_out(plan, results, comparison.paper, comparison.paper.table(table))
    counts = Counter(str(cell.verdict) for line in view.lines for cell in line.cells if cell.printed is not None)
    return TablePage(view, tuple(_plots(comparison, view))[:MOST_PLOTS], counts)


def _plots(comparison: Comparison, view: TableView) -> Iterable[DotPlot]:
    by_column: dict[str, list[ComparisonRow]] = {}
    for row in comparison.rows:
        if row.entry.table is view.table:
            by_column.setdefault(row.entry.column.id, []).append(row)
    for rows in by_column.values():
        values = [_values(row) for row in rows if row.number.mean is not None]
        plot = dot_plot(column_name(rows[0]), values, _unit(rows[0])) if len(values) > 1 else None
        if plot is not None:
            yield plot


def _values(row: ComparisonRow) -> Values:
    printed = None if row.entry.stand_in else row.entry.printed.value
    seeds = list(row.entry.ours.finished.values()) if row.entry.ours else []
    return Values(row.entry.label, seeds, row.number.mean, row.number.low, row.number.high, printed)


def _unit(row: ComparisonRow) -> str:
    column = row.entry.column
    unit = {"percent": ", %", "seconds": ", s", "seconds_squared": ", s²"}.get(column.unit, "")
    return f"{metric_name(column.metric)}{unit} ({column.better} is better)"


def _table_files(tables: Sequence[TablePage]) -> Iterable[tuple[str, bytes]]:
    for page in tables:
        yield f"{page.file}.csv", as_table_csv(page.view).encode()
        yield f"{page.file}.tex", as_latex(page.view).encode()


def _comparison_files(comparisons: Sequence[Comparison]) -> Iterable[tuple[str, bytes]]:
    for found in comparisons:
        for name, text in found.texts().items():
            yield f"data/{name}", text.encode()


def _figures(plan: Plan, root: Path) -> tuple[tuple[FigurePage, ...], dict[str, bytes]]:
    """Return the figures and, by their names in the report, the files of those that are drawn."""
    pages, files = [], {}
    for planned in plan.figures:
        base = root / "results" / "figures" / planned.id
        name = f"figures/{planned.figure.paper}.{planned.figure.name}"
        there = {suffix: base.with_name(f"{base.name}{suffix}") for suffix in (".svg", ".csv")}
        found = {suffix: path.read_bytes() for suffix, path in there.items() if path.is_file()}
        files |= {f"{name}{suffix}": content for suffix, content in found.items()}
        shown = {suffix: f"{name}{suffix}" if suffix in found else "" for suffix in there}
        below = _caption(plan, planned, there[".csv"]) if ".svg" in found else ""
        pages.append(FigurePage(planned, below, shown[".svg"], shown[".csv"]))
    return tuple(pages), files


def _caption(plan: Plan, planned: PlannedFigure, drawn: Path) -> str:
    # matplotlib takes a while to load
    from counterpoise.reporting.figures.draw import caption, read_rows

    rows = read_rows(drawn) if drawn.is_file() else []
    return caption(planned, rows, plan.benchmark.scale)
