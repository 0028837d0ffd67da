"""Which cells get more seeds, by a rule declared beforehand that keeps the error rates of one look.

Looks are at fixed numbers of seeds. Each look has its own level, and the levels add up to α: what a
false decision at any of them costs together is then at most α, whatever the looks have to do with each
other (Bonferroni's inequality, so nothing is assumed of their correlation). The levels follow Lan and
DeMets' spending function of Pocock's type, α·ln(1 + (e − 1)·t) with t the share of the most seeds
(Biometrika 70, 1983). A decision is kept once made. Stopping because nothing would be decided any more
can only lower the error rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from counterpoise.errors import UserError
from counterpoise.judging import statistics
from counterpoise.judging.claims import Answer, ClaimResult, answer_claims, families
from counterpoise.judging.entries import Entry
from counterpoise.judging.verdicts import NumberVerdict, Rule, SeedValues, Verdict, decide, judge
from counterpoise.papers.paper import Paper, PrintedValue
from counterpoise.planning.plan import Plan

FINAL = (Verdict.REPRODUCED, Verdict.DEVIATES)


@dataclass(frozen=True)
class Schedule:
    """The numbers of seeds at which the verdicts are looked at, fewest first; the last is the cap."""

    looks: tuple[int, ...] = (3, 5, 7, 10)

    def __post_init__(self) -> None:
        if not self.looks or self.looks[0] < 2 or list(self.looks) != sorted(set(self.looks)):
            raise UserError(f"seed looks {list(self.looks)}: must rise, from 2 or more")

    @property
    def cap(self) -> int:
        return self.looks[-1]

    def levels(self, alpha: float) -> tuple[float, ...]:
        """Return the level of each look; they add up to ``alpha``."""
        spent = [alpha * math.log(1 + (math.e - 1) * look / self.cap) for look in self.looks]
        return tuple(now - before for now, before in zip(spent, [0.0, *spent[:-1]], strict=True))

    def record(self, plan: Plan, alpha: float) -> dict[str, Any]:
        """Return the rule and what came of it, as JSON data: looks, their levels, runs against the cap's."""
        most = len(plan.cells) * self.cap
        return {
            "at": list(self.looks),
            "levels": [round(level, 6) for level in self.levels(alpha)],
            "runs": plan.runs,
            "runs_at_cap": most,
            "saved": round(1 - plan.runs / most, 4),
        }

    def next_look(self, seeds: int) -> int | None:
        """Return the first look after ``seeds`` seeds, None from the cap on."""
        return next((look for look in self.looks if look > seeds), None)


def schedule_of(plan: Plan) -> Schedule | None:
    """Return the looks in which a plan adds its seeds, None where cells have all of them from the start."""
    return Schedule(tuple(plan.benchmark.seed_looks)) if plan.benchmark.sequential else None


def judge_in_looks(
    printed: PrintedValue, ours: SeedValues, rule: Rule, schedule: Schedule, stand_in: bool = False
) -> NumberVerdict:
    """Return the verdict of the first look that decides, else that of the last look reached.

    Seeds count in rising order, so the same runs give the same verdict however they were scheduled.
    """
    verdict = None
    for look, level in zip(schedule.looks, schedule.levels(rule.alpha), strict=True):
        part = _first_seeds(ours, look)
        if part is None:
            break
        verdict = judge(printed, part, replace(rule, alpha=level), stand_in)
        if verdict.verdict in FINAL:
            break
    return verdict or judge(printed, ours, rule, stand_in)


def verdict_in_looks(
    printed: PrintedValue, ours: SeedValues, rule: Rule, schedule: Schedule, stand_in: bool = False
) -> NumberVerdict:
    """Return the verdict of :func:`judge_in_looks` on the mean, spread and interval of every run there is.

    The two differ where a cell went on after a number of it was decided: for another number, or a claim.
    """
    judged = judge_in_looks(printed, ours, rule, schedule, stand_in)
    levels = zip(schedule.looks, schedule.levels(rule.alpha), strict=True)
    reached = [level for look, level in levels if look <= judged.n + len(ours.diverged)]
    if not reached:
        return judged
    whole = judge(printed, ours, replace(rule, alpha=reached[-1]), stand_in)
    if whole.n == judged.n:
        return judged
    reason = f"{judged.reason}; judged at the look at {judged.n} seeds"
    return replace(
        whole, verdict=judged.verdict, reason=reason, detectable=judged.detectable, seeds_needed=judged.seeds_needed
    )


