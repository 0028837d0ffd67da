"""Compare a benchmark's results with a paper: every number, every claim, every ranking, and one exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoise.errors import UserError, suggest
from counterpoise.judging.claims import Answer, ClaimResult, answer_claims
from counterpoise.judging.contrast import GainResult, judge_gains
from counterpoise.judging.entries import Entry, added_entries, entries_of
from counterpoise.judging.level import CurvePoint, judge_levels, margin_curves
from counterpoise.judging.pattern import Pattern, judge_patterns
from counterpoise.judging.ranking import Ranking, judge_leaders, judge_rankings
from counterpoise.judging.row_pairs import RowPair, judge_pairs
from counterpoise.judging.verdicts import Discrimination, NumberVerdict, Verdict
from counterpoise.papers.paper import Paper
from counterpoise.results.layout import Layout
from counterpoise.results.rows import as_csv, field_text
from counterpoise.results.table import Results

COLUMNS = (
    "paper",
    "table",
    "row",
    "column",
    "dataset",
    "metric",
    "printed",
    "mean",
    "std",
    "n",
    "median",
    "iqm",
    "collapsed",
    "comparability",
    "margin",
    "delta",
    "low",
    "high",
    "equal_low",
    "equal_high",
    "p_value",
    "p_corrected",
    "counted",
    "verdict",
    "reason",
)
CLAIM_COLUMNS = (
    "paper",
    "claim",
    "section",
    "table",
    "row",
    "verdict",
    "observed",
    "n",
    "p_support",
    "p_refute",
    "p_equal",
    "equal_within",
    "new_examples",
    "seeds_needed",
    "reason",
    "quote",
)
RANKING_COLUMNS = (
    "paper",
    "table",
    "variant",
    "column",
    "dataset",
    "rows",
    "n",
    "tau",
    "p_value",
    "best",
    "p_best",
    "improvement",
    "stand_in",
    "reason",
)
GAIN_COLUMNS = (
    "paper",
    "table",
    "column",
    "row",
    "baseline",
    "printed",
    "gain",
    "low",
    "high",
    "n",
    "same_sign",
    "p_value",
    "p_corrected",
    "verdict",
)
POWER_COLUMNS = (
    "paper",
    "table",
    "column",
    "margin",
    "right",
    "rows",
    "wrong",
    "pairs",
    "pattern_rows",
    "pattern_f",
    "pattern_p",
    "flat_p",
)
PAIR_COLUMNS = (
    "paper",
    "table",
    "column",
    "row",
    "other",
    "asked",
    "difference",
    "low",
    "high",
    "n",
    "p_value",
    "p_corrected",
    "verdict",
    "new_low",
    "new_high",
    "new_p_value",
    "new_p_corrected",
    "new_examples",
)
MARGIN_COLUMNS = ("paper", "table", "margin", "within", "deviates", "neither")
SEED_COLUMNS = ("paper", "table", "row", "column", "dataset", "better", "stand_in", "seed", "status", "value")
_NUMBER_FIELDS = (
    *("mean", "std", "n", "median", "iqm", "margin", "delta", "low", "high", "equal_low", "equal_high"),
    *("p_value", "p_corrected"),
)
COMPARED = (Verdict.REPRODUCED, Verdict.WITHIN, Verdict.CONSISTENT, Verdict.DEVIATES)
"""Verdicts that say something about a number's level."""
ALL_WELL, DEVIATIONS, REFUTED, NOTHING_COMPARED = 0, 3, 4, 5


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One printed entry, one variant of ours, and the verdict. Numbers are in the paper's printed units."""

    entry: Entry
    number: NumberVerdict
    alpha: float = 0.05

    @property
    def verdict(self) -> Verdict:
        """The verdict on the number."""
        return self.number.verdict

    @property
    def sampling_error(self) -> float | None:
        """The binomial standard error of one run on this test set, in points; None but for accuracy."""
        return self.entry.test_error if self.entry.column.metric == "accuracy" else None

    @property
    def deviates(self) -> bool:
        """Whether the number deviates at the level corrected over all compared numbers, or its runs diverged.

        Only what counts: on no stand-in, and of a row's variants the first.
        """
        if not self.entry.counted or self.entry.stand_in:
            return False
        if self.verdict is Verdict.DIVERGED:
            return True
        p_value = self.number.p_corrected
        return self.verdict is Verdict.DEVIATES and p_value is not None and p_value < self.alpha

    def record(self) -> dict[str, str]:
        """Return the row of the comparison file."""
        entry, number = self.entry, self.number
        return {
            "paper": entry.table.paper,
            "table": entry.table.table,
            "row": entry.label,
            "column": entry.column.id,
            "dataset": entry.dataset,
            "metric": entry.column.metric,
            "printed": entry.printed.printed,
            **{name: field_text(getattr(number, name)) for name in _NUMBER_FIELDS},
            "collapsed": " ".join(map(str, number.collapsed)),
            "comparability": entry.comparability.level if entry.cell else "",
            "counted": field_text(entry.counted),
            "verdict": str(number.verdict),
            "reason": number.reason,
        }

    def seed_records(self) -> Iterator[dict[str, str]]:
        """Yield the rows of the seeds' file: what each run that is there gives for this entry."""
        entry = self.entry
        for seed in sorted({*entry.ours.finished, *entry.ours.diverged}):
            value = entry.ours.finished.get(seed)
            yield {
                "paper": entry.table.paper,
                "table": entry.table.table,
                "row": entry.label,
                "column": entry.column.id,
                "dataset": entry.dataset,
                "better": entry.column.better,
                "stand_in": field_text(entry.stand_in),
                "seed": str(seed),
                "status": "diverged" if value is None else "completed",
                "value": "" if value is None else f"{value:.12g}",
            }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paper compared with the results of a benchmark; ``layout`` is that of the results.

    ``rows`` has every number of the paper with its verdict, in the order of :func:`entries_of`: whoever shows a
    number takes its verdict from here. ``added`` are the rows that the benchmark adds, which no number is compared of.
    ``pairs`` has every two rows of a column side by side, ``rankings`` of a table of one's own its best row.
    """

    layout: Layout
    paper: Paper
    rows: list[ComparisonRow]
    claims: list[ClaimResult]
    rankings: list[Ranking]
    powers: list[Discrimination]
    gains: list[GainResult]
    patterns: list[Pattern]
    added: list[Entry]
    pairs: list[RowPair]
    curves: list[CurvePoint]

    def rows_of(self, table: str) -> list[ComparisonRow]:
        """Return the rows of one table."""
        return [row for row in self.rows if row.entry.table.table == table]

    @property
    def exit_code(self) -> int:
        """0 if something was compared and nothing deviates, 3 if a number deviates or diverges, 4 if a claim is
        refuted, 5 if nothing was compared: no number's level, and no claim has an answer.

        Everything that sets it is corrected over the whole paper (Holm), the claims in both directions. Stand-ins do
        not count: what happens on them says nothing about the paper's numbers. In tables of one's own there is nothing
        of a paper to be compared: always 5.
        """
        if self.paper.is_own:
            return NOTHING_COMPARED
        answers = {claim.answer for claim in self.claims if not claim.stand_in}
        if Answer.REFUTED in answers:
            return REFUTED
        if any(row.deviates for row in self.rows):
            return DEVIATIONS
        if self.compared or answers & {Answer.SUPPORTED, Answer.EQUAL}:
            return ALL_WELL
        return NOTHING_COMPARED

    @property
    def counted(self) -> list[ComparisonRow]:
        """The printed entries, each once whatever variants ran."""
        return [row for row in self.rows if row.entry.counted]

    @property
    def compared(self) -> list[ComparisonRow]:
        """The numbers whose level was compared with the paper's."""
        return [row for row in self.counted if row.verdict in COMPARED]

    @property
    def false_expected(self) -> float:
        """How many of the compared numbers would be called deviating by chance if the paper were exactly right."""
        return self.paper.alpha * len(self.compared)

    @property
    def number_counts(self) -> dict[str, int]:
        """How many printed entries got each verdict, each once; every verdict is there, in the order of reports."""
        counts = Counter(row.verdict for row in self.counted)
        return {str(verdict): counts[verdict] for verdict in Verdict}

    @property
    def claim_counts(self) -> dict[str, int]:
        """How many claims got each answer, those on stand-ins under their own words."""
        counts = Counter(claim.verdict for claim in self.claims)
        words = [str(answer) for answer in Answer] + sorted(set(counts) - set(Answer))
        return {word: counts[word] for word in words}

    def summary(self) -> dict[str, Any]:
        """Return the counts and what they rest on, as JSON data."""
        return {
            "schema": 2,
            "paper": self.paper.paper,
            "benchmark": self.layout.name,
            "seeds": list(self.layout.seeds),
            "selection": self.layout.selection,
            "alpha": self.paper.alpha,
            "numbers": {name.replace(" ", "_").replace("-", "_"): n for name, n in self.number_counts.items()},
            "claims": {name.replace(" ", "_").replace("-", "_"): n for name, n in self.claim_counts.items()},
            "compared": len(self.compared),
            "deviating_after_holm": sum(row.deviates for row in self.rows),
            "false_deviations_expected": round(self.false_expected, 2),
            "exit_code": self.exit_code,
        }

    def csv(self) -> str:
        """Return the comparison in long form, one line per printed entry and variant."""
        return as_csv(COLUMNS, (row.record() for row in self.rows))

    def texts(self) -> dict[str, str]:
        """Return the text of every file of the comparison, by the file's name."""
        paper = self.paper.paper
        claims = (_claim_record(paper, claim) for claim in self.claims)
        seeds = (record for row in self.rows for record in row.seed_records())
        return {
            f"{paper}.csv": self.csv(),
            f"{paper}.claims.csv": as_csv(CLAIM_COLUMNS, claims),
            f"{paper}.rankings.csv": _records(RANKING_COLUMNS, paper, self.rankings),
            f"{paper}.seeds.csv": as_csv(SEED_COLUMNS, seeds),
            f"{paper}.gains.csv": as_csv(GAIN_COLUMNS, (_gain_record(paper, gain) for gain in self.gains)),
            f"{paper}.columns.csv": as_csv(POWER_COLUMNS, _column_records(self)),
            f"{paper}.margins.csv": _records(MARGIN_COLUMNS, paper, self.curves),
            f"{paper}.pairs.csv": _records(PAIR_COLUMNS, paper, self.pairs),
        }


