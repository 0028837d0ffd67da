"""A paper's table with our numbers in it, laid out once for every format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from counterpoise.judging.compare import judge_entry
from counterpoise.judging.entries import Entry, collect_table
from counterpoise.judging.looks import looks_note
from counterpoise.judging.sequential import schedule_of
from counterpoise.judging.statistics import binomial_error
from counterpoise.judging.verdicts import SeedValues, Verdict
from counterpoise.papers.paper import Column, Paper, PaperTable, PrintedValue
from counterpoise.planning.plan import Cell, Plan, PlannedValue
from counterpoise.reporting.words import counted, metric_name
from counterpoise.results.results import CellResults

EXTRA_METRICS = {"macro_f1": "macro F1", "ece": "ECE"}
CLASSIFICATION = {"accuracy", *EXTRA_METRICS}
Mark = Literal["", "best", "runner-up"]


@dataclass(frozen=True)
class TableColumn:
    """A column as shown: the paper's, or one of ours beside them."""

    id: str
    group: str | None
    heading: tuple[str, ...]
    title: str
    metric: str
    better: str
    decimals: int
    ours_only: bool = False
    output: str = "joint"


@dataclass(frozen=True)
class TableCell:
    """What stands in one place of a table, in printed units."""

    printed: PrintedValue | None = None
    mean: float | None = None
    std: float | None = None
    n: int = 0
    planned: int = 0
    verdict: Verdict = Verdict.NOT_RUN
    reason: str = ""
    delta: float | None = None
    stand_in: bool = False
    decimals: int = 2
    mark: Mark = ""
    cell: Cell | None = None
    failed: bool = False

    @property
    def ours(self) -> str:
        """Our number, ``mean ± std``, or the word that stands in its place. Never empty."""
        if self.verdict is Verdict.NOT_DEFINED:
            return self.printed.printed if self.printed else "-"
        if self.mean is None:
            return str(self.verdict)
        text = f"{self.mean:.{self.decimals}f}"
        if self.std is not None:
            text += f" ± {self.std:.{self.decimals}f}"
        if self.verdict is Verdict.DIVERGED:
            return f"{text} (n = {self.n}, others diverged)"
        if self.failed:
            return f"{text} (n = {self.n}, others failed)"
        return f"{text} (n = {self.n})" if self.n != self.planned else text

    @property
    def paper(self) -> str:
        """The paper's number with its arrow, empty where there is none to show beside ours."""
        if self.printed is None or self.printed.kind != "number":
            return ""
        return self.printed.printed + ("↓" if self.printed.drop else "")


@dataclass(frozen=True)
class TableLine:
    """One row of a table: a method, or one of its variants, or a method that the paper does not have."""

    id: str
    title: str
    cells: tuple[TableCell, ...]
    added: bool = False


