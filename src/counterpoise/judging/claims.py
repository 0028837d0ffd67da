"""The verdict on a paper's sentence: paired over seeds and test examples, Holm-corrected over the paper.

Every claim is put together from contrasts, "row A is better than row B in this column by more than a
bound". Each contrast has two one-sided p-values. A claim that needs all its contrasts is supported at
the largest of their p-values (intersection-union test) and refuted at the smallest times their number
(Bonferroni); a claim that needs any of them is the mirror image. Support and refutation of all claims of a paper are
one family (Holm). A claim that is neither may still be shown practically equal. All of this is about the test set at
hand; where each run's rights and wrongs are stored, a claim is answered once more for new examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry, row_label
from counterpoise.judging.pairs import example_differences, example_error, paired_differences
from counterpoise.judging.verdicts import seeds_range
from counterpoise.papers.paper import Claim, ClaimTest, Paper, PaperTable
from counterpoise.results.layout import NOT_IN_BENCHMARK
from counterpoise.results.table import Results

Floats = NDArray[np.float64]


class Answer(StrEnum):
    """What can be said about a claim. The order is that of reports."""

    SUPPORTED = "supported"
    EQUAL = "practically equal"
    UNDECIDED = "undecided"
    REFUTED = "refuted"
    NOT_RUN = "not run"
    NOT_TESTED = "not tested"


ON_STAND_IN = {
    Answer.SUPPORTED: "holds on the stand-in",
    Answer.EQUAL: "practically equal on the stand-in",
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
class NewExamples:
    """What can be said of a claim for new examples of the same kind, beside the answer on this test set.

    ``effects`` has, per contrast, the mean difference beyond the bound and the examples' standard error, which no
    number of seeds makes smaller.
    """

    p_support: float
    p_refute: float
    effects: tuple[tuple[float, float], ...] = ()
    answer: Answer = Answer.UNDECIDED
    reason: str = ""

    @property
    def words(self) -> str:
        """The answer with its reason."""
        return f"{self.answer} ({self.reason})" if self.reason else str(self.answer)


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """A claim's answer on this test set for one variant of its row, with Holm-corrected p-values; ``n``: fewest pairs.

    ``equal_within`` is the difference that counts as practically none. ``new_examples`` is the answer for new examples,
    None where the columns are not all accuracies whose rights and wrongs are stored.

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
    p_equal: float | None = None
    equal_within: float | None = None
    new_examples: NewExamples | None = None
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


def answer_claims(paper: Paper, entries: Sequence[Entry], results: Results) -> list[ClaimResult]:
    """Return an answer for each claim of ``paper`` and each variant of its row, in the paper's order."""
    index: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        index.setdefault((entry.table.table, entry.row, entry.column.id), []).append(entry)
    raw = [result for claim in paper.claims for result in _raw_results(paper, claim, index, results)]
    return _corrected(raw, paper.alpha)


def _raw_results(
    paper: Paper, claim: Claim, index: Mapping[tuple[str, str, str], list[Entry]], results: Results
) -> list[ClaimResult]:
    """Return a claim's answers, one per variant of its row, before the correction over its family."""
    test = claim.test
    if test.kind == "untested":
        return [ClaimResult(claim=claim, variant=None, answer=Answer.NOT_TESTED, reason=f"would need {test.needs}")]
    variants = {entry.variant for column in test.columns for entry in index[test.table, test.row, column]}
    named = sorted(variant for variant in variants if variant is not None)
    return [_raw_result(paper, claim, index, variant, results) for variant in named or [None]]


def _raw_result(paper: Paper, claim: Claim, index: Mapping, variant: str | None, results: Results) -> ClaimResult:
    test, table = claim.test, paper.table(claim.test.table)
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
    within = [paper.practically_equal(ours.column.metric) for ours, _ in pairs]
    p_equal = [
        1.0 if bound is None else statistics.mean_equivalence_p(_beyond_zero(contrast, test), bound)
        for contrast, bound in zip(contrasts, within, strict=True)
    ]
    # "Better than all" fails, practically, where one of them is as good; "better than any" where all of them are.
    same = min(1.0, min(p_equal) * len(p_equal)) if test.over == "all" else max(p_equal)
    return replace(
        result,
        p_support=float(support),
        p_refute=float(refute),
        p_equal=float(same),
        equal_within=within[0],
        new_examples=_new_examples(test, pairs, results),
    )


def _beyond_zero(contrast: Contrast, test: ClaimTest) -> Floats:
    """Return a contrast's differences; of a claim that is about being equal, none that would say so once more."""
    return np.full_like(contrast.differences, np.inf) if test.kind == "not_worse" else contrast.differences


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


def _direction(test: ClaimTest, ours: Entry) -> tuple[float, float]:
    """Return the sign that makes ours − other positive where the claim wants it, and the bound that it must exceed."""
    sign = 1.0 if ours.column.better == "higher" else -1.0
    if test.kind == "worse":
        return -sign, test.by
    return sign, -test.by if test.kind == "not_worse" else test.by