def answer_in_looks(paper: Paper, entries: Sequence[Entry], schedule: Schedule) -> list[ClaimResult]:
    """Return each claim's answer at the first look that decides it, else that of the last look it reached."""
    answers = answer_claims(paper, entries)
    sizes = {family: len(positions) for family, positions in families(answers).items()}
    decided: dict[int, ClaimResult] = {}
    for look, level in zip(schedule.looks, schedule.levels(paper.alpha), strict=True):
        part = [_first_seeds_of(entry, look) for entry in entries]
        at_look = answer_claims(paper.model_copy(update={"alpha": level}), part, sizes)
        for position, answer in enumerate(at_look):
            if position not in decided and answer.answer in (Answer.SUPPORTED, Answer.REFUTED):
                decided[position] = answer
    return [decided.get(position, _undecided(answer)) for position, answer in enumerate(answers)]


def _undecided(answer: ClaimResult) -> ClaimResult:
    """Take back a decision that all seeds at once would give but no look gave."""
    if answer.answer in (Answer.SUPPORTED, Answer.REFUTED):
        return replace(answer, answer=Answer.UNDECIDED, reason="not decided at any look so far")
    return answer


def would_decide(
    mean: ArrayLike, std: ArrayLike, printed: ArrayLike, rule: Rule, schedule: Schedule
) -> NDArray[np.bool_]:
    """Return whether the cap would decide if all stayed as seen; if not, more seeds are of no use."""
    last = replace(rule, alpha=schedule.levels(rule.alpha)[-1])
    equivalent, outside = decide(mean, std, schedule.cap, printed, last)
    return equivalent | outside


def order_would_decide(mean: ArrayLike, std: ArrayLike, alpha: float, schedule: Schedule) -> NDArray[np.bool_]:
    """Return whether a paired difference seen like this would be significant at the cap, uncorrected."""
    error = np.maximum(np.asarray(std, float), statistics.TOLERANCE) / math.sqrt(schedule.cap)
    return np.abs(mean) / error > stats.t.isf(schedule.levels(alpha)[-1], schedule.cap - 1)


def number_is_open(verdict: NumberVerdict, printed: PrintedValue, rule: Rule, schedule: Schedule) -> bool:
    """Return whether more seeds may decide a number: it is undecided, and the cap would do it as seen."""
    if verdict.verdict not in (Verdict.CONSISTENT, Verdict.UNDECIDED) or not verdict.std:
        return False
    return bool(would_decide(verdict.mean, verdict.std, printed.value, rule, schedule))


def claim_is_open(result: ClaimResult, alpha: float, schedule: Schedule) -> bool:
    """Return whether more seeds may still decide a claim: by the contrast that its answer hangs on.

    That is the weakest where all are needed, the strongest where any is. Where runs diverged, signs alone
    count: as long as they all agree, more of them decide.
    """
    if result.answer is not Answer.UNDECIDED or result.n < 2:
        return False
    beyond = [contrast.differences - contrast.bound for contrast in result.contrasts]
    if not all(np.isfinite(differences).all() for differences in beyond):
        signs = [np.sign(differences) for differences in beyond]
        return any(bool((sign == sign[0]).all() and sign[0] != 0) for sign in signs)
    means = np.array([differences.mean() for differences in beyond])
    spreads = np.array([max(differences.std(ddof=1), statistics.TOLERANCE) for differences in beyond])
    order = means / spreads
    at = order.argmin() if result.claim.test.over == "all" else order.argmax()
    return bool(order_would_decide(means[at], spreads[at], alpha, schedule))


def more_seeds(seeds: Mapping[str, int], undecided: Iterable[tuple[str, ...]], schedule: Schedule) -> dict[str, int]:
    """Return how many seeds each cell is to have: the next look's for the cells of something undecided.

    Args:
        seeds: how many seeds each cell, by its name, has now.
        undecided: for each number or claim that more seeds may still decide, the names of its cells.
    """
    wanted = dict(seeds)
    for cells in undecided:
        look = schedule.next_look(min(seeds[cell] for cell in cells))
        for cell in cells:
            wanted[cell] = max(wanted[cell], look or 0)
    return wanted


def _first_seeds_of(entry: Entry, look: int) -> Entry:
    if entry.ours is None:
        return entry
    return replace(entry, ours=_first_seeds(entry.ours, look) or SeedValues())


def _first_seeds(ours: SeedValues, look: int) -> SeedValues | None:
    """Return the values of the first ``look`` seeds that ran, None if fewer did."""
    ran = sorted({*ours.finished, *ours.diverged})[:look]
    if len(ran) < look:
        return None
    finished = {seed: ours.finished[seed] for seed in ran if seed in ours.finished}
    diverged = {seed: ours.diverged[seed] for seed in ran if seed in ours.diverged}
    return SeedValues(finished, diverged, (), ours.absent)
