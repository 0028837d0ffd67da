"""The verdict on a method that the paper does not have: its paired difference from every row of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from counterpoise.judging import statistics
from counterpoise.judging.entries import row_label
from counterpoise.judging.pairs import paired_differences
from counterpoise.papers.paper import Column, Paper, PaperTable
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results


@dataclass(frozen=True, kw_only=True)
class AddedResult:
    """An added row against another row of the same column: the mean difference in printed units, added − other.

    ``low`` and ``high`` are its 95 % t-interval over ``n`` seed pairs; ``p_corrected`` is two-sided, Holm-corrected
    over everything that the added rows of a paper are compared with.
    """

    table: str
    column: str
    row: str
    other: str
    difference: float
    low: float | None
    high: float | None
    n: int
    p_value: float | None
    p_corrected: float | None = None
    better: bool = False
    alpha: float = 0.05

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``undecided``."""
        if self.p_corrected is None or self.p_corrected >= self.alpha:
            return "undecided"
        return "better" if self.better else "worse"


def judge_added(paper: Paper, results: Results) -> list[AddedResult]:
    """Return, for every row that the benchmark adds to a table of the paper, its difference from every other row."""
    found = [result for table in paper.tables.values() for result in _table(paper, table, results)]
    tested = [i for i, result in enumerate(found) if result.p_value is not None]
    adjusted = statistics.holm([found[i].p_value for i in tested]) if tested else ()
    for i, p_value in zip(tested, adjusted, strict=True):
        found[i] = replace(found[i], p_corrected=float(p_value))
    return found


def _table(paper: Paper, table: PaperTable, results: Results) -> Iterator[AddedResult]:
    values = results.layout.values_of(paper.paper, table.table)
    if all(value.row in table.row_ids for value in values):
        return
    for column in table.columns:
        lines = {}
        for value in values:
            if value.column == column.id and value.cell is not None:
                seeds = results.seeds(value.cell, results.layout.selection, value.output, column.measure, column.scale)
                lines[row_label(value.row, value.variant)] = (value, seeds)
        for name, (value, seeds) in lines.items():
            if value.row in table.row_ids:
                continue
            for other, (rival, rivals) in lines.items():
                if rival.row != value.row:
                    result = _against(paper, table, column, (name, seeds), (other, rivals))
                    if result is not None:
                        yield result


def _against(
    paper: Paper, table: PaperTable, column: Column, own: tuple[str, SeedValues], rival: tuple[str, SeedValues]
) -> AddedResult | None:
    differences = paired_differences(own[1], rival[1], 1.0)
    sign = 1.0 if column.better == "higher" else -1.0
    differences = np.where(np.isinf(differences), sign * differences, differences)
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return None
    interval = statistics.mean_interval(finite)
    p_value = None
    if len(differences) > 1:
        above, below = statistics.paired_p(differences)
        p_value = float(min(1.0, 2 * min(above, below)))
    return AddedResult(
        table=table.table,
        column=column.id,
        row=own[0],
        other=rival[0],
        difference=float(finite.mean()),
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        n=len(differences),
        p_value=p_value,
        better=bool(sign * finite.mean() > 0),
        alpha=paper.alpha,
    )
