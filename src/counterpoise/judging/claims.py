"""The verdict on a paper's sentence: paired over seeds, Holm-corrected within its family.

Every claim is put together from contrasts, "row A is better than row B in this column by more than a
bound". Each contrast has two one-sided p-values. A claim that needs all its contrasts is supported at
the largest of their p-values (intersection-union test) and refuted at the smallest times their number
(Bonferroni); a claim that needs any of them is the mirror image. Support and refutation are corrected
separately, each over the whole family.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry, row_label
from counterpoise.papers.paper import Claim, ClaimTest, Paper, PaperTable
from counterpoise.results.layout import NOT_IN_BENCHMARK
from counterpoise.results.seeds import SeedValues

Floats = NDArray[np.float64]


class Answer(StrEnum):
    """What can be said about a claim. The order is that of reports."""

    SUPPORTED = "supported"
    UNDECIDED = "undecided"
    REFUTED = "refuted"
    NOT_RUN = "not run"
    NOT_TESTED = "not tested"


ON_STAND_IN = {
    Answer.SUPPORTED: "holds on the stand-in",
    Answer.UNDECIDED: "undecided on the stand-in",
    Answer.REFUTED: "does not hold on the stand-in",
}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Differences paired over seeds, positive where A is better than B; the claim asks for more than ``bound``."""

    name: str
    differences: Floats
    bound: float

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return len(self.differences)

    @property
    def holds_in_the_mean(self) -> bool:
        """Whether the mean difference exceeds the bound; with diverged runs, whether most pairs do."""
        beyond = self.differences - self.bound
        return bool(beyond.mean() > 0 if np.isfinite(beyond).all() else (beyond > 0).mean() > 0.5)


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """A claim's answer for one variant of its row, with Holm-corrected p-values; ``n`` is the fewest pairs.

    ``observed`` says whether it holds in the means, whatever the tests say. ``compared`` are the entries that it
    rests on, each once.
    """

    claim: Claim
    variant: str | None
    answer: Answer
    reason: str = ""
    stand_in: bool = False
    observed: bool | None = None
    p_support: float | None = None
    p_refute: float | None = None
    n: int = 0
    seeds_needed: int | None = None
    contrasts: tuple[Contrast, ...] = ()
    left_out: tuple[str, ...] = ()
    compared: tuple[Entry, ...] = ()

    @property
    def verdict(self) -> str:
        """The answer in words, which on a stand-in say so."""
        return ON_STAND_IN.get(self.answer, str(self.answer)) if self.stand_in else str(self.answer)

    @property
    def row(self) -> str:
        """The label of the claim's own row."""
        return row_label(self.claim.test.row, self.variant)


def combine(above: ArrayLike, below: ArrayLike, over: Literal["all", "any"]) -> tuple[Floats, Floats]:
    """Return a claim's p-values for and against from its contrasts' (contrasts on the first axis)."""
    above, below = np.asarray(above, float), np.asarray(below, float)
    for_all, against_all = above.max(0), np.minimum(below.min(0) * len(below), 1.0)
    for_any, against_any = np.minimum(above.min(0) * len(above), 1.0), below.max(0)
    return (for_all, against_all) if over == "all" else (for_any, against_any)


def answer_claims(paper: Paper, entries: Sequence[Entry]) -> list[ClaimResult]:
    """Return an answer for each claim of ``paper`` and each variant of its row, in the paper's order."""
    index: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        index.setdefault((entry.table.table, entry.row, entry.column.id), []).append(entry)
    raw = [result for claim in paper.claims for result in _raw_results(paper, claim, index)]
    return _corrected(raw, paper.alpha)


def _raw_results(paper: Paper, claim: Claim, index: Mapping[tuple[str, str, str], list[Entry]]) -> list[ClaimResult]:
    """Return a claim's answers, one per variant of its row, before the correction over its family."""
    test = claim.test
    if test.kind == "untested":
        return [ClaimResult(claim=claim, variant=None, answer=Answer.NOT_TESTED, reason=f"would need {test.needs}")]
    variants = {entry.variant for column in test.columns for entry in index[test.table, test.row, column]}
    named = sorted(variant for variant in variants if variant is not None)
    return [_raw_result(paper.table(test.table), claim, index, variant) for variant in named or [None]]


def _raw_result(table: PaperTable, claim: Claim, index: Mapping, variant: str | None) -> ClaimResult:
    test = claim.test
    every = _pairs(table, test, index, variant)
    pairs = [(ours, other) for ours, other in every if not _undefined(other)]
    for entry in (entry for pair in pairs or every for entry in pair):
        missing = _why_missing(entry)
        if missing:
            reason = f"{entry.label}, {entry.column.id}: {missing}"
            return ClaimResult(claim=claim, variant=variant, answer=Answer.NOT_RUN, reason=reason)
    contrasts = tuple(_contrast(test, ours, other) for ours, other in pairs)
    n = min(contrast.n for contrast in contrasts)
    compared = {(entry.row, entry.variant, entry.column.id): entry for pair in pairs for entry in pair}
    result = ClaimResult(
        claim=claim,
        variant=variant,
        answer=Answer.UNDECIDED,
        stand_in=any(entry.stand_in for entry in compared.values()),
        observed=(all if test.over == "all" else any)(c.holds_in_the_mean for c in contrasts) if n else None,
        n=n,
        contrasts=contrasts,
        left_out=tuple(dict.fromkeys(other.label for _, other in every if _undefined(other))),
        compared=tuple(compared.values()),
    )
    if n < 2:
        return replace(result, reason=f"{n} seed pair{'s' if n != 1 else ''}: two or more are needed")
    p_values = [statistics.paired_p(contrast.differences, contrast.bound) for contrast in contrasts]
    support, refute = combine(*zip(*p_values, strict=True), test.over)
    return replace(result, p_support=float(support), p_refute=float(refute))


