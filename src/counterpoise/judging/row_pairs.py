"""Two rows of a table side by side: their paired difference in each column, and whether it can be told from none.

That is the verdict on a method that the paper does not have, and the one between the rows of a table of one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry
from counterpoise.judging.level import columns_of
from counterpoise.judging.pairs import example_error, paired_differences
from counterpoise.papers.paper import Paper
from counterpoise.results.table import Results


@dataclass(frozen=True, kw_only=True)
class RowPair:
    """A row against another one of the same column: the mean difference in printed units, row − other.

    ``low`` and ``high`` are its 95 % t-interval over ``n`` seed pairs, on this test set; ``new_low`` and ``new_high``
    are that for new seeds and new examples alike, None where it is not known which examples the runs got right.
    The p-values are two-sided. ``corrected`` ones are after Holm over a family of the table: all pairs with a row that
    is one's own (``asked``), or all pairs of the paper's rows, which nobody asked about beforehand.
    """

    table: str
    column: str
    row: str
    other: str
    asked: bool
    difference: float
    low: float | None
    high: float | None
    n: int
    p_value: float | None
    p_corrected: float | None = None
    new_low: float | None = None
    new_high: float | None = None
    new_p_value: float | None = None
    new_p_corrected: float | None = None
    better: bool = False
    alpha: float = 0.05

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``undecided``, on this test set."""
        return self._word(self.p_corrected)

    @property
    def new_examples(self) -> str:
        """The same for new examples; empty where nothing is known of them."""
        return "" if self.new_p_value is None else self._word(self.new_p_corrected)

    def _word(self, p_value: float | None) -> str:
        if p_value is None or p_value >= self.alpha:
            return "undecided"
        return "better" if self.better else "worse"


def judge_pairs(paper: Paper, entries: Sequence[Entry], added: Sequence[Entry], results: Results) -> list[RowPair]:
    """Return every pair of rows of each column, each pair once, the row that is one's own first.

    Args:
        entries: those of the paper's rows; of a table of one's own, all rows are.
        added: those of rows that the benchmark adds.
    """
    pairs = []
    for column in columns_of([*added, *entries]).values():
        for entry, other in combinations(column, 2):
            pair = _pair(paper, entry, other, results)
            if pair is not None:
                pairs.append(pair)
    return _corrected(pairs)


def _pair(paper: Paper, entry: Entry, other: Entry, results: Results) -> RowPair | None:
    """Return two rows side by side, without corrected p-values; None where no seed has finished in both."""
    sign = 1.0 if entry.column.better == "higher" else -1.0
    # positive where the first row is better; a run that diverged is worse by an unknown amount
    gains = paired_differences(entry.ours, other.ours, sign)
    finite = sign * gains[np.isfinite(gains)]
    if not len(finite):
        return None
    interval = statistics.mean_interval(finite)
    p_value = float(statistics.two_sided_p(gains)) if len(gains) > 1 else None
    pair = RowPair(
        table=entry.table.table,
        column=entry.column.id,
        row=entry.label,
        other=other.label,
        asked=paper.is_own or entry.added,
        difference=float(finite.mean()),
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        n=len(gains),
        p_value=p_value,
        better=bool(np.median(gains) > 0 if len(finite) < len(gains) else gains.mean() > 0),
        alpha=paper.alpha,
    )
    # A run that diverged got no example right or wrong: nothing can be said of new ones.
    return pair if len(finite) < len(gains) else _for_new_examples(pair, entry, other, results)


def _for_new_examples(pair: RowPair, entry: Entry, other: Entry, results: Results) -> RowPair:
    """Return a pair with its interval and p-value for new seeds and new examples.

    Neither is ever surer than over seeds alone. Estimated apart they could be: few seeds have a t distribution with a
    long tail, and where the examples' error is mixed in, that tail gets lighter.
    """
    found = example_error(results, entry, other)
    if found is None or found.error < statistics.TOLERANCE:
        return pair
    low, high = found.interval
    p_value = 2 * found.tail(abs(found.mean) / found.error)
    if pair.low is not None and pair.high is not None:
        low, high = min(low, pair.low), max(high, pair.high)
    return replace(pair, new_low=low, new_high=high, new_p_value=max(p_value, pair.p_value or 0.0))


def _corrected(pairs: Sequence[RowPair]) -> list[RowPair]:
    """Return the pairs in their order, with p-values after Holm over each family."""
    families: dict[tuple[str, bool], list[int]] = {}
    for place, pair in enumerate(pairs):
        families.setdefault((pair.table, pair.asked), []).append(place)
    corrected = list(pairs)
    for places in families.values():
        here = statistics.holm_of_known([pairs[i].p_value for i in places])
        anew = statistics.holm_of_known([pairs[i].new_p_value for i in places])
        for i, p_value, new in zip(places, here, anew, strict=True):
            # Fewer pairs have stored examples, so that this family is smaller and its correction is less.
            new = None if new is None else max(new, p_value or 0.0)
            corrected[i] = replace(corrected[i], p_corrected=p_value, new_p_corrected=new)
    return corrected
