"""The verdict on one printed number's level: what our runs say about it, by the rules of ``docs/statistics.md``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from counterpoise.comparability import OTHER, OTHER_DRAW
from counterpoise.judging import statistics
from counterpoise.judging.gate import Comparability
from counterpoise.papers.paper import PrintedValue
from counterpoise.results.seeds import SeedValues

MOST_WRONG = 0.5
"""Where more of the wrong pairings than this pass a column's margin, too, nothing in it is called reproduced."""


class Verdict(StrEnum):
    """What can be said about a printed number. The order is that of reports."""

    REPRODUCED = "reproduced"
    WITHIN = "within margin"
    CONSISTENT = "consistent"
    UNDECIDED = "undecided"
    DEVIATES = "deviates"
    DIVERGED = "diverged"
    FAILED = "failed"
    NOT_COMPARABLE = "not comparable"
    STAND_IN = "stand-in"
    NOT_JUDGED = "not judged"
    NOT_RUN = "not run"
    NOT_DEFINED = "not defined"
    NOT_PRINTED = "not printed"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A standard deviation over seeds to judge by, its degrees of freedom, and its source if not the own seeds."""

    std: float
    degrees: float
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is declared before anything runs, and what the rest of the column lends to one of its numbers.

    ``margin`` is None for metrics without a declared one (those of a machine), which are shown and not judged.
    ``highest`` is the largest possible value of the metric: intervals are clipped to [0, ``highest``] for display,
    verdicts use the unclipped ones.
    ``shared`` is the spread for a number whose own seeds show none. ``test_error`` is the sampling error of one number
    on one test set. ``better`` and ``range`` (the metric's, None where it has none) say which seeds collapsed.
    """

    margin: float | None
    printed_runs: int = 1
    alpha: float = 0.05
    highest: float = math.inf
    shared: Spread | None = None
    test_error: float | None = None
    better: str = "higher"
    range: float | None = None


@dataclass(frozen=True, kw_only=True)
class NumberVerdict:
    """A verdict and what it rests on; ``low`` and ``high`` bound the prediction interval of a printed value.

    ``delta`` is ours minus the paper's, in printed units, between ``equal_low`` and ``equal_high`` (90 %, TOST's).
    ``equivalent``: within the margin by TOST, whatever the gate says; None where that was not tested. ``p_value`` is
    that of a deviation, ``p_corrected`` after Holm over the paper's compared numbers.
    """

    verdict: Verdict
    reason: str = ""
    mean: float | None = None
    std: float | None = None
    n: int = 0
    median: float | None = None
    iqm: float | None = None
    collapsed: tuple[int, ...] = ()
    margin: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    equal_low: float | None = None
    equal_high: float | None = None
    equivalent: bool | None = None
    p_value: float | None = None
    p_corrected: float | None = None


