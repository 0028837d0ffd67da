"""Every entry of a paper's tables, joined with what our runs give for it or the reason why nothing does."""

from __future__ import annotations

from dataclasses import dataclass

from counterpoise.papers.paper import Column, Paper, PaperTable, PrintedValue
from counterpoise.results.layout import NOT_IN_BENCHMARK, LayoutCell, LayoutValue
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A printed entry and one variant of ours; ``cell`` and ``ours`` are None where none runs, ``reason`` says why.

    ``output`` is the output of the runs that it is measured on, ``n_test`` the size of their test set (None before
    any has finished). ``other_training`` is the title of a protocol that takes the place of the paper's.
    """

    table: PaperTable
    row: str
    variant: str | None
    column: Column
    dataset: str
    cell: LayoutCell | None = None
    n_test: int | None = None
    ours: SeedValues | None = None
    output: str = ""
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""

    @property
    def label(self) -> str:
        """The row's id, with the variant where the row is run in several."""
        return row_label(self.row, self.variant)

    @property
    def printed(self) -> PrintedValue:
        """What the paper prints there."""
        return self.table.value(self.row, self.column.id)


def row_label(row: str, variant: str | None) -> str:
    """Return the name of a line of ours: the paper's row, and the variant where there are several."""
    return row if variant is None else f"{row} [{variant}]"


def entries_of(paper: Paper, results: Results) -> list[Entry]:
    """Return all entries of all tables of ``paper`` in reading order, run or not, variants of a row adjacent."""
    places: dict[tuple[str, str, str], list[LayoutValue]] = {}
    for value in results.layout.values_of(paper.paper):
        places.setdefault((value.table, value.row, value.column), []).append(value)
    found = []
    for table in paper.tables.values():
        for row in table.row_ids:
            # By variant first: the columns of one variant stand together, in the paper's order.
            variants: dict[str | None, list[Entry]] = {}
            for column in table.columns:
                for value in places.get((table.table, row, column.id)) or [None]:
                    entry = _entry(results, table, row, column, value)
                    variants.setdefault(entry.variant, []).append(entry)
            found += [entry for entries in variants.values() for entry in entries]
    return found


def _entry(results: Results, table: PaperTable, row: str, column: Column, value: LayoutValue | None) -> Entry:
    """Return one entry; ``value`` is what the layout says about its place, None where it says nothing."""
    if value is None or value.cell is None:
        return Entry(
            table=table,
            row=row,
            variant=None if value is None else value.variant,
            column=column,
            dataset=table.group(row, column.id).dataset,
            reason=NOT_IN_BENCHMARK if value is None else value.reason,
        )
    selection = results.layout.selection
    return Entry(
        table=table,
        row=row,
        variant=value.variant,
        column=column,
        dataset=results.cell(value.cell).dataset,
        cell=results.cell(value.cell),
        n_test=results.n_test(value.cell),
        ours=results.seeds(value.cell, selection, value.output, column.measure, column.scale),
        output=value.output,
        stand_in=value.stand_in,
        other_training=value.other_training,
    )