def judge(paper: Paper, results: Results) -> Comparison:
    """Compare everything that ``paper`` prints and claims with the results of a benchmark.

    Raises:
        UserError: the benchmark has no table of this paper.
    """
    layout = results.layout
    if paper.paper not in layout.papers:
        hint = suggest(paper.paper, layout.papers)
        raise UserError(f"the benchmark '{layout.name}' has no table of the paper '{paper.paper}'{hint}")
    entries, added = entries_of(paper, results), added_entries(paper, results)
    numbers, powers = judge_levels(paper, entries)
    return Comparison(
        layout=layout,
        paper=paper,
        rows=[
            ComparisonRow(entry=entry, number=number, alpha=paper.alpha)
            for entry, number in zip(entries, numbers, strict=True)
        ],
        claims=answer_claims(paper, entries, results),
        rankings=judge_leaders(entries) if paper.is_own else judge_rankings(entries),
        powers=powers,
        gains=judge_gains(paper, entries, results),
        patterns=judge_patterns(paper, entries),
        added=added,
        pairs=judge_pairs(paper, entries, added, results),
        curves=margin_curves(paper, entries),
    )


def _claim_record(paper: str, claim: ClaimResult) -> dict[str, str]:
    return {
        "paper": paper,
        "claim": claim.claim.id,
        "section": claim.claim.section,
        "table": " ".join(claim.claim.test.tables),
        "row": claim.row,
        "verdict": claim.verdict,
        "observed": field_text(claim.observed),
        "n": field_text(claim.n),
        "p_support": field_text(claim.p_support),
        "p_refute": field_text(claim.p_refute),
        "p_equal": field_text(claim.p_equal),
        "equal_within": field_text(claim.equal_within),
        "new_examples": "" if claim.new_examples is None else claim.new_examples.words,
        "seeds_needed": field_text(claim.seeds_needed),
        "reason": claim.reason,
        "quote": claim.claim.quote,
    }