def _pairs(table: PaperTable, test: ClaimTest, index: Mapping, variant: str | None) -> list[tuple[Entry, Entry]]:
    """Return the entries compared, the claim's own row first; rows without a number in a column stay out."""
    rivals = test.than or tuple(row for row in table.row_ids if row != test.row)
    pairs = []
    for column in test.columns:
        own = index[test.table, test.row, column]
        ours = next((entry for entry in own if entry.variant == variant), own[0])
        for rival in rivals:
            other = index[test.table, rival, column][0]  # the first variant listed stands for a rival
            if other.printed.kind in ("number", "unprinted"):
                pairs.append((ours, other))
    return pairs


def _undefined(entry: Entry) -> bool:
    """Whether the benchmark would run the entry but the method is not defined for its model or data."""
    return entry.ours is None and entry.reason != NOT_IN_BENCHMARK


def _why_missing(entry: Entry) -> str:
    if entry.ours is None:
        return entry.reason
    if entry.ours.absent:
        return entry.ours.absent
    return "" if entry.ours.finished or entry.ours.diverged else "no seed has finished"


def _contrast(test: ClaimTest, ours: Entry, other: Entry) -> Contrast:
    sign = 1.0 if ours.column.better == "higher" else -1.0
    differences = paired_differences(ours.ours, other.ours, sign)
    name = f"{ours.label} − {other.label}, {ours.column.id}"
    if test.kind == "worse":
        return Contrast(name=name, differences=-differences, bound=test.by)
    return Contrast(name=name, differences=differences, bound=-test.by if test.kind == "not_worse" else test.by)


def paired_differences(ours: SeedValues, other: SeedValues, sign: float) -> Floats:
    """Return ours minus other for each seed that both ran, positive where ours is better.

    A diverged run loses its pair by an unknown amount, so the difference is infinite; a pair of which
    both diverged says nothing and is left out.
    """
    differences = []
    for seed in sorted({*ours.finished, *ours.diverged} & {*other.finished, *other.diverged}):
        if seed in ours.diverged and seed in other.diverged:
            continue
        if seed in ours.diverged:
            differences.append(-math.inf)
        elif seed in other.diverged:
            differences.append(math.inf)
        else:
            differences.append(sign * (ours.finished[seed] - other.finished[seed]))
    return np.array(differences)


def _corrected(raw: list[ClaimResult], alpha: float) -> list[ClaimResult]:
    """Return the answers after Holm's correction over the tested claims of each family."""
    families: dict[str, list[int]] = {}
    for position, result in enumerate(raw):
        if result.p_support is not None:
            families.setdefault(result.claim.family, []).append(position)
    results = list(raw)
    for positions in families.values():
        support = statistics.holm([raw[position].p_support for position in positions])
        refute = statistics.holm([raw[position].p_refute for position in positions])
        for position, for_it, against_it in zip(positions, support, refute, strict=True):
            results[position] = _answered(raw[position], float(for_it), float(against_it), alpha, len(positions))
    return results


def _answered(result: ClaimResult, support: float, refute: float, alpha: float, family: int) -> ClaimResult:
    result = replace(result, p_support=support, p_refute=refute)
    without = f"; without {', '.join(result.left_out)}, not defined there" if result.left_out else ""
    for p_value, answer in ((support, Answer.SUPPORTED), (refute, Answer.REFUTED)):
        if p_value < alpha:
            reason = f"p = {p_value:.2g} (Holm), {result.n} seed pairs{without}"
            return replace(result, answer=answer, reason=reason)
    needed = _seeds_needed(result, alpha / family)
    shown = "it holds" if result.observed else "it does not hold"
    more = f"about {needed} seeds would decide" if needed else f"more than {statistics.MOST_SEEDS} seeds to decide"
    return replace(result, seeds_needed=needed, reason=f"in the means {shown}; {more}{without}")


def _seeds_needed(result: ClaimResult, level: float) -> int | None:
    """Return the seed pairs for 80 % power if effects stay as seen, to show what the means show."""
    every = (result.claim.test.over == "all") == bool(result.observed)
    sign = 1.0 if result.observed else -1.0
    needed = [
        _pairs_needed(contrast, sign, level if every else level / len(result.contrasts))
        for contrast in result.contrasts
    ]
    if every:
        return None if None in needed else max(needed)
    return min((pairs for pairs in needed if pairs is not None), default=None)


def _pairs_needed(contrast: Contrast, sign: float, level: float) -> int | None:
    beyond = sign * (contrast.differences - contrast.bound)
    if not np.isfinite(beyond).all() or np.ptp(beyond) < statistics.TOLERANCE:
        return math.ceil(math.log2(1 / level)) if (beyond > statistics.TOLERANCE).all() else None
    effect = float(beyond.mean())
    return statistics.seeds_to_show_order(effect, float(beyond.std(ddof=1)), level) if effect > 0 else None
