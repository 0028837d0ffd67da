"""The verdict on one printed number: what our runs say about it, by the rules of ``docs/statistics.md``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from counterpoise.judging import statistics
from counterpoise.papers.paper import PrintedValue
from counterpoise.results.seeds import SeedValues


class Verdict(StrEnum):
    """What can be said about a printed number. The order is that of reports."""

    REPRODUCED = "reproduced"
    CONSISTENT = "consistent"
    UNDECIDED = "undecided"
    DEVIATES = "deviates"
    DIVERGED = "diverged"
    FAILED = "failed"
    STAND_IN = "stand-in"
    NOT_RUN = "not run"
    NOT_DEFINED = "not defined"
    NOT_PRINTED = "not printed"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a paper declares before anything runs: margin, runs per printed number, level of the tests.

    ``highest`` is the largest possible value of the metric. Intervals are clipped to [0, ``highest``] for display;
    verdicts use the unclipped ones.
    """

    margin: float | None
    printed_runs: int = 1
    alpha: float = 0.05
    highest: float = math.inf


@dataclass(frozen=True, kw_only=True)
class NumberVerdict:
    """A verdict and what it rests on; ``low`` and ``high`` bound the prediction interval of a printed value.

    ``delta`` is ours minus the paper's, in printed units. ``detectable`` is the smallest true gap that
    these runs would find, ``seeds_needed`` how many seeds would decide; both only where the verdict is
    not final.
    """

    verdict: Verdict
    reason: str = ""
    mean: float | None = None
    std: float | None = None
    n: int = 0
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    seeds_needed: int | None = None


def decide(
    mean: ArrayLike, std: ArrayLike, n: ArrayLike, printed: ArrayLike, rule: Rule
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two arrays, "equivalent" and "outside": the two decisions that a verdict is made of.

    A study (n ≥ 2, std > 0) is ``reproduced`` if equivalent, else ``deviates`` if outside, else
    ``consistent``.
    """
    low, high = statistics.prediction_interval(mean, std, n, rule.printed_runs, 1 - rule.alpha)
    outside = (printed < low) | (printed > high)
    if rule.margin is None:
        return np.zeros_like(outside), outside
    return statistics.equivalence_p(mean, std, n, printed, rule.margin) < rule.alpha, outside


def judge_number(printed: PrintedValue, ours: SeedValues, rule: Rule, stand_in: bool = False) -> NumberVerdict:
    """Return the verdict on a printed entry that a cell of the benchmark fills.

    ``stand_in``: the cell ran on other data or with another training than the paper's, so nothing is compared.
    """
    unfinished = _unfinished(ours)
    if printed.kind in ("not_defined", "not_applicable"):
        return NumberVerdict(verdict=Verdict.NOT_DEFINED, reason=f"the paper prints '{printed.printed}'")
    if ours.absent:
        return NumberVerdict(verdict=Verdict.NOT_RUN, reason=ours.absent)
    if not ours.finished and not ours.diverged:
        if ours.failed:
            return NumberVerdict(verdict=Verdict.FAILED, reason=unfinished)
        return NumberVerdict(verdict=Verdict.NOT_RUN, reason="no seed has finished")

    low = high = None
    if ours.std is not None and ours.std > 0:
        bounds = statistics.prediction_interval(ours.mean, ours.std, ours.n, rule.printed_runs, 1 - rule.alpha)
        low, high = (min(max(float(bound), 0.0), rule.highest) for bound in bounds)
    seen = NumberVerdict(verdict=Verdict.UNDECIDED, mean=ours.mean, std=ours.std, n=ours.n, low=low, high=high)
    if ours.diverged:
        return replace(seen, verdict=Verdict.DIVERGED, reason=_join(_divergence(ours), unfinished))
    if stand_in:
        reason = _join("not the paper's data: no comparison", unfinished)
        return replace(seen, verdict=Verdict.STAND_IN, reason=reason)
    if printed.kind == "unprinted":
        return replace(seen, verdict=Verdict.NOT_PRINTED, reason=_join("the paper gives no number", unfinished))

    delta = ours.mean - printed.value
    seen = replace(seen, delta=delta)
    if ours.std is None:
        return replace(seen, reason=_join("one seed shows no spread: two or more are needed", unfinished))
    if ours.std == 0:
        reason = f"all {ours.n} seeds give the same value: no spread to judge by"
        return replace(seen, reason=_join(reason, unfinished))
    equivalent, outside = (bool(answer) for answer in decide(ours.mean, ours.std, ours.n, printed.value, rule))
    if equivalent:
        size = "though outside the prediction interval" if outside else ""
        reason = _join(f"within {rule.margin:g} by TOST", size, unfinished)
        return replace(seen, verdict=Verdict.REPRODUCED, reason=reason)
    if outside:
        beyond = max(low - printed.value, printed.value - high)
        side = "above" if delta > 0 else "below"
        reason = f"{abs(delta):.2g} {side} the paper, {beyond:.2g} beyond the interval"
        return replace(seen, verdict=Verdict.DEVIATES, reason=_join(reason, unfinished))

    # Neither decided: say what these runs could have found, and how many would decide at the effect seen.
    if rule.margin is not None and abs(delta) < rule.margin:
        goal = "equivalence"
        needed = statistics.seeds_to_show_equivalence(delta, ours.std, rule.margin, rule.alpha)
    else:
        goal = "a deviation"
        needed = statistics.seeds_to_show_deviation(delta, ours.std, rule.printed_runs, rule.alpha)
    detectable = statistics.detectable_difference(ours.std, ours.n, rule.printed_runs, rule.alpha)
    power = f"about {needed} seeds would show" if needed else "no number of seeds would show"
    reason = f"finds gaps from {detectable:.2g} on; {power} {goal}{'' if needed else ' of this size'}"
    return replace(
        seen, verdict=Verdict.CONSISTENT, reason=_join(reason, unfinished), detectable=detectable, seeds_needed=needed
    )


def _divergence(ours: SeedValues) -> str:
    total = ours.n + len(ours.diverged)
    seed, why = min(ours.diverged.items())
    rest = f"the mean is over the other {ours.n}" if ours.n else ""
    return _join(f"{len(ours.diverged)} of {total} seeds diverged (seed {seed}: {why})", rest)


def _unfinished(ours: SeedValues) -> str:
    """Say which planned seeds have no result, and why."""
    untried = [seed for seed in ours.missing if seed not in ours.failed]
    plural = "s" if len(untried) > 1 else ""
    absent = f"seed{plural} {', '.join(map(str, untried))} missing" if untried else ""
    return _join(*(f"seed {seed} {what}" for seed, what in sorted(ours.failed.items())), absent)


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