def judge_number(
    printed: PrintedValue,
    ours: SeedValues,
    rule: Rule,
    stand_in: bool = False,
    comparability: Comparability | None = None,
) -> NumberVerdict:
    """Return the verdict on a printed entry that a cell of the benchmark fills.

    ``stand_in``: the cell ran on other data or with another training than the paper's, so nothing is compared.
    """
    gate = comparability or Comparability()
    unfinished = _unfinished(ours)
    if printed.kind in ("not_defined", "not_applicable"):
        return NumberVerdict(verdict=Verdict.NOT_DEFINED, reason=f"the paper prints '{printed.printed}'")
    if ours.absent:
        return NumberVerdict(verdict=Verdict.NOT_RUN, reason=ours.absent)
    if not ours.finished and not ours.diverged:
        if ours.failed:
            return NumberVerdict(verdict=Verdict.FAILED, reason=unfinished)
        reason = _join("no seed has finished", unfinished if ours.interrupted else "")
        return NumberVerdict(verdict=Verdict.NOT_RUN, reason=reason)

    seen = _seen(ours, rule)
    aside = _join(_collapse(ours, seen), unfinished)
    spread = spread_of(ours, rule)
    tested = None
    if spread is not None and seen.mean is not None:
        tested = _test(seen.mean, spread, ours.n, printed, rule, gate)
        low, high = (min(max(float(bound), 0.0), rule.highest) for bound in (tested.low, tested.high))
        seen = replace(seen, low=low, high=high)
    if ours.diverged or seen.mean is None:  # some did, or all of them
        return replace(seen, verdict=Verdict.DIVERGED, reason=_join(_divergence(ours), aside))
    if stand_in:
        return replace(seen, verdict=Verdict.STAND_IN, reason=_join("not the paper's data: no comparison", aside))
    if printed.value is None:
        return replace(seen, verdict=Verdict.NOT_PRINTED, reason=_join("the paper gives no number", aside))

    seen = replace(seen, delta=seen.mean - printed.value)
    if rule.margin is None:
        return replace(seen, verdict=Verdict.NOT_JUDGED, reason=_join("no margin is declared for this metric", aside))
    if tested is not None:
        seen = replace(
            seen,
            equal_low=float(tested.equal_low),
            equal_high=float(tested.equal_high),
            equivalent=bool(tested.p_equal < rule.alpha),
        )
    if gate.level == OTHER:
        reason = _join(f"not comparable in level ({gate.reason})", aside)
        return replace(seen, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    if tested is None or spread is None:
        seeds = "one seed shows no spread" if ours.n == 1 else f"all {ours.n} seeds give the same value"
        reason = f"{seeds}, no other row does, and the test set's error is not known: nothing to judge by"
        return replace(seen, reason=_join(reason, aside))
    aside = _join(spread.source, f"another draw ({gate.reason})" if gate.level == OTHER_DRAW else "", aside)
    return _level(seen, tested, spread, rule, aside)


def _seen(ours: SeedValues, rule: Rule) -> NumberVerdict:
    values = list(ours.finished.values())
    return NumberVerdict(
        verdict=Verdict.UNDECIDED,
        mean=ours.mean,
        std=ours.std,
        n=ours.n,
        median=float(np.median(values)) if values else None,
        iqm=statistics.interquartile_mean(values) if values else None,
        collapsed=statistics.collapsed(ours.finished, rule.better, rule.range) if rule.range else (),
        margin=rule.margin,
    )


def spread_of(ours: SeedValues, rule: Rule) -> Spread | None:
    """Return the spread to judge by: the seeds' own, or where they show none, what the column lends."""
    if ours.std is not None and ours.std > 0:
        return Spread(std=ours.std, degrees=ours.n - 1)
    return rule.shared


def _test(
    mean: float, spread: Spread, n: int, printed: PrintedValue, rule: Rule, gate: Comparability
) -> statistics.LevelTest:
    value = printed.value
    return statistics.level_test(
        mean,
        spread.std,
        n,
        math.nan if value is None else value,
        margin=math.nan if rule.margin is None else rule.margin,
        runs=rule.printed_runs,
        alpha=rule.alpha,
        degrees=spread.degrees,
        rounding=printed.rounding if value is not None else 0.0,
        printed_std=printed.spread,
        test_error=(rule.test_error or 0.0) if gate.level == OTHER_DRAW else 0.0,
    )


def passes(mean: float, spread: Spread, n: int, printed: PrintedValue, rule: Rule, gate: Comparability) -> bool:
    """Return whether a mean of ours is within the margin of a printed number, its own or another row's."""
    return bool(_test(mean, spread, n, printed, rule, gate).p_equal < rule.alpha)


def _level(seen: NumberVerdict, tested: statistics.LevelTest, spread: Spread, rule: Rule, aside: str) -> NumberVerdict:
    delta, outside = float(tested.delta), bool(tested.p_outside < rule.alpha)
    if seen.equivalent:
        size = "though outside the prediction interval" if outside else ""
        reason = _join(f"within {tested.margin:.3g} by TOST", size, aside)
        return replace(seen, verdict=Verdict.REPRODUCED, reason=reason, p_value=1.0)
    seen = replace(seen, p_value=float(tested.p_outside))
    if outside:
        side = "above" if delta > 0 else "below"
        reason = f"{abs(delta):.2g} {side} the paper, {float(tested.beyond):.2g} beyond the interval"
        return replace(seen, verdict=Verdict.DEVIATES, reason=_join(reason, aside))
    if spread.source or seen.n < 2:
        return replace(seen, verdict=Verdict.CONSISTENT, reason=_join("inside the prediction interval", aside))

    # Neither decided: say what these runs could have found, and how many would decide at the effect seen.
    if abs(delta) < tested.margin:
        goal = "equivalence"
        needed = statistics.seeds_to_show_equivalence(delta, spread.std, tested.margin, rule.alpha)
    else:
        goal = "a deviation"
        needed = statistics.seeds_to_show_deviation(delta, spread.std, rule.printed_runs, rule.alpha)
    detectable = statistics.detectable_difference(spread.std, seen.n, rule.printed_runs, rule.alpha)
    power = f"{seeds_range(needed, seen.n)} would show" if needed else "no number of seeds would show"
    reason = (
        f"finds gaps from {statistics.two_digits(detectable)} on; {power} {goal}{'' if needed else ' of this size'}"
    )
    return replace(seen, verdict=Verdict.CONSISTENT, reason=_join(reason, aside))


def seeds_range(needed: int, n: int) -> str:
    """Return advised seeds as the range that a spread estimated from ``n`` seeds leaves (80 % interval of it)."""
    low, high = statistics.spread_range(n)
    return f"{max(2, math.ceil(needed * low))} to {math.ceil(needed * high)} seeds"


def without_power(number: NumberVerdict, wrong: Discrimination) -> NumberVerdict:
    """Return a verdict of a column that cannot tell its rows apart: no word that says so."""
    if number.verdict is not Verdict.REPRODUCED or wrong.share is None or wrong.share <= MOST_WRONG:
        return number
    reason = f"{number.reason}; so are {wrong.share:.0%} of the wrong pairings"
    return replace(number, verdict=Verdict.WITHIN, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Discrimination:
    """Of a column's wrong pairings, our row with another row's printed number, how many pass the margin too.

    ``right`` of ``rows`` pass against their own printed number.
    """

    table: str
    column: str
    margin: float
    wrong: int
    pairs: int
    right: int
    rows: int

    @property
    def share(self) -> float | None:
        """The share of wrong pairings that pass, None where there are none."""
        return self.wrong / self.pairs if self.pairs else None


def holm_corrected(numbers: Sequence[NumberVerdict], counted: Sequence[bool]) -> list[NumberVerdict]:
    """Return the verdicts with p-values of a deviation after Holm, over those that count."""
    family = [number.p_value if counts else None for number, counts in zip(numbers, counted, strict=True)]
    adjusted = statistics.holm_of_known(family)
    return [replace(number, p_corrected=p_value) for number, p_value in zip(numbers, adjusted, strict=True)]


def _collapse(ours: SeedValues, seen: NumberVerdict) -> str:
    if not seen.collapsed:
        return ""
    each = ", ".join(f"seed {seed}: {ours.finished[seed]:.4g}" for seed in seen.collapsed)
    return f"{len(seen.collapsed)} of {ours.n} seeds collapsed ({each}; median {seen.median:.4g})"


def _divergence(ours: SeedValues) -> str:
    total = ours.n + len(ours.diverged)
    seed, why = min(ours.diverged.items())
    rest = f"the mean is over the other {ours.n}" if ours.n else ""
    return _join(f"{len(ours.diverged)} of {total} seeds diverged (seed {seed}: {why})", rest)


def _unfinished(ours: SeedValues) -> str:
    """Say which planned seeds have no result, and why."""
    tried = {**ours.failed, **ours.interrupted}
    untried = [seed for seed in ours.missing if seed not in tried]
    plural = "s" if len(untried) > 1 else ""
    absent = f"seed{plural} {', '.join(map(str, untried))} missing" if untried else ""
    return _join(*(f"seed {seed} {what}" for seed, what in sorted(tried.items())), absent)


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
