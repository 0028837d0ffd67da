"""Compare a benchmark's results with a paper: every number, every claim, every ranking, and one exit code."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from counterpoise.errors import UserError, suggest
from counterpoise.judging import statistics
from counterpoise.judging.claims import Answer, ClaimResult, answer_claims
from counterpoise.judging.entries import Entry, entries_of
from counterpoise.judging.verdicts import NumberVerdict, Rule, Verdict, judge_number
from counterpoise.papers.paper import Paper
from counterpoise.results.layout import Layout
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
    "delta",
    "low",
    "high",
    "verdict",
    "reason",
)
CLAIM_COLUMNS = (
    "paper",
    "claim",
    "section",
    "table",
    "row",
    "family",
    "verdict",
    "observed",
    "n",
    "p_support",
    "p_refute",
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
    "low",
    "high",
    "stand_in",
    "reason",
)
SEED_COLUMNS = ("paper", "table", "row", "column", "dataset", "better", "stand_in", "seed", "status", "value")
BOOTSTRAP_SEED = 20240531
ALL_WELL, DEVIATIONS, REFUTED, NOTHING_COMPARED = 0, 3, 4, 5


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One printed entry, one variant of ours, and the verdict. Numbers are in the paper's printed units."""

    entry: Entry
    number: NumberVerdict

    @property
    def verdict(self) -> Verdict:
        """The verdict on the number."""
        return self.number.verdict

    @property
    def sampling_error(self) -> float | None:
        """The binomial standard error of one run on this test set, in points; None but for accuracy."""
        entry, mean = self.entry, self.number.mean
        if entry.column.metric != "accuracy" or entry.n_test is None or mean is None:
            return None
        share = min(max(mean / entry.column.scale, 0.0), 1.0)
        return entry.column.scale * statistics.binomial_error(share, entry.n_test)

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
            **{name: _text(getattr(number, name)) for name in ("mean", "std", "n", "delta", "low", "high")},
            "verdict": str(number.verdict),
            "reason": number.reason,
        }

    def seed_records(self) -> Iterator[dict[str, str]]:
        """Yield the rows of the seeds' file: what each run that is there gives for this entry."""
        entry = self.entry
        if entry.ours is None:
            return
        for seed in sorted({*entry.ours.finished, *entry.ours.diverged}):
            value = entry.ours.finished.get(seed)
            yield {
                "paper": entry.table.paper,
                "table": entry.table.table,
                "row": entry.label,
                "column": entry.column.id,
                "dataset": entry.dataset,
                "better": entry.column.better,
                "stand_in": _text(entry.stand_in),
                "seed": str(seed),
                "status": "diverged" if value is None else "completed",
                "value": "" if value is None else f"{value:.12g}",
            }


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How far our order of a column's rows agrees with the printed one: Kendall's τ with its interval."""

    paper: str
    table: str
    variant: str
    column: str
    dataset: str
    rows: int
    n: int
    tau: float | None
    low: float | None
    high: float | None
    stand_in: bool
    reason: str = ""

    def record(self) -> dict[str, str]:
        """Return the row of the rankings file."""
        return {name: _text(getattr(self, name)) for name in RANKING_COLUMNS}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paper compared with the results of a benchmark; ``layout`` is that of the results.

    ``rows`` has every number of the paper with its verdict, in the order of :func:`entries_of`: whoever shows a
    number takes its verdict from here.
    """

    layout: Layout
    paper: Paper
    rows: list[ComparisonRow]
    claims: list[ClaimResult]
    rankings: list[Ranking]

    def rows_of(self, table: str) -> list[ComparisonRow]:
        """Return the rows of one table."""
        return [row for row in self.rows if row.entry.table.table == table]

    @property
    def exit_code(self) -> int:
        """0 if something was compared and nothing deviates, 3 if a number deviates or diverges, 4 if a claim is
        refuted, 5 if nothing was compared: no number and no claim.

        Stand-ins do not count: what happens on them says nothing about the paper's numbers.
        """
        if any(claim.answer is Answer.REFUTED and not claim.stand_in for claim in self.claims):
            return REFUTED
        wrong = (Verdict.DEVIATES, Verdict.DIVERGED)
        if any(row.verdict in wrong and not row.entry.stand_in for row in self.rows):
            return DEVIATIONS
        compared = any(row.verdict in (Verdict.REPRODUCED, Verdict.CONSISTENT) for row in self.rows)
        answered = any(claim.answer is Answer.SUPPORTED and not claim.stand_in for claim in self.claims)
        return ALL_WELL if compared or answered else NOTHING_COMPARED

    @property
    def number_counts(self) -> dict[str, int]:
        """How many printed entries got each verdict; every verdict is there, in the order of reports."""
        counts = Counter(row.verdict for row in self.rows)
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
            "schema": 1,
            "paper": self.paper.paper,
            "benchmark": self.layout.name,
            "seeds": list(self.layout.seeds),
            "selection": self.layout.selection,
            "alpha": self.paper.alpha,
            "numbers": {name.replace(" ", "_").replace("-", "_"): n for name, n in self.number_counts.items()},
            "claims": {name.replace(" ", "_").replace("-", "_"): n for name, n in self.claim_counts.items()},
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
            f"{paper}.rankings.csv": as_csv(RANKING_COLUMNS, (r.record() for r in self.rankings)),
            f"{paper}.seeds.csv": as_csv(SEED_COLUMNS, seeds),
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
    entries = entries_of(paper, results)
    return Comparison(
        layout=layout,
        paper=paper,
        rows=[ComparisonRow(entry=entry, number=judge_entry(paper, entry)) for entry in entries],
        claims=answer_claims(paper, entries),
        rankings=_rankings(paper, entries),
    )


