"""What came out of a comparison, in counts and in a sentence: the first thing that every reader is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from counterpoise.judging.compare import Comparison, ComparisonRow
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.words import counted, listed
from counterpoise.results.table import Results

COMPARED = (Verdict.REPRODUCED, Verdict.CONSISTENT, Verdict.DEVIATES, Verdict.DIVERGED)
"""Verdicts that say something about the paper's number. A stand-in, or too few seeds, says nothing."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """How many printed numbers got each verdict.

    Of those that diverged, ``diverged_stand_ins`` ran on a stand-in: that says nothing about the paper's number.
    """

    counts: Mapping[Verdict, int]
    diverged_stand_ins: int = 0

    @property
    def printed(self) -> int:
        """The numbers that the paper prints; entries that it leaves open or shows as a bar are none."""
        return sum(n for verdict, n in self.counts.items() if verdict not in NOT_NUMBERS)

    @property
    def compared(self) -> int:
        """The numbers that a verdict says something about."""
        return sum(self.count(verdict) for verdict in COMPARED) - self.diverged_stand_ins

    @property
    def deviating(self) -> int:
        """The compared numbers that deviate, or whose runs diverged."""
        return self.count(Verdict.DEVIATES) + self.count(Verdict.DIVERGED) - self.diverged_stand_ins

    def count(self, verdict: Verdict) -> int:
        """How many got a verdict."""
        return self.counts.get(verdict, 0)

    def sentence(self) -> str:
        """``18 of 244 numbers compared: 12 reproduced, 4 consistent, 2 deviate. 226 were not run.``"""
        of_paper = {**self.counts, Verdict.DIVERGED: self.count(Verdict.DIVERGED) - self.diverged_stand_ins}
        of_paper[Verdict.STAND_IN] = self.count(Verdict.STAND_IN) + self.diverged_stand_ins
        parts = [_part(of_paper.get(verdict, 0), *WORDS[verdict]) for verdict in COMPARED]
        head = f"{self.compared} of {counted(self.printed, 'number')} compared"
        head += f": {listed([part for part in parts if part])}." if self.compared else "."
        rest = [_part(of_paper.get(verdict, 0), *words) for verdict, words in NOT_COMPARED.items()]
        said = listed([part for part in rest if part])
        return f"{head} {said}." if said else head


NOT_NUMBERS = (Verdict.NOT_DEFINED, Verdict.NOT_PRINTED)
WORDS = {
    Verdict.REPRODUCED: ("is reproduced", "are reproduced"),
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
    Verdict.STAND_IN: ("ran on a stand-in", "ran on stand-ins"),
    Verdict.FAILED: ("failed", "failed"),
    Verdict.NOT_RUN: ("was not run", "were not run"),
}


def numbers_of(rows: Iterable[ComparisonRow]) -> Numbers:
    """Count the verdicts of some rows."""
    rows = list(rows)
    stand_ins = sum(row.verdict is Verdict.DIVERGED and row.entry.stand_in for row in rows)
    return Numbers(counts=Counter(row.verdict for row in rows), diverged_stand_ins=stand_ins)


def answer(comparison: Comparison) -> str:
    """Return the answer to "does it reproduce?" in a few words, no more than the comparison can say."""
    numbers = numbers_of(comparison.rows)
    refuted = sum(claim.verdict == "refuted" for claim in comparison.claims)
    wrong = numbers.deviating
    if not numbers.compared:
        return "Not answered here: nothing was compared"
    if wrong:
        text = f"{wrong} of {counted(numbers.compared, 'compared number')} {'deviates' if wrong == 1 else 'deviate'}"
    else:
        text = f"Nothing deviates among {counted(numbers.compared, 'compared number')}"
    return f"{text}; {counted(refuted, 'claim')} refuted" if refuted else text


def sentence(comparison: Comparison) -> str:
    """Return the answer and the counts behind it, for a terminal: ``MMPareto: 2 of 40 compared numbers deviate. …``"""
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
        missing = ("failed", "out_of_memory", "missing")
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
    """Return the numbers that were not run by table and reason, the largest group first."""
    groups: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in comparison.rows:
        if row.verdict is Verdict.NOT_RUN:
            groups.setdefault((row.entry.table.table, row.number.reason), []).append(row)
    found = [NotRun(table=table, reason=reason, rows=rows) for (table, reason), rows in groups.items()]
    return sorted(found, key=lambda group: -len(group.rows))


def _part(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}" if count else ""
