"""The second question: does each printed gain over the table's baseline come out, paired over seeds?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry
from counterpoise.judging.level import columns_of
from counterpoise.judging.pairs import example_error, paired_differences
from counterpoise.papers.paper import Paper
from counterpoise.results.table import Results


class Gain(StrEnum):
    """What can be said about a printed gain."""

    CONSISTENT = "consistent"
    DEVIATES = "deviates"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class GainResult:
    """A printed gain of a row over the table's baseline and ours, paired over seeds; in printed units, row − baseline.

    ``low`` and ``high`` bound the 95 % prediction interval of the printed gain. Where our test set is not the paper's,
    it holds the examples' error too. ``p_value`` is two-sided, ``p_corrected`` after Holm over the paper's gains.
    """

    entry: Entry
    baseline: str
    printed: float
    gain: float
    low: float | None
    high: float | None
    n: int
    verdict: Gain
    p_value: float | None = None
    p_corrected: float | None = None

    @property
    def same_sign(self) -> bool:
        """Whether ours goes the printed way."""
        return self.printed * self.gain > 0 or self.printed == self.gain == 0


def judge_gains(paper: Paper, entries: Sequence[Entry], results: Results) -> list[GainResult]:
    """Return every printed gain whose row and baseline both ran; none on stand-ins and of metrics of a machine."""
    gains = [gain for column in columns_of(entries).values() for gain in _column(paper, column, results)]
    adjusted = statistics.holm_of_known([gain.p_value for gain in gains])
    return [replace(gain, p_corrected=p_value) for gain, p_value in zip(gains, adjusted, strict=True)]


def _column(paper: Paper, column: Sequence[Entry], results: Results) -> Iterator[GainResult]:
    table = column[0].table
    base = next((entry for entry in column if entry.row == table.baseline and entry.counted), None)
    if base is None or not _usable(paper, base):
        return
    for entry in column:
        if entry.row != base.row and entry.counted and _usable(paper, entry):
            result = _gain(paper, entry, base, results)
            if result is not None:
                yield result


def _usable(paper: Paper, entry: Entry) -> bool:
    judged = entry.table.margin(entry.column.id, paper) is not None
    return bool(entry.ours.finished) and judged and not entry.stand_in


def _gain(paper: Paper, entry: Entry, base: Entry, results: Results) -> GainResult | None:
    """Return a gain before the correction; None where one is not printed or no seed has finished in both."""
    differences = paired_differences(entry.ours, base.ours, 1.0)
    differences = differences[np.isfinite(differences)]
    n, of_row, of_base = len(differences), entry.printed.value, base.printed.value
    if n == 0 or of_row is None or of_base is None:
        return None
    printed, gain = of_row - of_base, float(differences.mean())
    result = GainResult(
        entry=entry, baseline=base.row, printed=printed, gain=gain, low=None, high=None, n=n, verdict=Gain.UNDECIDED
    )
    std = float(differences.std(ddof=1)) if n > 1 else 0.0
    if std < statistics.TOLERANCE:
        return result
    other_draw = entry.comparability.level != "same"
    crossed = example_error(results, entry, base) if other_draw else None
    test = statistics.level_test(
        gain,
        std,
        n,
        printed,
        margin=math.inf,
        runs=paper.printed_runs,
        alpha=paper.alpha,
        rounding=entry.printed.rounding + base.printed.rounding,
        test_error=0.0 if crossed is None else crossed.floor,
    )
    p_value = float(test.p_outside)
    verdict = Gain.DEVIATES if p_value < paper.alpha else Gain.CONSISTENT
    return replace(result, low=float(test.low), high=float(test.high), p_value=p_value, verdict=verdict)
