"""Every entry of a paper's tables, joined with what our runs give for it or the reason why nothing does."""

from __future__ import annotations

from dataclasses import dataclass, field

from counterpoise.comparability import NOT_IN_BENCHMARK
from counterpoise.judging.gate import Comparability, comparability_of
from counterpoise.judging.statistics import binomial_error
from counterpoise.papers.paper import UNPRINTED, Column, Paper, PaperTable, PrintedValue
from counterpoise.results.layout import LayoutCell, LayoutValue
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A printed entry and one variant of ours; where none runs, ``cell`` is None, ``ours`` empty, ``reason`` says why.

    ``output`` is the output of the runs that it is measured on, ``n_test`` the size of their test set (None before
    any has finished). ``other_training`` is the title of a protocol that takes the place of the paper's.
    ``counted``: of a row's variants, the first one listed; a printed number counts once, whatever variants ran. What a
    paper that prints numbers elsewhere gives none of (a table that is ``unprinted``) is not counted among them.
    """

    table: PaperTable
    row: str
    variant: str | None
    column: Column
    dataset: str
    cell: LayoutCell | None = None
    n_test: int | None = None
    ours: SeedValues = field(default_factory=SeedValues)
    output: str = ""
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""
    comparability: Comparability = field(default_factory=Comparability)
    counted: bool = True

    @property
    def test_error(self) -> float | None:
        """The binomial standard error of one run on this test set, in printed units.

        Of accuracy it is exact; of macro F1, which is no share of examples, it is that of an accuracy as high. None for
        other metrics and before any run has finished.
        """
        mean = self.ours.mean
        if self.column.metric not in ("accuracy", "macro_f1") or self.n_test is None or mean is None:
            return None
        share = min(max(mean / self.column.scale, 0.0), 1.0)
        return self.column.scale * binomial_error(share, self.n_test)

    @property
    def column_name(self) -> str:
        """What a sentence calls the column."""
        return self.table.column_name(self.column.id)

    @property
    def label(self) -> str:
        """The row's id, with the variant where the row is run in several."""
        return row_label(self.row, self.variant)

    @property
    def printed(self) -> PrintedValue:
        """What the paper prints there: nothing in a row that the benchmark adds."""
        return UNPRINTED if self.added else self.table.value(self.row, self.column.id)

    @property
    def added(self) -> bool:
        """Whether the row is one that the benchmark adds to the paper's."""
        return self.row not in self.table.row_ids


def row_label(row: str, variant: str | None) -> str:
    """Return the name of a line of ours: the paper's row, and the variant where there are several."""
    return row if variant is None else f"{row} ({variant})"


def entries_of(paper: Paper, results: Results) -> list[Entry]:
    """Return all entries of all tables of ``paper`` in reading order, run or not, variants of a row adjacent."""
    places: dict[tuple[str, str, str], list[LayoutValue]] = {}
    for filled in results.layout.values_of(paper.paper):
        places.setdefault((filled.table, filled.row, filled.column), []).append(filled)
    all_entries = []
    prints_none = all(table.unprinted for table in paper.tables.values())
    for table in paper.tables.values():
        counts = prints_none or not table.unprinted
        for row in table.row_ids:
            # By variant first: the columns of one variant stand together, in the paper's order.
            variants: dict[str | None, list[Entry]] = {}
            for column in table.columns:
                for place, value in enumerate(places.get((table.table, row, column.id)) or [None]):
                    entry = _entry(paper, results, table, row, column, value, counted=counts and place == 0)
                    variants.setdefault(entry.variant, []).append(entry)
            all_entries += [entry for entries in variants.values() for entry in entries]
    return all_entries


def added_entries(paper: Paper, results: Results) -> list[Entry]:
    """Return the entries of the rows that the benchmark adds to the paper's tables, as far as cells fill them.

    They have no printed number, so they are no part of what is compared with the paper.
    """
    return [
        _entry(paper, results, table, value.row, table.column(value.column), value, counted=False)
        for value in results.layout.values_of(paper.paper)
        if value.cell is not None and value.row not in (table := paper.table(value.table)).row_ids
    ]


def _entry(
    paper: Paper,
    results: Results,
    table: PaperTable,
    row: str,
    column: Column,
    value: LayoutValue | None,
    counted: bool,
) -> Entry:
    """Return one entry; ``value`` is what the layout says about its place, None where it says nothing."""
    if value is None or value.cell is None:
        return Entry(
            table=table,
            row=row,
            variant=None if value is None else value.variant,
            column=column,
            dataset=table.group(row, column.id).dataset,
            reason=NOT_IN_BENCHMARK if value is None else value.reason,
            counted=counted,
        )
    selection, cell, n_test = results.layout.selection, results.cell(value.cell), results.n_test(value.cell)
    group, data = table.group(row, column.id), results.layout.data[cell.data]
    return Entry(
        table=table,
        row=row,
        variant=value.variant,
        column=column,
        dataset=cell.dataset,
        cell=cell,
        n_test=n_test,
        ours=results.seeds(value.cell, selection, value.output, column.measure, column.scale),
        output=value.output,
        stand_in=value.stand_in,
        other_training=value.other_training,
        comparability=comparability_of(paper, group, value, cell, data, n_test),
        counted=counted,
    )
