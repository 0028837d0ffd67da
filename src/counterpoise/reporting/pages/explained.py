"""Explanations on pages: each beside the number that it is of, as that number stands now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from counterpoise.judging.compare import ComparisonRow
from counterpoise.reporting.templating import slug
from counterpoise.reporting.words import difference_unit
from counterpoise.results.explained import WrittenExplanation
from counterpoise.results.names import number_name

CLOSE = 1e-9
"""Relative difference of means that are the same: they were written and read as text."""


@dataclass(frozen=True, kw_only=True)
class ExplainedNumber:
    """An explanation and the row that it is of; ``selection`` is the benchmark's of today."""

    written: WrittenExplanation
    row: ComparisonRow
    selection: str

    @property
    def id(self) -> str:
        """The anchor of the explanation on its cell's page."""
        return f"explained-{slug(self.written.name)}"

    @property
    def unit(self) -> str:
        """The unit of effects and of the gap."""
        return difference_unit(self.row.entry.column.unit)

    @property
    def current(self) -> bool:
        """Whether it is of the mean that is there now, and not of fewer, other or otherwise chosen runs."""
        then, now = self.written, self.row.number
        if then.mean is None or now.mean is None:
            return then.mean is now.mean
        same = (then.n, then.selection) == (now.n, self.selection)
        return same and math.isclose(then.mean, now.mean, rel_tol=CLOSE)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The explanations to show; ``outdated`` are the names of those whose number has another cell by now."""

    numbers: tuple[ExplainedNumber, ...] = ()
    outdated: tuple[str, ...] = ()

    def of(self, row: ComparisonRow) -> ExplainedNumber | None:
        """Return the explanation of a row, if it has one."""
        return next((one for one in self.numbers if one.row is row), None)

    def of_cell(self, name: str) -> list[ExplainedNumber]:
        """Return the explanations of a cell's numbers."""
        return [one for one in self.numbers if one.written.cell == name]


def match_explanations(
    written: Iterable[WrittenExplanation], rows: Sequence[ComparisonRow], selection: str
) -> Explained:
    """Find the row of each explanation by the number's name and its cell."""
    by_name = {row_name(row): row for row in rows if row.entry.cell is not None}
    numbers, outdated = [], []
    for explanation in written:
        row = by_name.get(explanation.name)
        if row is None or row.entry.cell.name != explanation.cell:
            outdated.append(explanation.name)
        else:
            numbers.append(ExplainedNumber(written=explanation, row=row, selection=selection))
    return Explained(numbers=tuple(numbers), outdated=tuple(outdated))


def row_name(row: ComparisonRow) -> str:
    """Return the name of a row's number: ``<paper>.<table>.<row>.<column>``."""
    entry = row.entry
    return number_name(entry.table.paper, entry.table.table, entry.row, entry.variant, entry.column.id)
