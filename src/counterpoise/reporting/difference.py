"""What differs between two sets of results, on the terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from counterpoise.judging.difference import Change, NumberChange, RankingChange, ResultDifference
from counterpoise.reporting.words import spread_text
from counterpoise.results.result_set import Number

COLOURS = {
    Change.BEYOND: "red",
    Change.GONE: "red",
    Change.UNDECIDED: "yellow",
    Change.OTHER_DATA: "yellow",
    Change.WITHIN: "green",
    Change.ADDED: "blue",
    Change.SAME: "green",
}
MEANING = {
    0: "nothing differs beyond seed noise",
    3: "a number changed beyond seed noise, or is gone",
    4: "a claim's verdict changed",
}
STRICT_MEANING = MEANING | {0: "nothing differs", 3: "a number is another one, or gone"}


def print_difference(found: ResultDifference, strict: bool = False, console: Console | None = None) -> None:
    """Print what differs in numbers, rankings and claims, the counts, and what the exit code says.

    Numbers that are the same are counted, not listed.
    """
    console = console or Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"A: {escape(found.a.name)}\nB: {escape(found.b.name)}", highlight=False)
    order = list(Change)
    listed = sorted(
        (change for change in found.numbers if change.change is not Change.SAME),
        key=lambda change: order.index(change.change),
    )
    if listed:
        console.print(_numbers(listed))
    moved = [ranking for ranking in found.rankings if ranking.swapped]
    if moved:
        console.print(_rankings(moved))
    if found.claims:
        console.print(_claims(found))
    counts = Counter(change.change for change in found.numbers)
    shown = ", ".join(f"{counts[change]} {change}" for change in Change if counts[change]) or "none"
    console.print(f"numbers:  {shown}", highlight=False)
    console.print(f"rankings: {len(moved)} of {len(found.rankings)} columns in another order", highlight=False)
    console.print(f"claims:   {len(found.claims)} with another verdict", highlight=False)
    code = found.exit_code(strict)
    console.print(f"exit code {code}: {(STRICT_MEANING if strict else MEANING)[code]}", highlight=False)


def _numbers(changes: Sequence[NumberChange]) -> Table:
    table = Table(
        "table",
        "row",
        "column",
        "A",
        "B",
        "B − A",
        "95 % interval",
        "seeds",
        "p (Holm)",
        "change",
        "verdict",
        "why",
        title="numbers",
    )
    for change in changes:
        paper_table = ".".join(change.key[:2])
        colour = COLOURS[change.change]
        interval = "" if change.low is None else f"{change.low:+.2f} … {change.high:+.2f}"
        before, after = change.verdicts
        table.add_row(
            paper_table,
            escape(change.key[2]),
            change.key[3],
            _mean(change.a),
            _mean(change.b),
            "" if change.difference is None else f"{change.difference:+.2f}",
            interval,
            f"{change.pairs} pairs" if change.pairs else "",
            "" if change.p_value is None else f"{change.p_value:.2g}",
            f"[{colour}]{change.change}[/{colour}]",
            after if before == after else f"{before or '–'} → {after or '–'}",
            escape(change.reason),
        )
    return table


def _mean(number: Number | None) -> str:
    return "" if number is None else spread_text(number.seeds.mean, number.seeds.std)


def _rankings(rankings: Sequence[RankingChange]) -> Table:
    table = Table("table", "column", "rows", "Kendall's τ", "best", "changed places", title="rankings")
    for ranking in rankings:
        before, after = ranking.best
        table.add_row(
            f"{ranking.paper}.{ranking.table}",
            ranking.column,
            str(ranking.rows),
            "" if ranking.tau is None else f"{ranking.tau:+.2f}",
            escape(before if before == after else f"{before} → {after}"),
            escape("; ".join(f"{one} and {other}" for one, other in ranking.swapped)),
        )
    return table


def _claims(found: ResultDifference) -> Table:
    table = Table("claim", "of", "A", "B", title="claims")
    for change in found.claims:
        paper, claim, row = change.key
        table.add_row(f"{paper}.{claim}", escape(row), change.a or "–", change.b or "–")
    return table