def judge_entry(paper: Paper, entry: Entry) -> NumberVerdict:
    """Return the verdict on one entry under the rule that the paper's file declares."""
    if entry.printed.kind in ("not_defined", "not_applicable"):
        return NumberVerdict(verdict=Verdict.NOT_DEFINED, reason=f"the paper prints '{entry.printed.printed}'")
    if entry.ours is None:
        return NumberVerdict(verdict=Verdict.NOT_RUN, reason=entry.reason)
    rule = Rule(
        margin=entry.table.margin(entry.column.id, paper),
        printed_runs=paper.printed_runs,
        alpha=paper.alpha,
        highest=100.0 if entry.column.unit == "percent" else math.inf,
    )
    return judge_number(entry.printed, entry.ours, rule, entry.stand_in)


def as_csv(columns: Sequence[str], records: Iterable[dict[str, str]]) -> str:
    """Return CSV text with a header and Unix line ends."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _claim_record(paper: str, claim: ClaimResult) -> dict[str, str]:
    return {
        "paper": paper,
        "claim": claim.claim.id,
        "section": claim.claim.section,
        "table": claim.claim.test.table,
        "row": claim.row,
        "family": claim.claim.family,
        "verdict": claim.verdict,
        "observed": _text(claim.observed),
        "n": _text(claim.n),
        "p_support": _text(claim.p_support),
        "p_refute": _text(claim.p_refute),
        "seeds_needed": _text(claim.seeds_needed),
        "reason": claim.reason,
        "quote": claim.claim.quote,
    }


def _rankings(paper: Paper, entries: Sequence[Entry]) -> list[Ranking]:
    """Return a ranking for each column that has any run, once per variant of the rows that have several."""
    found = []
    for table in paper.tables.values():
        for column in table.columns:
            mine = [e for e in entries if e.table is table and e.column.id == column.id and e.printed.kind == "number"]
            if any(entry.ours is not None for entry in mine) and column.group is not None:
                found += [_ranking(paper, mine, variant) for variant in _variants(mine)]
    return found


def _variants(entries: Sequence[Entry]) -> list[str | None]:
    return list(dict.fromkeys(entry.variant for entry in entries if entry.variant is not None)) or [None]


def _ranking(paper: Paper, entries: Sequence[Entry], variant: str | None) -> Ranking:
    """Return the ranking of one column; ``variant`` stands for the rows that run in several."""
    chosen: dict[str, Entry] = {}
    for entry in entries:
        if entry.row not in chosen or entry.variant == variant:
            chosen[entry.row] = entry
    ranked = [entry for entry in chosen.values() if entry.ours is not None and entry.ours.finished]
    seeds = sorted(set.intersection(*(set(entry.ours.finished) for entry in ranked))) if ranked else []
    left_out = len(chosen) - len(ranked)
    reason = f"{left_out} rows without runs left out" if left_out else ""
    tau = low = high = None
    if len(ranked) < 3:
        reason = "fewer than three rows have run"
    elif not seeds:
        reason = "no seed has finished in every row"
    else:
        printed = [entry.printed.value for entry in ranked]
        runs = [[entry.ours.finished[seed] for seed in seeds] for entry in ranked]
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        tau, low, high = (_finite(value) for value in statistics.kendall_interval(printed, runs, rng))
        if len(seeds) < 2:
            low, high, reason = None, None, "one seed: no interval"
    first = entries[0]
    return Ranking(
        paper=paper.paper,
        table=first.table.table,
        variant=variant or "",
        column=first.column.id,
        dataset=ranked[0].dataset if ranked else first.dataset,
        rows=len(ranked),
        n=len(seeds),
        tau=tau,
        low=low,
        high=high,
        stand_in=any(entry.stand_in for entry in ranked),
        reason=reason,
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _text(value: Any) -> str:
    """Return six significant digits of a float, ``yes`` or ``no`` of a bool, nothing of None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
