"""The third question: do the differences ours − printed vary more over a column's rows than noise allows?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry
from counterpoise.judging.level import columns_of
from counterpoise.papers.paper import Paper

LEAST_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One F test of a column: small ``p_value``, and the printed differences between rows are not ours.

    ``p_flat`` is the same test of the printed numbers alone, with our spread: where it is large, the paper's rows
    would be compatible with one and the same method, and a compatible pattern says little.
    """

    table: str
    column: str
    rows: int
    f: float
    p_value: float
    p_flat: float
    stand_in: bool


def judge_patterns(paper: Paper, entries: Sequence[Entry]) -> list[Pattern]:
    """Return a test for each column with three rows or more that ran on two seeds or more.

    F = Σ(d − d̄)² / (K − 1) / (s² · (1/n + 1/r)) with K − 1 and Σ(n − 1) degrees of freedom: d the K differences, s²
    the variance pooled over the rows, n the mean number of our runs (harmonic), r the paper's.
    """
    patterns = []
    for (table, column), every in columns_of(entries).items():
        rows = [e for e in every if e.counted and e.printed.kind == "number"]
        rows = [e for e in rows if e.ours.std is not None and not e.ours.diverged]
        if len(rows) < LEAST_ROWS or rows[0].table.margin(column, paper) is None:
            continue
        std, degrees = statistics.pooled_spread([e.ours.std for e in rows], [e.ours.n for e in rows])
        if std < statistics.TOLERANCE:
            continue
        noise = std**2 * (float(np.mean([1 / e.ours.n for e in rows])) + 1 / paper.printed_runs)
        means, printed = np.array([(e.ours.mean, e.printed.value) for e in rows], float).T
        f, p_value = f_test(means - printed, noise, degrees)
        _, p_flat = f_test(printed, std**2 / paper.printed_runs, degrees)
        stand_in = any(e.stand_in for e in rows)
        patterns.append(
            Pattern(table=table, column=column, rows=len(rows), f=f, p_value=p_value, p_flat=p_flat, stand_in=stand_in)
        )
    return patterns


def f_test(values: Sequence[float] | NDArray[np.float64], noise: float, degrees: int) -> tuple[float, float]:
    """Return F and its p-value: do ``values`` vary more than a variance ``noise`` with ``degrees`` of freedom?"""
    f = float(np.var(values, ddof=1)) / noise
    return f, float(stats.f.sf(f, len(values) - 1, degrees))
