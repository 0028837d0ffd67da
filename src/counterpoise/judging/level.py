"""The first question asked of a table: is each of our means where the paper's number is, and would any other be?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry
from counterpoise.judging.verdicts import (
    Discrimination,
    NumberVerdict,
    Rule,
    Spread,
    Verdict,
    holm_corrected,
    judge_number,
    passes,
    spread_of,
    without_power,
)
from counterpoise.papers.paper import Paper

CURVE = tuple(round(0.25 * step, 2) for step in range(1, 17))
"""Margins, in printed units, that the curve of verdict counts is drawn over."""
MOST_LENT = 4
"""Degrees of freedom of a borrowed spread, at most: those of one lender with five seeds (docs/decisions/025)."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """How a table's numbers would be judged at another margin, whatever the gate says of them."""

    table: str
    margin: float
    within: int
    deviates: int
    neither: int


def columns_of(entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Return entries by table and column, in order."""
    columns: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        columns.setdefault((entry.table.table, entry.column.id), []).append(entry)
    return columns


def judge_levels(paper: Paper, entries: Sequence[Entry]) -> tuple[list[NumberVerdict], list[Discrimination]]:
    """Return a verdict for each entry, and the discriminating power of each column with a margin and runs."""
    shared = shared_spreads(entries)
    rules = [rule_of(paper, entry, shared.get((entry.table.table, entry.column.id))) for entry in entries]
    numbers = [_judge(entry, rule) for entry, rule in zip(entries, rules, strict=True)]
    numbers = holm_corrected(numbers, [entry.counted for entry in entries])
    by_column: dict[tuple[str, str], list[int]] = {}
    for place, entry in enumerate(entries):
        by_column.setdefault((entry.table.table, entry.column.id), []).append(place)
    powers = []
    for places in by_column.values():
        power = _discrimination([(entries[i], rules[i]) for i in places])
        if power is not None:
            powers.append(power)
            for place in places:
                numbers[place] = without_power(numbers[place], power)
    return numbers, powers


def judge_entry(paper: Paper, entry: Entry) -> NumberVerdict:
    """Return the verdict on one entry by itself: no other row lends a spread or asks what it could tell apart."""
    return _judge(entry, rule_of(paper, entry, None))


def rule_of(paper: Paper, entry: Entry, shared: Spread | None) -> Rule:
    """Return the rule for one entry: what the paper's file declares, and the spread that its column lends."""
    percent = entry.column.unit == "percent"
    declared = paper.margins.get(entry.column.metric)
    if shared is None and entry.test_error is not None and declared is not None:
        # No row has a spread. What is assumed in its place is wide enough that nothing can be shown equivalent.
        std = math.hypot(declared, entry.test_error)
        shared = Spread(std=std, degrees=math.inf, source=f"no spread over seeds is known: {std:.2g} is assumed")
    return Rule(
        margin=entry.table.margin(entry.column.id, paper),
        printed_runs=paper.printed_runs,
        alpha=paper.alpha,
        highest=100.0 if percent else math.inf,
        shared=shared,
        test_error=entry.test_error,
        better=entry.column.better,
        range=100.0 if percent else None,
    )


def shared_spreads(entries: Iterable[Entry]) -> dict[tuple[str, str], Spread]:
    """Return, by table and column, the spread pooled over the rows, to be lent; none where no row has any.

    It has the degrees of freedom of the one lender with the fewest seeds: rows differ in their spread, and by those of
    all together a right number of a row that spreads more is far too often beyond the bound (docs/decisions/025).
    """
    spreads = {}
    for place, column in columns_of(entries).items():
        lenders = [entry.ours for entry in column if entry.ours.std is not None and entry.ours.std > 0]
        std, _ = statistics.pooled_spread([ours.std for ours in lenders], [ours.n for ours in lenders])
        if std > 0:
            degrees = min(MOST_LENT, *(ours.n - 1 for ours in lenders))
            spreads[place] = Spread(std=std, degrees=degrees, source="spread pooled over the column's rows")
    return spreads


def margin_curves(paper: Paper, entries: Sequence[Entry]) -> list[CurvePoint]:
    """Return, for each table with runs, the counts of verdicts at every margin of :data:`CURVE`."""
    shared = shared_spreads(entries)
    counts: dict[tuple[str, float], list[int]] = {}
    for entry in filter(_tested, entries):
        rule = rule_of(paper, entry, shared.get((entry.table.table, entry.column.id)))
        if rule.margin is None or spread_of(entry.ours, rule) is None:
            continue
        for margin in CURVE:
            judged = judge_number(entry.printed, entry.ours, replace(rule, margin=margin))
            place = {Verdict.REPRODUCED: 0, Verdict.DEVIATES: 1}.get(judged.verdict, 2)
            counts.setdefault((entry.table.table, margin), [0, 0, 0])[place] += 1
    return [
        CurvePoint(table=table, margin=margin, within=within, deviates=deviates, neither=neither)
        for (table, margin), (within, deviates, neither) in counts.items()
    ]


def _judge(entry: Entry, rule: Rule) -> NumberVerdict:
    if entry.printed.kind in ("not_defined", "not_applicable"):
        says = "there is nothing to measure" if entry.table.unprinted else f"the paper prints '{entry.printed.printed}'"
        return NumberVerdict(verdict=Verdict.NOT_DEFINED, reason=says)
    if entry.cell is None:
        return NumberVerdict(verdict=Verdict.NOT_RUN, reason=entry.reason)
    return judge_number(entry.printed, entry.ours, rule, entry.stand_in, entry.comparability)


def _tested(entry: Entry) -> bool:
    """Return whether an entry has runs and a printed number, which counts once; no stand-in has."""
    ran = bool(entry.ours.finished) and not entry.ours.diverged
    return ran and entry.counted and not entry.stand_in and entry.printed.kind == "number"


def _discrimination(column: Sequence[tuple[Entry, Rule]]) -> Discrimination | None:
    """Return how many wrong pairings pass; None where nothing in the column has runs, a margin and a spread."""
    first, margin = column[0][0], column[0][1].margin  # the same in every row
    if margin is None:
        return None
    printed = [entry.printed for entry, _ in column if entry.counted and entry.printed.kind == "number"]
    wrong = pairs = right = rows = 0
    for entry, rule in column:
        spread, mean = spread_of(entry.ours, rule), entry.ours.mean
        if spread is None or mean is None or not _tested(entry):
            continue
        test = (mean, spread, entry.ours.n)
        rows += 1
        right += passes(*test, entry.printed, rule, entry.comparability)
        # A row that prints the same number is no wrong pairing: nothing could tell the two apart.
        others = [other for other in printed if other.value != entry.printed.value]
        pairs += len(others)
        wrong += sum(passes(*test, other, rule, entry.comparability) for other in others)
    if not rows:
        return None
    return Discrimination(
        table=first.table.table, column=first.column.id, margin=margin, wrong=wrong, pairs=pairs, right=right, rows=rows
    )
