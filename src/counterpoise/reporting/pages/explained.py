"""Explanations on pages: each beside the number that it is of, as that stands now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from counterpoise.judging.compare import ComparisonRow
from counterpoise.planning.plan import Plan
from counterpoise.reporting.words import difference_unit
from counterpoise.results.explained import WrittenExplanation, read_explanations
from counterpoise.runs.trace import number_name

CLOSE = 1e-9
"""Relative difference of means that are the same: they were written and read as text."""


@dataclass(frozen=True)
class ExplainedNumber:
    """An explanation and the row that it is of; ``table`` names its CSV in the report, if it has one.

    ``selection`` is the benchmark's of today.
    """

    written: WrittenExplanation
    row: ComparisonRow
    selection: str
    table: str

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


@dataclass(frozen=True)
class Explained:
    """The explanations that are there; ``outdated`` are the names of those whose number has another cell."""

    numbers: tuple[ExplainedNumber, ...] = ()
    outdated: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)

    def of(self, row: ComparisonRow) -> ExplainedNumber | None:
        """Return the explanation of a row, if it has one."""
        return next((found for found in self.numbers if found.row is row), None)

    def of_cell(self, name: str) -> list[ExplainedNumber]:
        """Return the explanations of a cell's numbers."""
        return [found for found in self.numbers if found.written.cell == name]


def read_explained(plan: Plan, root: Path, rows: Iterable[ComparisonRow]) -> Explained:
    """Read the explanations of a plan's numbers; none is no error.

    Raises:
        UserError: a file is torn, or is no explanation.
    """
    written = read_explanations(root, plan.benchmark.name)
    if not written:
        return Explained()
    by_name = {_name(row): row for row in rows if row.entry.results is not None}
    numbers, outdated, files = [], [], {}
    for path, found in written.items():
        row = by_name.get(found.name)
        if row is None or row.entry.results.cell.name != found.cell:
            outdated.append(found.name)
            continue
        beside = path.with_suffix(".csv")
        table = f"data/explained.{beside.name}" if beside.is_file() else ""
        if table:
            files[table] = beside.read_bytes()
        numbers.append(ExplainedNumber(found, row, plan.benchmark.selection, table))
    return Explained(tuple(numbers), tuple(outdated), files)


def _name(row: ComparisonRow) -> str:
    entry = row.entry
    return number_name(entry.table.paper, entry.table.table, entry.row, entry.variant, entry.column.id)
