"""What is different between two sets of results: in numbers, in the order of rows, and in claims.

Numbers are paired over the seeds that both have; the two-sided paired t-tests are Holm-corrected over all
numbers that can be tested, so that one more table does not make one more false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

import numpy as np
from scipy import stats

from counterpoise.judging import statistics
from counterpoise.judging.pairs import paired_differences
from counterpoise.results.result_set import ClaimKey, Number, NumberKey, ResultSet
from counterpoise.results.seeds import SeedValues

LEVEL = 0.95
ALPHA = 0.05
NOTHING, NUMBERS, CLAIMS = 0, 3, 4
UNANSWERED = frozenset({"not run", ""})


class Change(StrEnum):
    """What became of a number from A to B. The order is that of reports."""

    BEYOND = "beyond seed noise"
    GONE = "only in A"
    UNDECIDED = "undecided"
    WITHIN = "within seed noise"
    OTHER_DATA = "other data"
    ADDED = "only in B"
    SAME = "same"


@dataclass(frozen=True, kw_only=True)
class NumberChange:
    """B minus A of one number, in printed units, with its 95 % interval and Holm-corrected p-value.

    ``pairs`` is how many seeds both have, 0 where the test is not paired.
    """

    key: NumberKey
    a: Number | None
    b: Number | None
    change: Change
    reason: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    pairs: int = 0

    @property
    def verdicts(self) -> tuple[str, str]:
        """The verdicts against the paper, before and after."""
        return (self.a.verdict if self.a else "", self.b.verdict if self.b else "")


@dataclass(frozen=True, kw_only=True)
class RankingChange:
    """The order of a column's rows in A and in B, by their means: τ, and the pairs that changed places."""

    paper: str
    table: str
    column: str
    rows: int
    tau: float | None
    best: tuple[str, str]
    swapped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ClaimChange:
    """A claim whose verdict is another one in B."""

    key: ClaimKey
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class ResultDifference:
    """Everything that differs between two sets of results."""

    a: ResultSet
    b: ResultSet
    numbers: list[NumberChange]
    rankings: list[RankingChange]
    claims: list[ClaimChange]

    def exit_code(self, strict: bool = False) -> int:
        """0: nothing beyond seed noise, 3: a number changed or is gone, 4: a claim's verdict changed.

        A claim counts that had an answer in A. ``strict``: any number whose value differs counts.
        """
        if any(change.a not in UNANSWERED for change in self.claims):
            return CLAIMS
        counted = {Change.BEYOND, Change.GONE}
        if strict:
            counted |= {Change.UNDECIDED, Change.WITHIN, Change.OTHER_DATA}
        return NUMBERS if any(number.change in counted for number in self.numbers) else NOTHING


def difference(a: ResultSet, b: ResultSet) -> ResultDifference:
    """Return what is different in ``b`` against ``a``, on three levels."""
    keys = dict.fromkeys([*a.numbers, *b.numbers])
    raw = [_number_change(key, a.numbers.get(key), b.numbers.get(key)) for key in keys]
    numbers = _corrected([change for change in raw if change is not None])
    return ResultDifference(a=a, b=b, numbers=numbers, rankings=_rankings(numbers), claims=_claims(a, b))


# -- numbers -------------------------------------------------------------------------------------------------


def _number_change(key: NumberKey, a: Number | None, b: Number | None) -> NumberChange | None:
    """Return the change of one number before correction, None where neither side has runs."""
    change = NumberChange(key=key, a=a, b=b, change=Change.UNDECIDED)
    if b is None or not b.ran:
        gone = replace(change, change=Change.GONE, reason=b.verdict if b else "not among its numbers")
        return gone if a is not None and a.ran else None
    if a is None or not a.ran:
        return replace(change, change=Change.ADDED)
    if (a.dataset, a.stand_in) != (b.dataset, b.stand_in):
        return replace(change, change=Change.OTHER_DATA, reason=f"A ran on {a.dataset}, B on {b.dataset}")
    if _equal(a.seeds, b.seeds):
        return replace(change, change=Change.SAME, difference=0.0, pairs=a.seeds.n)
    # Positive where B is better, whichever way the column runs; a diverged run is infinitely worse.
    sign = 1.0 if b.better == "higher" else -1.0
    better = paired_differences(b.seeds, a.seeds, sign)
    return _paired(change, better, sign) if len(better) > 1 else _unpaired(change, a.seeds, b.seeds)


def _equal(a: SeedValues, b: SeedValues) -> bool:
    return (
        a.finished.keys() == b.finished.keys()
        and a.diverged.keys() == b.diverged.keys()
        and all(abs(a.finished[seed] - b.finished[seed]) < statistics.TOLERANCE for seed in a.finished)
    )


