"""The verdict on a paper's sentence: paired over seeds and test examples, Holm-corrected over the paper.

Every claim is put together from contrasts: "row A is better than row B in this column by more than a bound", "in
column C more than in column D", or "row A is above a number". A column is of whatever a run is measured by: accuracies,
cosines and norms of gradients, coefficients, sharpness, times. Each contrast has two one-sided p-values, and
:func:`combine` makes those of the claim, which needs all, any or most of its contrasts. Support and refutation of all
claims of a paper are one family (Holm). A claim that is neither may still be shown practically equal. All of this is
about the test set at hand. Where the results say which examples each run got right, a claim is answered once more for
new examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from counterpoise.comparability import NOT_IN_BENCHMARK
from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry, row_label
from counterpoise.judging.pairs import example_error, paired_differences
from counterpoise.judging.verdicts import seeds_range
from counterpoise.papers.claims import Over
from counterpoise.papers.paper import Claim, ClaimTest, Paper, PaperTable
from counterpoise.results.table import Results

Floats = NDArray[np.float64]


Quantifier = Literal["all", "any", "most"]


class Answer(StrEnum):
    """What can be said about a claim. The order is that of reports."""

    SUPPORTED = "supported"
    EQUAL = "practically equal"
    UNDECIDED = "undecided"
    REFUTED = "refuted"
    NOT_RUN = "not run"


ON_STAND_IN = {
    Answer.SUPPORTED: "holds on the stand-in",
    Answer.EQUAL: "practically equal on the stand-in",
    Answer.UNDECIDED: "undecided on the stand-in",
    Answer.REFUTED: "does not hold on the stand-in",
}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Differences paired over seeds, positive where the claim wants it; it asks for more than ``bound``.

    Of a claim about a number they are the values themselves, negative where it wants them small.
    """

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
    number of seeds makes smaller. ``of``: the metric that alone is answered for, empty where all of the claim's are.
    """

    p_support: float
    p_refute: float
    effects: tuple[tuple[float, float], ...] = ()
    of: str = ""
    answer: Answer = Answer.UNDECIDED
    reason: str = ""

    @property
    def words(self) -> str:
        """The answer with its reason."""
        aside = "; ".join(filter(None, (f"{self.of} alone" if self.of else "", self.reason)))
        return f"{self.answer} ({aside})" if aside else str(self.answer)


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
    structure: Structure = field(default_factory=lambda: Structure.of("all", ()))

    def counted(self, n: int) -> str:
        """Return ``5 seed pairs``, of a claim about a number ``5 seeds``."""
        noun = "seed pair" if self.claim.test.has_rivals else "seed"
        return f"{n} {noun if n == 1 else f'{noun}s'}"

    @property
    def verdict(self) -> str:
        """The answer in words, which on a stand-in say so."""
        return ON_STAND_IN.get(self.answer, str(self.answer)) if self.stand_in else str(self.answer)

    @property
    def row(self) -> str:
        """The label of the claim's own row."""
        return row_label(", ".join(self.claim.test.rows), self.variant)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What one contrast compares: an entry, and another one or, if None, the number ``by`` of the claim's test.

    ``place`` says in which row and column of the claim it stands, ``rival`` with which row that is compared.
    """

    ours: Entry
    other: Entry | None
    place: tuple[str, str, str]
    rival: str

    @property
    def entries(self) -> list[Entry]:
        return [self.ours] if self.other is None else [self.ours, self.other]

    @property
    def undefined(self) -> bool:
        """Whether the benchmark would run the other entry but its method is not defined for its model or data."""
        return self.other is not None and self.other.cell is None and self.other.reason != NOT_IN_BENCHMARK


@dataclass(frozen=True, kw_only=True)
class Structure:
    """In which of a claim's contrasts it must show: by ``inner`` within a group of them, by ``outer`` over groups."""

    groups: tuple[tuple[int, ...], ...]
    inner: Quantifier
    outer: Quantifier

    @classmethod
    def of(cls, over: Over, pairs: Sequence[tuple[object, object]]) -> Structure:
        """Return the structure that a claim's ``over`` says, of contrasts given as (place of the row, rival)."""
        inner: Quantifier
        outer: Quantifier
        match over:
            case "any column":
                keys, inner, outer = [place for place, _ in pairs], "all", "any"
            case "all rows":
                keys, inner, outer = [rival for _, rival in pairs], "any", "all"
            case "most rows":
                keys, inner, outer = [rival for _, rival in pairs], "any", "most"
            case flat:
                keys, inner, outer = [""] * len(pairs), flat, "all"
        groups: dict[object, list[int]] = {}
        for number, key in enumerate(keys):
            groups.setdefault(key, []).append(number)
        return cls(groups=tuple(map(tuple, groups.values())), inner=inner, outer=outer)

    def p_values(self, above: Sequence[Any], below: Sequence[Any]) -> tuple[Floats, Floats]:
        """Return the claim's p-values for and against from its contrasts'."""
        each = [combine([above[i] for i in g], [below[i] for i in g], self.inner) for g in self.groups]
        above, below = zip(*each, strict=True)
        return combine(above, below, self.outer)

    def shows(self, contrasts: Sequence[Contrast]) -> bool:
        """Return whether the claim holds in the means."""
        each = [
            sum(contrasts[i].holds_in_the_mean for i in group) >= least(self.inner, len(group)) for group in self.groups
        ]
        return sum(each) >= least(self.outer, len(each))

    def pairs_needed(self, contrasts: Sequence[Contrast], observed: bool, level: float) -> int | None:
        """Return the seed pairs for 80 % power to show what the means show; None where no number would do."""
        sign = 1.0 if observed else -1.0
        wanted, level = _wanted(self.outer, len(self.groups), observed, level)
        each = []
        for group in self.groups:
            count, own_level = _wanted(self.inner, len(group), observed, level)
            each.append(_smallest([_pairs_needed(contrasts[i], sign, own_level) for i in group], count))
        return _smallest(each, wanted)


