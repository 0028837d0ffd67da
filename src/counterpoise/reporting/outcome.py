"""What came out of a comparison, in counts and in a sentence: the first thing that every reader is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from counterpoise.comparability import OTHER
from counterpoise.judging.claims import Answer
from counterpoise.judging.compare import COMPARED, Comparison, ComparisonRow
from counterpoise.judging.contrast import Gain
from counterpoise.judging.verdicts import MOST_WRONG, Discrimination, Verdict
from counterpoise.reporting.own import own_answer, own_headline, own_sentence, own_summary
from counterpoise.reporting.words import counted, listed
from counterpoise.results.table import Results

SAID = (*COMPARED, Verdict.DIVERGED)
"""Verdicts that say something about the paper's number. A stand-in, or too few seeds, says nothing."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """How many printed numbers got each verdict, each counted once; ``deviating`` deviate after Holm, or diverged.

    Of those that diverged, ``diverged_stand_ins`` ran on a stand-in: that says nothing about the paper's number. Of a
    paper that prints bars and no numbers (``bars``) the values behind them are counted.
    """

    counts: Mapping[Verdict, int]
    diverged_stand_ins: int = 0
    deviating: int = 0
    false_expected: float = 0.0
    bars: bool = False

    @property
    def printed(self) -> int:
        """The numbers that the paper prints; entries that it leaves open or shows as a bar are none."""
        return 0 if self.bars else sum(n for verdict, n in self.counts.items() if verdict not in NOT_NUMBERS)

    @property
    def compared(self) -> int:
        """The numbers that a verdict says something about."""
        return sum(self.count(verdict) for verdict in SAID) - self.diverged_stand_ins

    def count(self, verdict: Verdict) -> int:
        """How many got a verdict."""
        return self.counts.get(verdict, 0)

    def sentence(self) -> str:
        """``18 of 244 numbers compared: 12 reproduced, 4 consistent, 2 deviate. 226 were not run.``"""
        of_paper = {**self.counts, Verdict.DIVERGED: self.count(Verdict.DIVERGED) - self.diverged_stand_ins}
        of_paper[Verdict.STAND_IN] = self.count(Verdict.STAND_IN) + self.diverged_stand_ins
        parts = [_part(of_paper.get(verdict, 0), *WORDS[verdict]) for verdict in SAID]
        head = f"{self.compared} of {counted(self.printed, 'number')} compared"
        head += f": {listed([part for part in parts if part])}." if self.compared else "."
        if self.bars:
            values = sum(n for verdict, n in self.counts.items() if verdict is not Verdict.NOT_DEFINED)
            there = values - self.count(Verdict.NOT_RUN) - self.count(Verdict.FAILED)
            head = f"The paper prints bars and no numbers: {there} of {counted(values, 'value')} measured."
        rest = [_part(of_paper.get(verdict, 0), *words) for verdict, words in NOT_COMPARED.items()]
        said = listed([part for part in rest if part])
        if self.count(Verdict.DEVIATES):
            head += f" About {self.false_expected:.1g} would deviate by chance if the paper were exactly right."
        return f"{head} {said}." if said else head


NOT_NUMBERS = (Verdict.NOT_DEFINED, Verdict.NOT_PRINTED)
WORDS = {
    Verdict.REPRODUCED: ("is reproduced", "are reproduced"),
    Verdict.WITHIN: ("is within a margin that wrong rows pass, too", "are within a margin that wrong rows pass, too"),
    Verdict.CONSISTENT: ("is consistent", "are consistent"),
    Verdict.DEVIATES: ("deviates", "deviate"),
    Verdict.DIVERGED: ("diverged", "diverged"),
}
SEVERAL = {
    "holds on the stand-in": "hold on the stand-in",
    "does not hold on the stand-in": "do not hold on the stand-in",
}
NOT_COMPARED = {
    Verdict.UNDECIDED: ("has too few seeds to judge by", "have too few seeds to judge by"),
    Verdict.NOT_COMPARABLE: ("is not comparable in level", "are not comparable in level"),
    Verdict.STAND_IN: ("ran on a stand-in", "ran on stand-ins"),
    Verdict.NOT_JUDGED: ("has no declared margin", "have no declared margin"),
    Verdict.FAILED: ("failed", "failed"),
    Verdict.NOT_RUN: ("was not run", "were not run"),
}


def numbers_of(rows: Iterable[ComparisonRow]) -> Numbers:
    """Count the verdicts of some rows, each printed number once whatever variants ran."""
    rows = [row for row in rows if row.entry.counted]
    stand_ins = sum(row.verdict is Verdict.DIVERGED and row.entry.stand_in for row in rows)
    compared = [row for row in rows if row.verdict in COMPARED]
    return Numbers(
        counts=Counter(row.verdict for row in rows),
        diverged_stand_ins=stand_ins,
        deviating=sum(row.deviates for row in rows),
        false_expected=sum(row.alpha for row in compared),
        bars=bool(rows) and all(row.entry.printed.kind != "number" for row in rows),
    )


def answer(comparison: Comparison) -> str:
    """Return the answer to "does it reproduce?" in a few words, no more than the comparison can say."""
    if comparison.paper.is_own:
        return own_answer(comparison)
    numbers = numbers_of(comparison.rows)
    refuted = sum(claim.verdict == "refuted" for claim in comparison.claims)
    wrong = numbers.deviating
    if not numbers.compared:
        other = numbers.count(Verdict.NOT_COMPARABLE) > 0
        text = f"Not answered here: {'no number is comparable in level' if other else 'nothing was compared'}"
        return f"{text}; {counted(refuted, 'claim')} refuted" if refuted else text
    # Far off each by itself, and too few seeds to say so of that many at once, is not the same as close.
    singly = numbers.count(Verdict.DEVIATES) + numbers.count(Verdict.DIVERGED) - numbers.diverged_stand_ins
    if singly:
        deviate = "deviates" if singly == 1 else "deviate"
        text = f"{singly} of {counted(numbers.compared, 'compared number')} {deviate}"
        text += "" if wrong == singly else f" taken one by one, {wrong or 'none'} after correction for their number"
    else:
        text = f"Nothing deviates among {counted(numbers.compared, 'compared number')}"
    return f"{text}; {counted(refuted, 'claim')} refuted" if refuted else text


def sentence(comparison: Comparison) -> str:
    """Return the answer and the counts behind it, for a terminal: ``MMPareto: 2 of 40 compared numbers deviate. …``"""
    if comparison.paper.is_own:
        return f"{comparison.paper.short_title}: {own_sentence(comparison)}"
    parts = [f"{answer(comparison)}.", numbers_of(comparison.rows).sentence(), claims_sentence(comparison)]
    return f"{comparison.paper.short_title}: {' '.join(part for part in parts if part)}"


def claims_sentence(comparison: Comparison) -> str:
    """Return the claims' answers in a sentence; empty for a paper without claims."""
    counts = {word: n for word, n in comparison.claim_counts.items() if n}
    if not counts:
        return ""
    parts = [_part(n, word, SEVERAL.get(word, word)) for word, n in counts.items()]
    return f"{counted(len(comparison.claims), 'claim')}: {listed(parts)}."


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How many of the planned runs have ended, by status."""

    states: Mapping[str, int]

    @property
    def planned(self) -> int:
        """All runs of the benchmark."""
        return sum(self.states.values())

    @property
    def finished(self) -> int:
        """The runs that need no more training, diverged ones included."""
        return self.states.get("completed", 0) + self.states.get("diverged", 0)

    @property
    def partial(self) -> bool:
        """Whether runs are missing or failed."""
        return self.finished < self.planned

    def sentence(self) -> str:
        """``Partial: 12 of 48 runs have finished (3 failed, 33 missing).``, or that all have."""
        head = f"{self.finished} of {counted(self.planned, 'run')} {'has' if self.planned == 1 else 'have'} finished"
        missing = ("failed", "out_of_memory", "interrupted", "missing")
        others = [f"{self.states[s]} {s.replace('_', ' ')}" for s in missing if self.states.get(s)]
        return f"Partial: {head} ({', '.join(others)})." if self.partial else f"{head}."


def progress_of(results: Results) -> Progress:
    """Count the runs of a benchmark by status."""
    return Progress(states=Counter(run.status for run in results.runs))


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """Printed numbers of one table that nothing ran for, for one reason."""

    table: str
    reason: str
    rows: Sequence[ComparisonRow]


def not_run(comparison: Comparison) -> list[NotRun]:
    """Return the printed numbers that were not run by table and reason, the largest group first: each once.

    They are those that :class:`Numbers` counts as not run.
    """
    groups: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in comparison.counted:
        if row.verdict is Verdict.NOT_RUN:
            groups.setdefault((row.entry.table.table, row.number.reason), []).append(row)
    found = [NotRun(table=table, reason=reason, rows=rows) for (table, reason), rows in groups.items()]
    return sorted(found, key=lambda group: -len(group.rows))


def _part(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}" if count else ""


def table_summary(comparison: Comparison, name: str) -> str:
    """Return what a table's numbers say, and what they cannot say: level, pattern, gains, equal rows; "" without runs.

    Of a table of one's own, which row is best in each column.

    ``Not comparable in level (...). Level: 13 of 14 shown within the margin, but so are 89 % of wrong pairings. ...``
    """
    if comparison.paper.is_own:
        return own_summary(comparison, name)
    rows = [row for row in comparison.rows_of(name) if row.entry.counted]
    powers = [power for power in comparison.powers if power.table == name]
    parts = [_gate_part(rows), *_level_parts(powers), _pattern_part(comparison, name), _gain_part(comparison, name)]
    return " ".join([*filter(None, parts), *_equal_parts(comparison, name)])


def table_headline(comparison: Comparison, name: str) -> str:
    """Return verdict and counts of a table in a line or two; :func:`table_summary` has the reasons and the rest.

    ``Not comparable in level (test set). 13 of 14 shown within the margin, but so are 89% of wrong pairings.``
    """
    if comparison.paper.is_own:
        return own_headline(comparison, name)
    rows = [row for row in comparison.rows_of(name) if row.entry.counted and row.number.n]
    other = [row.entry.comparability for row in rows if row.verdict is Verdict.NOT_COMPARABLE]
    aspects = dict.fromkeys(found.aspect for gate in other for found in gate.differences if found.level == OTHER)
    powers = [power for power in comparison.powers if power.table == name]
    parts = [f"Not comparable in level ({', '.join(aspects)})." if aspects else ""]
    if powers:
        parts.append(f"{_right(powers)} shown within the margin{_wrong(powers)}.")
    return " ".join(filter(None, parts))


def _gate_part(rows: Sequence[ComparisonRow]) -> str:
    reasons = dict.fromkeys(
        row.entry.comparability.reason for row in rows if row.verdict is Verdict.NOT_COMPARABLE and row.number.n
    )
    return f"Not comparable in level: {'; '.join(reasons)}." if reasons else ""


def _level_parts(powers: Sequence[Discrimination]) -> Iterable[str]:
    if not powers:
        return
    margins = [f"±{margin:.3g}" for margin in sorted({power.margin for power in powers})]
    reach = " to ".join(dict.fromkeys((margins[0], margins[-1])))
    yield f"Level: {_right(powers)} shown within {reach}{_wrong(powers)}."


def _right(powers: Sequence[Discrimination]) -> str:
    return f"{sum(power.right for power in powers)} of {sum(power.rows for power in powers)}"


def _wrong(powers: Sequence[Discrimination]) -> str:
    wrong, pairs = sum(power.wrong for power in powers), sum(power.pairs for power in powers)
    if not pairs:
        return ""
    share = f"{wrong / pairs:.0%} of wrong pairings"
    return f", but so are {share}" if wrong > MOST_WRONG * pairs else f", and {share} are, too"


def _pattern_part(comparison: Comparison, name: str) -> str:
    said = []
    for pattern in comparison.patterns:
        if pattern.table != name or pattern.stand_in:
            continue
        column = comparison.paper.table(name).column_name(pattern.column)
        if pattern.p_value < comparison.paper.alpha:
            said.append(f"{column} differs (p = {pattern.p_value:.2g})")
        else:
            flat = ", also with no differences at all" if pattern.p_flat >= comparison.paper.alpha else ""
            said.append(f"{column} compatible (p = {pattern.p_value:.2g}{flat})")
    return f"Pattern: {listed(said)}." if said else ""


def _gain_part(comparison: Comparison, name: str) -> str:
    gains = [gain for gain in comparison.gains if gain.entry.table.table == name]
    if not gains:
        return ""
    same = sum(gain.same_sign for gain in gains)
    away = sum(gain.p_corrected is not None and gain.p_corrected < comparison.paper.alpha for gain in gains)
    text = f"Gains over {gains[0].baseline}: {same} of {len(gains)} with the printed sign"
    singly = sum(gain.verdict is Gain.DEVIATES for gain in gains)
    if singly:
        text += f", {singly} {'deviates' if singly == 1 else 'deviate'}"
        text += "" if away == singly else f" taken one by one, {away or 'none'} after correction"
    return f"{text}."


def _equal_parts(comparison: Comparison, name: str) -> Iterable[str]:
    for claim in comparison.claims:
        if name in claim.claim.test.tables and claim.answer is Answer.EQUAL:
            of = f" ({claim.variant})" if claim.variant else ""
            yield f"{claim.claim.id}{of}: practically equal within ±{claim.equal_within:g} on this test set."