@dataclass(frozen=True)
class TableView:
    """A table ready to be written in any format."""

    paper: Paper
    table: PaperTable
    columns: tuple[TableColumn, ...]
    lines: tuple[TableLine, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """``Table 3 of MMPareto: …``."""
        kind = self.table.table.rstrip("0123456789").capitalize()
        number = self.table.table[len(kind) :]
        return f"{kind} {number} of {self.paper.short_title}: {self.table.title}"

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


def lay_out(plan: Plan, results: Mapping[str, CellResults], paper: Paper, table: PaperTable) -> TableView:
    """Return a table with the paper's rows and columns, our numbers, and columns of our own beside them."""
    entries = collect_table(plan, results, paper, table)
    columns = tuple(_columns(plan, table, entries))
    lines = [*_paper_lines(plan, paper, table, entries, columns), *_added_lines(plan, results, table, columns)]
    marked = _mark(columns, lines)
    return TableView(paper, table, columns, tuple(marked), tuple(_notes(plan, paper, table, entries, columns)))


def _columns(plan: Plan, table: PaperTable, entries: Sequence[Entry]) -> Iterator[TableColumn]:
    running = {entry.column.group for entry in entries if entry.ours is not None}
    stand_in = {entry.column.group for entry in entries if entry.stand_in}
    for group in table.groups:
        own = [column for column in table.columns if column.group == group.id]
        heading = group.heading
        if heading and group.id in stand_in:
            heading = (f"{heading[0]} (stand-in)", *heading[1:])
        for column in own:
            yield _paper_column(table, column, heading)
        if group.id in running:
            yield from _extra_columns(group.id, heading, own)
            if plan.probes_all(table.paper, table.table):
                yield from _probe_columns(table, group.id, heading, own)
    for column in table.columns:
        if column.group is None:
            yield _paper_column(table, column, ())


def _paper_column(table: PaperTable, column: Column, heading: tuple[str, ...]) -> TableColumn:
    decimals = 2 if table.unprinted else max(table.value(row, column.id).decimals for row in table.row_ids)
    return TableColumn(column.id, column.group, heading, column.title, column.metric, column.better, decimals)


def _extra_columns(group: str, heading: tuple[str, ...], own: Sequence[Column]) -> Iterator[TableColumn]:
    """Yield macro-F1 and ECE where the paper lacks them, for its joint output or for each task."""
    for output in _main_outputs(own):
        there = {column.metric for column in own if column.output == output}
        title = next(column.title for column in own if column.output == output)
        for metric in sorted(set(EXTRA_METRICS) - there, reverse=True):
            suffix = "" if output == "joint" else f"_{output}"
            shown = EXTRA_METRICS[metric] if output == "joint" else f"{title} {EXTRA_METRICS[metric]}"
            better = "lower" if metric == "ece" else "higher"
            yield TableColumn(
                f"{group}.{metric}{suffix}", group, heading, shown, metric, better, 2, ours_only=True, output=output
            )


def _probe_columns(
    table: PaperTable, group: str, heading: tuple[str, ...], own: Sequence[Column]
) -> Iterator[TableColumn]:
    """Yield, beside the unimodal columns, those in which every row is measured on a probe."""
    for column in own:
        if table.is_unimodal(column.id):
            title, name = f"{column.title}, probe", f"{column.id}_probe"
            output = f"probe:{column.output}"
            yield TableColumn(name, group, heading, title, "accuracy", "higher", 2, ours_only=True, output=output)


def _main_outputs(own: Sequence[Column]) -> list[str]:
    outputs = list(dict.fromkeys(column.output for column in own if column.metric in CLASSIFICATION))
    return ["joint"] if "joint" in outputs else outputs


def _paper_lines(
    plan: Plan, paper: Paper, table: PaperTable, entries: Sequence[Entry], columns: Sequence[TableColumn]
) -> Iterator[TableLine]:
    rows: dict[tuple[str, str | None], dict[str, Entry]] = {}
    for entry in entries:
        rows.setdefault((entry.row, entry.variant), {})[entry.column.id] = entry
    for (row, variant), by_column in rows.items():
        title = table.row(row).title if variant is None else f"{table.row(row).title} ({variant})"
        cells = [
            _extra_cell(plan, table, column, by_column.values())
            if column.ours_only
            else _paper_cell(plan, paper, column, by_column[column.id])
            for column in columns
        ]
        yield TableLine(next(iter(by_column.values())).label, title, tuple(cells))


def _paper_cell(plan: Plan, paper: Paper, column: TableColumn, entry: Entry) -> TableCell:
    number = judge_entry(paper, entry, schedule_of(plan))
    return TableCell(
        entry.printed,
        number.mean,
        number.std,
        number.n,
        len(plan.seeds),
        number.verdict,
        number.reason,
        number.delta,
        entry.stand_in,
        column.decimals,
        cell=entry.results.cell if entry.results else None,
        failed=bool(entry.results and entry.results.failed),
    )


def _extra_cell(plan: Plan, table: PaperTable, column: TableColumn, entries: Sequence[Entry]) -> TableCell:
    entry = next((entry for entry in entries if entry.column.group == column.group and entry.results), None)
    if entry is None:
        reason = next(entry.reason for entry in entries if entry.column.group == column.group)
        return TableCell(reason=reason)
    output = plan.named_in_dataset(table.paper, table.table, column.group, column.output)
    return _own_cell(plan, column, entry.results, output, entry.stand_in)


def _own_cell(plan: Plan, column: TableColumn, results: CellResults, output: str, stand_in: bool) -> TableCell:
    """Return a cell without a printed number: a metric or a method that the paper does not have."""
    values = results.values(plan.benchmark.selection, output, column.metric, 100.0)
    verdict, reason = _own_verdict(values, stand_in)
    return TableCell(
        None,
        values.mean,
        values.std,
        values.n,
        len(plan.seeds),
        verdict,
        reason,
        None,
        stand_in,
        column.decimals,
        cell=results.cell,
        failed=bool(results.failed),
    )


def _own_verdict(values: SeedValues, stand_in: bool) -> tuple[Verdict, str]:
    if values.diverged:
        return Verdict.DIVERGED, f"{len(values.diverged)} seeds diverged"
    if not values.finished and values.failed:
        return Verdict.FAILED, "; ".join(f"seed {seed} {what}" for seed, what in values.failed.items())
    if not values.finished:
        return Verdict.NOT_RUN, values.absent or "no seed has finished"
    return (Verdict.STAND_IN if stand_in else Verdict.NOT_PRINTED), "the paper gives no number"


def _added_lines(
    plan: Plan, results: Mapping[str, CellResults], table: PaperTable, columns: Sequence[TableColumn]
) -> Iterator[TableLine]:
    """Yield the rows that the benchmark adds to the paper's."""
    rows: dict[tuple[str, str | None], dict] = {}
    for value in plan.values:
        if (value.paper, value.table) == (table.paper, table.table) and value.row not in table.row_ids:
            rows.setdefault((value.row, value.variant), {})[value.column] = value
    for (row, variant), by_column in rows.items():
        cells = []
        for column in columns:
            group = [v for name, v in by_column.items() if table.column(name).group == column.group]
            planned = next((value for value in group if value.cell is not None), None)
            if planned is None:
                cells.append(TableCell(reason=next(value.reason for value in group)))
            else:
                found = results[planned.cell.name]
                output = _added_output(plan, table, column, by_column)
                cells.append(_own_cell(plan, column, found, output, planned.stand_in))
        title = row if variant is None else f"{row} ({variant})"
        yield TableLine(title, title, tuple(cells), added=True)


def _added_output(plan: Plan, table: PaperTable, column: TableColumn, by_column: Mapping[str, PlannedValue]) -> str:
    """Return the output that a column measures in a row that the benchmark adds."""
    if column.ours_only:
        return plan.named_in_dataset(table.paper, table.table, column.group, column.output)
    return plan.output(by_column[column.id])


def _mark(columns: Sequence[TableColumn], lines: Sequence[TableLine]) -> list[TableLine]:
    """Mark the best and the runner-up of our means per column, at the precision shown; ties share it."""
    grid = [list(line.cells) for line in lines]
    for position, column in enumerate(columns):
        shown = {}
        for row, cells in enumerate(grid):
            if cells[position].mean is not None and cells[position].verdict is not Verdict.DIVERGED:
                shown[row] = round(cells[position].mean, column.decimals)
        levels = sorted(set(shown.values()), reverse=column.better == "higher")
        if len(shown) < 2:
            continue
        for row, value in shown.items():
            mark = {0: "best", 1: "runner-up"}.get(levels.index(value), "")
            grid[row][position] = replace(grid[row][position], mark=mark)
    return [replace(line, cells=tuple(cells)) for line, cells in zip(lines, grid, strict=True)]


def _notes(
    plan: Plan, paper: Paper, table: PaperTable, entries: Sequence[Entry], columns: Sequence[TableColumn]
) -> Iterator[str]:
    benchmark = plan.benchmark
    seeds = ", ".join(map(str, plan.seeds))
    running = [entry for entry in entries if entry.results is not None]
    protocols = ", ".join(dict.fromkeys(entry.results.cell.protocol for entry in running)) or "none (nothing runs)"
    over = f"n = {counted(len(plan.seeds), 'seed')} ({seeds})"
    if benchmark.sequential:
        over = f"n seeds, {len(plan.seeds)} where no n stands"
    yield (
        f"Ours: mean ± standard deviation (divisor n − 1) over {over}; "
        f"selection: {benchmark.selection}; protocol: {protocols}; benchmark: {benchmark.name}. "
        "Bold is the best of ours, underlined the runner-up."
    )
    printed = f"[ ]: the number that the paper prints ({paper.printed_runs_reason})"
    arrows = any(table.value(row, name).drop for row in table.row_ids for name in table.column_ids)
    yield f"{printed}; ↓: its drop against the uniform baseline." if arrows else f"{printed}."
    declared = {(table.margin(e.column.id, paper), metric_name(e.column.metric)) for e in entries}
    margins = sorted(f"{margin:g} for {metric}" for margin, metric in declared if margin is not None)
    if margins:
        tests = f"{1 - paper.alpha:.0%} prediction intervals, tests at α = {paper.alpha:g}"
        yield f"Verdicts: equivalence margin {', '.join(margins)} in printed units, {tests}."
    schedule = schedule_of(plan)
    if schedule is not None:
        yield looks_note(plan, schedule, paper.alpha)
    yield from _sampling_notes(paper, running)
    yield from _stand_in_notes(paper, running)
    yield from _fold_notes(plan, paper, running)
    missing = dict.fromkeys(
        (_group_name(paper, entry), entry.reason) for entry in entries if entry.ours is None and entry.reason
    )
    if missing:
        yield "Not run: " + "; ".join(f"{group} ({reason})" for group, reason in missing) + "."
    failed = dict.fromkeys(
        (entry.label, seed, what) for entry in running for seed, what in entry.results.failed.items()
    )
    if failed:
        yield "Failed: " + "; ".join(f"{label}, seed {seed}: {what}" for label, seed, what in failed) + "."
    if any(column.ours_only for column in columns):
        bins = benchmark.evaluation.ece_bins
        yield f"Columns marked 'ours' are not in the paper; ECE in percent, {bins} equal-width bins."
    if any(table.row(row).star for row in table.row_ids):
        yield f"* {table.star_means}."
    if plan.probes_all(table.paper, table.table):
        yield (
            "Columns marked 'probe': in every row a linear classifier trained afterwards on each frozen "
            f"encoder of the last epoch, for {benchmark.probe.epochs} epochs: like for like across rows."
        )
    if table.unprinted:
        yield f"No numbers beside ours: {table.unprinted}."
    yield from table.notes


def _sampling_notes(paper: Paper, entries: Sequence[Entry]) -> Iterator[str]:
    """Say how far one accuracy may be off because the test set is finite, beside the spread over seeds."""
    errors: dict[tuple[str, int], list[float]] = {}
    for entry in entries:
        size = entry.results.n_test
        if entry.column.metric == "accuracy" and entry.ours.mean is not None and size:
            share = entry.ours.mean / entry.column.scale
            errors.setdefault((_data_name(paper, entry), size), []).append(100 * binomial_error(share, size))
    each = [f"{name} (N = {n:,}) {min(found):.2f} to {max(found):.2f}" for (name, n), found in errors.items()]
    if each:
        yield f"Binomial standard error of one accuracy on the test set, in points: {'; '.join(each)}."


def _group_name(paper: Paper, entry: Entry) -> str:
    """Return what a note calls a column group: its dataset, and its setting where there are several."""
    group = entry.table.group(entry.row, entry.column.id)
    facts = paper.datasets.get(group.dataset)
    return ", ".join([facts.title if facts else group.id, *group.heading[1:]])


def _data_name(paper: Paper, entry: Entry) -> str:
    """Return the data that an entry was measured on, where it stands in for the paper's by its own name."""
    own = entry.table.group(entry.row, entry.column.id).dataset
    if entry.results is None or entry.results.cell.dataset == own or not entry.stand_in:
        return _group_name(paper, entry)
    return f"{entry.results.cell.data.title}, in the place of {_group_name(paper, entry)}"


def _stand_in_notes(paper: Paper, entries: Sequence[Entry]) -> Iterator[str]:
    stand_ins = [entry for entry in entries if entry.stand_in]
    other = dict.fromkeys((_group_name(paper, entry), _what_differs(entry)) for entry in stand_ins)
    for name, what in other:
        yield f"Stand-in: {name} ran {what}; not comparable with the paper's numbers."


def _what_differs(entry: Entry) -> str:
    if entry.other_training:
        return f"with another training ({entry.other_training})"
    return f"on other data ({entry.results.cell.data.title})"


def _fold_notes(plan: Plan, paper: Paper, entries: Sequence[Entry]) -> Iterator[str]:
    """Say which seed ran on which fold, where the spread over seeds is one over folds."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for entry in entries:
        cell = entry.results.cell
        if cell.folds:
            where = tuple(f"seed {seed} on {cell.data_of(seed).title}" for seed in plan.seeds)
            seen.setdefault(where, []).append(_group_name(paper, entry))
    for where, groups in seen.items():
        yield f"Seeds run on folds, {'; '.join(dict.fromkeys(groups))}: {', '.join(where)}."