def _paired(change: NumberChange, better: np.ndarray, sign: float) -> NumberChange:
    """Test differences paired over seeds, ``(n,)``; positive in ``better`` is better, times ``sign`` it is larger."""
    change = replace(change, change=Change.WITHIN, pairs=len(better))
    if not np.isfinite(better).all():
        reason = f"{int(np.isinf(better).sum())} of {len(better)} pairs have a diverged run"
        return replace(change, reason=reason, p_value=float(statistics.two_sided_p(better)))
    raw = sign * better
    mean, spread = float(raw.mean()), float(raw.std(ddof=1))
    change = replace(change, difference=mean)
    if np.ptp(raw) < statistics.TOLERANCE:
        if abs(mean) < statistics.TOLERANCE:
            return replace(change, reason="the same on the seeds that both have", low=0.0, high=0.0)
        reason = "every seed differs by the same amount: no spread to judge by"
        return replace(change, change=Change.UNDECIDED, reason=reason)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(raw) - 1)) * spread / math.sqrt(len(raw))
    return replace(change, low=mean - half, high=mean + half, p_value=float(statistics.two_sided_p(raw)))


def _unpaired(change: NumberChange, a: SeedValues, b: SeedValues) -> NumberChange:
    """Test two means whose runs cannot be paired (Welch); undecided where a side shows no spread."""
    if a.mean is None or b.mean is None:
        return replace(change, reason="every run of one side diverged")
    gap = b.mean - a.mean
    change = replace(change, reason="one seed in common or on a side", difference=gap)
    if a.std is None or b.std is None:
        return change
    if a.std == 0 and b.std == 0:
        return replace(change, reason="no spread to judge by")
    tested = stats.ttest_ind_from_stats(b.mean, b.std, b.n, a.mean, a.std, a.n, equal_var=False)
    errors = np.array([a.std**2 / a.n, b.std**2 / b.n])
    freedom = errors.sum() ** 2 / float((errors**2 / (np.array([a.n, b.n]) - 1)).sum())
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * math.sqrt(errors.sum())
    return replace(
        change, change=Change.WITHIN, reason="not paired", low=gap - half, high=gap + half, p_value=float(tested.pvalue)
    )


def _corrected(raw: Sequence[NumberChange]) -> list[NumberChange]:
    """Correct the p-values over all tested numbers (Holm) and say which are beyond seed noise."""
    changes = list(raw)
    for place, p_value in enumerate(statistics.holm_of_known([change.p_value for change in raw])):
        if p_value is not None:
            change = Change.BEYOND if p_value < ALPHA else Change.WITHIN
            changes[place] = replace(changes[place], p_value=p_value, change=change)
    return changes


# -- rankings ------------------------------------------------------------------------------------------------


def _rankings(numbers: Sequence[NumberChange]) -> list[RankingChange]:
    """Return, of each column with two rows or more on both sides, how its order changed."""
    columns: dict[tuple[str, str, str], dict[str, tuple[float, float]]] = {}
    for change in numbers:
        if change.a is None or change.b is None or change.change is Change.OTHER_DATA:
            continue
        paper, table, row, column = change.key
        before, after = change.a.seeds.mean, change.b.seeds.mean
        if before is not None and after is not None:
            sign = 1.0 if change.b.better == "higher" else -1.0
            columns.setdefault((paper, table, column), {})[row] = (sign * before, sign * after)
    return [_ranking(key, rows) for key, rows in columns.items() if len(rows) > 1]


def _ranking(key: tuple[str, str, str], rows: Mapping[str, tuple[float, float]]) -> RankingChange:
    """Return how the order changed of rows with their means in A and in B, higher is better."""
    names = list(rows)
    before, after = np.array(list(rows.values())).T
    tau, _ = statistics.kendall(before, after)
    swapped = tuple(
        (names[one], names[other])
        for one, other in combinations(range(len(names)), 2)
        if (before[one] - before[other]) * (after[one] - after[other]) < 0
    )
    best = (names[int(before.argmax())], names[int(after.argmax())])
    paper, table, column = key
    return RankingChange(
        paper=paper,
        table=table,
        column=column,
        rows=len(names),
        tau=tau if math.isfinite(tau) else None,
        best=best,
        swapped=swapped,
    )


# -- claims --------------------------------------------------------------------------------------------------


def _claims(a: ResultSet, b: ResultSet) -> list[ClaimChange]:
    changes = [
        ClaimChange(key=key, a=a.claims.get(key, ""), b=b.claims.get(key, ""))
        for key in dict.fromkeys([*a.claims, *b.claims])
    ]
    answered = (change for change in changes if not {change.a, change.b} <= UNANSWERED)
    return [change for change in answered if change.a != change.b]
