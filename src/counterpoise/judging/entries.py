"""Every entry of a paper's tables, joined with what our runs give for it or the reason why nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoise.judging.verdicts import SeedValues
from counterpoise.papers.paper import Column, Paper, PaperTable, PrintedValue
from counterpoise.planning.plan import NOT_IN_BENCHMARK, Plan, PlannedValue
from counterpoise.results.results import CellResults


@dataclass(frozen=True)
class Entry:
    """A printed entry and one variant of ours; ``ours`` is None where no cell runs, ``reason`` says why.

    ``output`` is the output of the runs that it is measured on, empty where none run.
    """

    table: PaperTable
    row: str
    variant: str | None
    column: Column
    dataset: str
    ours: SeedValues | None = None
    results: CellResults | None = None
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""
    output: str = ""

    @property
    def label(self) -> str:
        """The row's id, with the variant where the row is run in several."""
        return row_label(self.row, self.variant)

    @property
    def printed(self) -> PrintedValue:
        return self.table.value(self.row, self.column.id)


def row_label(row: str, variant: str | None) -> str:
    """Return the name of a line of ours: the paper's row, and the variant where there are several."""
    return row if variant is None else f"{row} [{variant}]"


def collect(plan: Plan, results: Mapping[str, CellResults], paper: Paper) -> list[Entry]:
    """Return all entries of all tables of ``paper`` in reading order, planned or not, variants adjacent."""
    tables = paper.tables.values()
    return [entry for table in tables for entry in collect_table(plan, results, paper, table)]


def collect_table(plan: Plan, results: Mapping[str, CellResults], paper: Paper, table: PaperTable) -> list[Entry]:
    """Return the entries of one table; ``results`` has at least the cells that are in it."""
    planned: dict[tuple[str, str], list[PlannedValue]] = {}
    for value in plan.values:
        if (value.paper, value.table) == (paper.paper, table.table):
            planned.setdefault((value.row, value.column), []).append(value)
    return [entry for row in table.row_ids for entry in _row_entries(plan, results, table, row, planned)]


def _row_entries(plan: Plan, results: Mapping, table: PaperTable, row: str, planned: Mapping) -> list[Entry]:
    variants: dict[str | None, list[Entry]] = {}
    for column in table.columns:
        found = planned.get((row, column.id))
        entries = [_entry(plan, results, table, column, value) for value in found] if found else []
        for entry in entries or [_unplanned(table, row, column)]:
            variants.setdefault(entry.variant, []).append(entry)
    return [entry for entries in variants.values() for entry in entries]


def _unplanned(table: PaperTable, row: str, column: Column) -> Entry:
    return Entry(table, row, None, column, table.group(row, column.id).dataset, reason=NOT_IN_BENCHMARK)


def _entry(plan: Plan, results: Mapping, table: PaperTable, column: Column, value: PlannedValue) -> Entry:
    if value.cell is None:
        dataset = table.group(value.row, column.id).dataset
        return Entry(table, value.row, value.variant, column, dataset, reason=value.reason)
    cell_results = results[value.cell.name]
    output = plan.output(value)
    ours = cell_results.values(plan.benchmark.selection, output, column.measure, column.scale)
    place = (table, value.row, value.variant, column, value.cell.dataset)
    return Entry(*place, ours, cell_results, "", value.stand_in, value.other_training, output)