def _contrast(test: ClaimTest, ours: Entry, other: Entry) -> Contrast:
    better = 1.0 if ours.column.better == "higher" else -1.0
    sign, bound = _direction(test, ours)
    differences = sign * better * paired_differences(ours.ours, other.ours, better)
    return Contrast(name=f"{ours.label} − {other.label}, {ours.column.id}", differences=differences, bound=bound)


def _new_examples(test: ClaimTest, pairs: Sequence[tuple[Entry, Entry]], results: Results) -> NewExamples | None:
    """Return the p-values of a claim for new seeds and new examples; None where a pair has no examples stored."""
    p_values, floors = [], []
    for ours, other in pairs:
        differences, error = example_differences(results, ours, other), example_error(results, ours, other)
        if differences is None or error is None or error.error < statistics.TOLERANCE:
            return None
        sign, bound = _direction(test, ours)
        t = (sign * float(differences.mean()) - bound) / error.error
        p_values.append((float(stats.t.sf(t, error.degrees)), float(stats.t.cdf(t, error.degrees))))
        floors.append((abs(sign * float(differences.mean()) - bound), error.floor))
    support, refute = combine(*zip(*p_values, strict=True), test.over)
    return NewExamples(p_support=float(support), p_refute=float(refute), effects=tuple(floors))


def _corrected(raw: list[ClaimResult], alpha: float) -> list[ClaimResult]:
    """Return the answers after Holm's correction over all tested claims of the paper, both directions in one family.

    That a difference is practically none is an answer of its own kind, and a family of its own.
    """
    results = list(raw)
    tested = [place for place, result in enumerate(raw) if result.p_support is not None]
    if not tested:
        return results
    both = holm_of_both([(raw[i].p_support, raw[i].p_refute) for i in tested])
    equal = statistics.holm([raw[i].p_equal for i in tested])
    for position, (support, refute), same in zip(tested, both, equal, strict=True):
        found = replace(raw[position], p_support=support, p_refute=refute, p_equal=float(same))
        results[position] = _answered(found, alpha, 2 * len(tested))
    new = [i for i in tested if raw[i].new_examples is not None]
    if new:
        both = holm_of_both([(raw[i].new_examples.p_support, raw[i].new_examples.p_refute) for i in new])
        for position, (support, refute) in zip(new, both, strict=True):
            results[position] = _for_new_examples(results[position], support, refute, alpha, 2 * len(new))
    return results


def holm_of_both(p_values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return (support, refute) p-values of claims after Holm over the whole family of both."""
    adjusted = statistics.holm(np.asarray(p_values, float).ravel()).reshape(-1, 2)
    return [(float(support), float(refute)) for support, refute in adjusted]


def _answered(result: ClaimResult, alpha: float, family: int) -> ClaimResult:
    without = f"; without {', '.join(result.left_out)}, not defined there" if result.left_out else ""
    tail = f"{result.n} seed pairs{without}"
    if result.p_support < alpha:
        small = ", by a difference that is practically none" if result.p_equal < alpha else ""
        return replace(result, answer=Answer.SUPPORTED, reason=f"p = {result.p_support:.2g} (Holm), {tail}{small}")
    if result.p_refute < alpha:
        return replace(result, answer=Answer.REFUTED, reason=f"p = {result.p_refute:.2g} (Holm), {tail}")
    if result.p_equal < alpha:
        reason = f"within ±{result.equal_within:g}, p = {result.p_equal:.2g} (Holm), {tail}"
        return replace(result, answer=Answer.EQUAL, reason=reason)
    needed = _seeds_needed(result, alpha / family)
    shown = "it holds" if result.observed else "it does not hold"
    more = f"more than {statistics.MOST_SEEDS} seeds to decide"
    if needed:
        more = f"{seeds_range(needed, result.n)} would decide"
    return replace(result, seeds_needed=needed, reason=f"in the means {shown}; {more}{without}")


def _for_new_examples(result: ClaimResult, support: float, refute: float, alpha: float, family: int) -> ClaimResult:
    """Return a claim with its answer for new examples."""
    found = result.new_examples
    answer = Answer.SUPPORTED if support < alpha else Answer.REFUTED if refute < alpha else Answer.UNDECIDED
    reason = ""
    if answer is Answer.UNDECIDED:
        # What 80 % power at the corrected level takes, against the error that no number of seeds removes.
        least = float(stats.norm.isf(alpha / family) + stats.norm.ppf(statistics.POWER))
        hopeless = [effect < least * floor for effect, floor in found.effects]
        if all(hopeless) or (result.claim.test.over == "all" and any(hopeless)):
            reason = "no number of seeds would decide: the examples are too few"
    found = replace(found, answer=answer, p_support=support, p_refute=refute, reason=reason)
    return replace(result, new_examples=found)


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
