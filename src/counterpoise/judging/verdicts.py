"""The verdict on one printed number: what our runs say about it, by the rules of ``docs/statistics.md``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from counterpoise.judging import statistics
from counterpoise.papers.paper import PrintedValue


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


@dataclass(frozen=True)
class SeedValues:
    """A metric of one cell over its seeds, in printed units.

    ``finished`` has the completed runs only. ``diverged`` maps seeds to the reason; ``missing`` lists
    the planned seeds whose run is not there, and ``failed`` says of those that were tried what became of
    them; ``absent`` says, where runs are there but lack the metric, what they lack.
    """

    finished: Mapping[int, float] = field(default_factory=dict)
    diverged: Mapping[int, str] = field(default_factory=dict)
    missing: Sequence[int] = ()
    absent: str = ""
    failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.finished)

    @property
    def mean(self) -> float | None:
        """The mean over completed runs, None if there is none."""
        return float(np.mean(list(self.finished.values()))) if self.finished else None

    @property
    def std(self) -> float | None:
        """The standard deviation (divisor n − 1), None below two completed runs."""
        if self.n < 2:
            return None
        std = float(np.std(list(self.finished.values()), ddof=1))
        return std if std > statistics.TOLERANCE else 0.0


@dataclass(frozen=True)
class Rule:
    """What a paper declares before anything runs: margin, runs per printed number, level of the tests.

    ``highest`` is the largest possible value of the metric; intervals end there and at 0, which no
    decision feels.
    """

    margin: float | None
    printed_runs: int = 1
    alpha: float = 0.05
    highest: float = math.inf


@dataclass(frozen=True)
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


def judge(printed: PrintedValue, ours: SeedValues, rule: Rule, stand_in: bool = False) -> NumberVerdict:
    """Return the verdict on a printed entry whose cell is in the plan."""
    if printed.kind in ("not_defined", "not_applicable"):
        return NumberVerdict(Verdict.NOT_DEFINED, f"the paper prints '{printed.printed}'")
    if ours.absent:
        return NumberVerdict(Verdict.NOT_RUN, ours.absent)
    if not ours.finished and not ours.diverged and ours.failed:
        return NumberVerdict(Verdict.FAILED, _missing(ours))
    if not ours.finished and not ours.diverged:
        return NumberVerdict(Verdict.NOT_RUN, "no seed has finished")
    seen = _seen(ours, rule)
    if ours.diverged:
        return _with(seen, Verdict.DIVERGED, _divergence(ours))
    if stand_in:
        return _with(seen, Verdict.STAND_IN, _join("not the paper's data: no comparison", _missing(ours)))
    if printed.kind == "unprinted":
        return _with(seen, Verdict.NOT_PRINTED, _join("the paper gives no number", _missing(ours)))
    return _compared(printed, ours, rule, seen)


def _seen(ours: SeedValues, rule: Rule) -> NumberVerdict:
    low = high = None
    if ours.std is not None and ours.std > 0:
        bounds = statistics.prediction_interval(ours.mean, ours.std, ours.n, rule.printed_runs, 1 - rule.alpha)
        low, high = (min(max(float(bound), 0.0), rule.highest) for bound in bounds)
    return NumberVerdict(Verdict.UNDECIDED, mean=ours.mean, std=ours.std, n=ours.n, low=low, high=high)


def _compared(printed: PrintedValue, ours: SeedValues, rule: Rule, seen: NumberVerdict) -> NumberVerdict:
    delta = ours.mean - printed.value
    seen = _with(seen, Verdict.UNDECIDED, "", delta=delta)
    if ours.std is None:
        return _with(seen, Verdict.UNDECIDED, _join("one seed shows no spread: two or more are needed", _missing(ours)))
    if ours.std == 0:
        reason = f"all {ours.n} seeds give the same value: no spread to judge by"
        return _with(seen, Verdict.UNDECIDED, _join(reason, _missing(ours)))
    equivalent, outside = (bool(answer) for answer in decide(ours.mean, ours.std, ours.n, printed.value, rule))
    if equivalent:
        size = "though outside the prediction interval" if outside else ""
        return _with(seen, Verdict.REPRODUCED, _join(f"within {rule.margin:g} by TOST", size, _missing(ours)))
    needed = _seeds_needed(delta, ours.std, rule, outside)
    if outside:
        beyond = max(seen.low - printed.value, printed.value - seen.high)
        side = "above" if delta > 0 else "below"
        reason = f"{abs(delta):.2g} {side} the paper, {beyond:.2g} beyond the interval"
        return _with(seen, Verdict.DEVIATES, _join(reason, _missing(ours)))
    detectable = statistics.detectable_difference(ours.std, ours.n, rule.printed_runs, rule.alpha)
    reason = _join(f"finds gaps from {detectable:.2g} on", _needs(needed, delta, rule), _missing(ours))
    return _with(seen, Verdict.CONSISTENT, reason, detectable=detectable, seeds_needed=needed)


def _seeds_needed(delta: float, std: float, rule: Rule, outside: bool) -> int | None:
    if outside:
        return None
    if rule.margin is not None and abs(delta) < rule.margin:
        return statistics.seeds_to_show_equivalence(delta, std, rule.margin, rule.alpha)
    return statistics.seeds_to_show_deviation(delta, std, rule.printed_runs, rule.alpha)


def _needs(needed: int | None, delta: float, rule: Rule) -> str:
    goal = "equivalence" if rule.margin is not None and abs(delta) < rule.margin else "a deviation"
    if needed is None:
        return f"no number of seeds would show {goal} of this size"
    return f"about {needed} seeds would show {goal}"


def _divergence(ours: SeedValues) -> str:
    total = ours.n + len(ours.diverged)
    seed, why = next(iter(sorted(ours.diverged.items())))
    return _join(
        f"{len(ours.diverged)} of {total} seeds diverged (seed {seed}: {why})",
        f"the mean is over the other {ours.n}" if ours.n else "",
        _missing(ours),
    )


def _missing(ours: SeedValues) -> str:
    untried = [seed for seed in ours.missing if seed not in ours.failed]
    plural = "s" if len(untried) > 1 else ""
    absent = f"seed{plural} {', '.join(map(str, untried))} missing" if untried else ""
    return _join(*(f"seed {seed} {what}" for seed, what in sorted(ours.failed.items())), absent)


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _with(verdict: NumberVerdict, kind: Verdict, reason: str, **changes: float | int | None) -> NumberVerdict:
    fields = {**vars(verdict), **changes, "verdict": kind, "reason": reason}
    assert all(value is None or not isinstance(value, float) or math.isfinite(value) for value in fields.values())
    return NumberVerdict(**fields)