def least(quantifier: Quantifier, n: int) -> int:
    """Return how many of ``n`` a quantifier asks for; most are more than half."""
    return {"all": n, "any": 1, "most": n // 2 + 1}[quantifier]


def _wanted(quantifier: Quantifier, n: int, observed: bool, level: float) -> tuple[int, float]:
    """Return how many of ``n`` must be shown for (or, if not ``observed``, against) a claim, and each one's level."""
    for_it = least(quantifier, n)
    count = for_it if observed else n - for_it + 1
    return count, level / (n - count + 1)


def _smallest(numbers: Sequence[int | None], count: int) -> int | None:
    """Return the ``count``-th smallest of the numbers; None where fewer are known."""
    known = sorted(number for number in numbers if number is not None)
    return known[count - 1] if len(known) >= count else None


def combine(above: ArrayLike, below: ArrayLike, over: Quantifier) -> tuple[Floats, Floats]:
    """Return the p-values for and against "all, any or most of these" from each one's (on the first axis).

    That at least k of n hold is shown at n - k + 1 times the k-th smallest p-value. For all of them that is the
    largest (intersection-union test), for any n times the smallest (Bonferroni). Source: Benjamini and Heller,
    Biometrics 64 (2008), partial conjunctions. Against it speaks that n - k + 1 do not.
    """
    above, below = np.sort(np.asarray(above, float), axis=0), np.sort(np.asarray(below, float), axis=0)
    n = len(above)
    k = least(over, n)
    return np.minimum((n - k + 1) * above[k - 1], 1.0), np.minimum(k * below[n - k], 1.0)


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
    own = [entry for table, column, _ in test.places for row in test.rows for entry in index[table, row, column]]
    named = tuple(sorted({entry.variant for entry in own if entry.variant is not None}))
    return [_raw_result(paper, claim, index, variant, results) for variant in named or (None,)]


def _raw_result(paper: Paper, claim: Claim, index: Mapping, variant: str | None, results: Results) -> ClaimResult:
    test = claim.test
    every = _pairs(paper, test, index, variant)
    pairs = [pair for pair in every if not pair.undefined]
    for entry in (entry for pair in pairs or every for entry in pair.entries):
        missing = _why_missing(entry, test)
        if missing:
            reason = f"{entry.label}, {entry.column_name}: {missing}"
            return ClaimResult(claim=claim, variant=variant, answer=Answer.NOT_RUN, reason=reason)
    structure = Structure.of(test.over, [(pair.place, pair.rival) for pair in pairs])
    contrasts = tuple(_contrast(test, pair) for pair in pairs)
    n = min(contrast.n for contrast in contrasts)
    compared = {(e.table.table, e.row, e.variant, e.column.id): e for pair in pairs for e in pair.entries}
    result = ClaimResult(
        claim=claim,
        variant=variant,
        answer=Answer.UNDECIDED,
        stand_in=any(entry.stand_in for entry in compared.values()),
        observed=structure.shows(contrasts) if n else None,
        n=n,
        contrasts=contrasts,
        left_out=tuple(dict.fromkeys(pair.other.label for pair in every if pair.undefined and pair.other)),
        compared=tuple(compared.values()),
        structure=structure,
    )
    if n < 2:
        return replace(result, reason=f"{result.counted(n)}: two or more are needed")
    p_values = [statistics.paired_p(contrast.differences, contrast.bound) for contrast in contrasts]
    support, refute = structure.p_values(*zip(*p_values, strict=True))
    # Within a number of units of each other: what a claim about a number, or about runs that diverge, says nothing of.
    between = test.has_rivals and test.kind != "diverges"
    within = [paper.practically_equal(pair.ours.column.metric) if between else None for pair in pairs]
    p_equal = [
        1.0 if bound is None else float(statistics.mean_equivalence_p(_beyond_zero(contrast, test), bound))
        for contrast, bound in zip(contrasts, within, strict=True)
    ]
    # "Better than all" fails, practically, where one of them is as good; "better than any" where all of them are.
    _, same = structure.p_values(p_equal, p_equal)
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


def _pairs(paper: Paper, test: ClaimTest, index: Mapping, variant: str | None) -> list[_Pair]:
    """Return what is compared, in the order of columns; rows without a number in a column stay out."""
    pairs = []
    for name, column, other_column in test.places:
        table = paper.table(name)
        for row in test.rows:
            ours = _of_variant(index[name, row, column], variant)
            for rival in _rivals(table, test, row):
                if rival is None:
                    other = None
                elif rival == row:
                    other = _of_variant(index[name, row, other_column], variant)
                else:
                    other = index[name, rival, other_column][0]  # the first variant listed stands for a rival
                if other is None or other.printed.kind in ("number", "unprinted"):
                    pairs.append(_Pair(ours=ours, other=other, place=(name, row, column), rival=rival or ""))
    return pairs


def _rivals(table: PaperTable, test: ClaimTest, row: str) -> list[str | None]:
    """Return the rows of one table that a row is compared with; None stands for a number."""
    if not test.has_rivals:
        return [None]
    if test.kind == "best_in_column":
        return [*(test.than or (other for other in table.row_ids if other not in test.rows))]
    return [rival for rival in test.than or (row,) if rival in table.row_ids]


def _of_variant(entries: Sequence[Entry], variant: str | None) -> Entry:
    return next((entry for entry in entries if entry.variant == variant), entries[0])


def _why_missing(entry: Entry, test: ClaimTest) -> str:
    if entry.cell is None:
        return entry.reason
    if entry.ours.absent and test.kind != "diverges":
        return entry.ours.absent
    return "" if entry.ours.finished or entry.ours.diverged else "no seed has finished"


def _direction(test: ClaimTest, ours: Entry) -> tuple[float, float]:
    """Return the sign that makes ours − other positive where the claim wants it, and the bound that it must exceed."""
    sign = 1.0 if ours.column.better == "higher" else -1.0
    if test.kind == "worse":
        return -sign, test.by
    return sign, -test.by if test.kind == "not_worse" else test.by


def _contrast(test: ClaimTest, pair: _Pair) -> Contrast:
    ours, other = pair.ours, pair.other
    if other is None:
        sign = 1.0 if test.kind == "above" else -1.0
        values = [sign * value for value in ours.ours.finished.values()] + [-math.inf] * len(ours.ours.diverged)
        name = f"{'' if sign > 0 else '−'}{ours.label}, {ours.column_name}"
        return Contrast(name=name, differences=np.array(values), bound=sign * test.by)
    name = f"{ours.label} − {other.label}, {ours.column_name}"
    if other.row == ours.row:
        name = f"{ours.label}, {ours.column_name} − {other.column_name}"
    if test.kind == "diverges":
        return Contrast(name=f"{name}, diverged", differences=_divergences(ours, other), bound=test.by)
    better = 1.0 if ours.column.better == "higher" else -1.0
    sign, bound = _direction(test, ours)
    differences = sign * better * paired_differences(ours.ours, other.ours, better)
    return Contrast(name=name, differences=differences, bound=bound)


def _divergences(ours: Entry, other: Entry) -> Floats:
    """Return, for each seed that both ran, 1 where only ours diverged, -1 where only the other did, else 0."""
    first, second = ours.ours, other.ours
    seeds = sorted({*first.finished, *first.diverged} & {*second.finished, *second.diverged})
    return np.array([float(seed in first.diverged) - float(seed in second.diverged) for seed in seeds])


def _new_examples(test: ClaimTest, pairs: Sequence[_Pair], results: Results) -> NewExamples | None:
    """Return the p-values of a claim for new seeds and new examples; None where a pair has no examples stored.

    A macro F1 is no mean over examples: where a claim is about it and about accuracy, accuracy alone answers.
    """
    kept = [pair for pair in pairs if pair.ours.column.metric != "macro_f1"]
    if not kept:
        return None
    structure = Structure.of(test.over, [(pair.place, pair.rival) for pair in kept])
    p_values, floors = [], []
    for ours, other in ((pair.ours, pair.other) for pair in kept):
        if other is None or test.kind == "diverges":
            return None
        found = example_error(results, ours, other)
        if found is None or found.error < statistics.TOLERANCE:
            return None
        sign, bound = _direction(test, ours)
        t = (sign * found.mean - bound) / found.error
        p_values.append((found.tail(t), found.tail(-t)))
        floors.append((abs(sign * found.mean - bound), found.floor))
    support, refute = structure.p_values(*zip(*p_values, strict=True))
    of = "" if len(kept) == len(pairs) else kept[0].ours.column.metric
    return NewExamples(p_support=float(support), p_refute=float(refute), effects=tuple(floors), of=of)


def _corrected(raw: list[ClaimResult], alpha: float) -> list[ClaimResult]:
    """Return the answers after Holm's correction over all tested claims of the paper, both directions in one family.

    That a difference is practically none is an answer of its own kind, and a family of its own.
    """
    results = list(raw)
    both = statistics.holm_of_known([p_value for result in raw for p_value in (result.p_support, result.p_refute)])
    equal = statistics.holm_of_known([result.p_equal for result in raw])
    family = sum(p_value is not None for p_value in both)
    for i, (support, refute, same) in enumerate(zip(both[::2], both[1::2], equal, strict=True)):
        if support is not None and refute is not None and same is not None:
            results[i] = _answered(raw[i], support, refute, same, alpha, family)
    new = {i: result.new_examples for i, result in enumerate(raw) if result.new_examples is not None}
    p_values = [p_value for found in new.values() for p_value in (found.p_support, found.p_refute)]
    anew = statistics.holm(p_values).tolist()
    for (i, found), support, refute in zip(new.items(), anew[::2], anew[1::2], strict=True):
        # Never surer of new examples than of this test set: see row_pairs.
        here = results[i]
        support, refute = max(support, here.p_support or 0.0), max(refute, here.p_refute or 0.0)
        over = here.claim.test.over
        results[i] = replace(here, new_examples=_for_new_examples(found, over, support, refute, alpha, len(anew)))
    return results


def _answered(
    result: ClaimResult, support: float, refute: float, same: float, alpha: float, family: int
) -> ClaimResult:
    """Return a claim with its answer from corrected p-values."""
    result = replace(result, p_support=support, p_refute=refute, p_equal=same)
    without = f"; without {', '.join(result.left_out)}, not defined there" if result.left_out else ""
    tail = f"{result.counted(result.n)}{without}"
    if support < alpha:
        small = ", by a difference that is practically none" if same < alpha else ""
        return replace(result, answer=Answer.SUPPORTED, reason=f"p = {support:.2g} (Holm), {tail}{small}")
    if refute < alpha:
        return replace(result, answer=Answer.REFUTED, reason=f"p = {refute:.2g} (Holm), {tail}")
    if same < alpha:
        reason = f"within ±{result.equal_within:g}, p = {same:.2g} (Holm), {tail}"
        return replace(result, answer=Answer.EQUAL, reason=reason)
    needed = result.structure.pairs_needed(result.contrasts, bool(result.observed), alpha / family)
    shown = "it holds" if result.observed else "it does not hold"
    more = f"more than {statistics.MOST_SEEDS} seeds to decide"
    if needed:
        more = f"{seeds_range(needed, result.n)} would decide"
    return replace(result, seeds_needed=needed, reason=f"in the means {shown}; {more}{without}")


def _for_new_examples(
    found: NewExamples, over: Over, support: float, refute: float, alpha: float, family: int
) -> NewExamples:
    """Return a claim's answer for new examples from corrected p-values."""
    answer = Answer.SUPPORTED if support < alpha else Answer.REFUTED if refute < alpha else Answer.UNDECIDED
    reason = ""
    if answer is Answer.UNDECIDED:
        # What 80 % power at the corrected level takes, against the error that no number of seeds removes.
        least = float(stats.norm.isf(alpha / family) + stats.norm.ppf(statistics.POWER))
        hopeless = [effect < least * floor for effect, floor in found.effects]
        if all(hopeless) or (over == "all" and any(hopeless)):
            reason = "no number of seeds would decide: the examples are too few"
    return replace(found, answer=answer, p_support=support, p_refute=refute, reason=reason)


def _pairs_needed(contrast: Contrast, sign: float, level: float) -> int | None:
    beyond = sign * (contrast.differences - contrast.bound)
    if not np.isfinite(beyond).all() or np.ptp(beyond) < statistics.TOLERANCE:
        return math.ceil(math.log2(1 / level)) if (beyond > statistics.TOLERANCE).all() else None
    effect = float(beyond.mean())
    return statistics.seeds_to_show_order(effect, float(beyond.std(ddof=1)), level) if effect > 0 else None