def _records(columns: Sequence[str], paper: str, found: Iterable[Any]) -> str:
    """Return CSV text of records whose fields are called as the columns."""
    return as_csv(
        columns,
        (
            {name: paper if name == "paper" else field_text(getattr(record, name)) for name in columns}
            for record in found
        ),
    )


def _gain_record(paper: str, gain: GainResult) -> dict[str, str]:
    entry = gain.entry
    named = {"paper": paper, "table": entry.table.table, "column": entry.column.id, "row": entry.label}
    return named | {name: field_text(getattr(gain, name)) for name in GAIN_COLUMNS if name not in named}


def _column_records(comparison: Comparison) -> Iterator[dict[str, str]]:
    """Yield what is known of columns as a whole: discriminating power and pattern."""
    powers = {(power.table, power.column): power for power in comparison.powers}
    patterns = {(pattern.table, pattern.column): pattern for pattern in comparison.patterns}
    for place in dict.fromkeys([*powers, *patterns]):
        power, pattern = powers.get(place), patterns.get(place)
        record = {"paper": comparison.paper.paper, "table": place[0], "column": place[1]}
        if power is not None:
            record |= {name: field_text(getattr(power, name)) for name in ("margin", "right", "rows", "wrong", "pairs")}
        if pattern is not None:
            values = (pattern.rows, pattern.f, pattern.p_value, pattern.p_flat)
            record |= dict(
                zip(("pattern_rows", "pattern_f", "pattern_p", "flat_p"), map(field_text, values), strict=True)
            )
        yield record
