"""What differs between two sets of results, on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from counterpoise.judging.difference import Change, NumberChange, RankingChange, ResultDifference
from counterpoise.papers.paper import Paper
from counterpoise.reporting.terminal import make_console, make_table
from counterpoise.reporting.words import interval_text, number_text, spread_text
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


def print_difference(
    difference: ResultDifference,
    strict: bool = False,
    console: Console | None = None,
    papers: Mapping[str, Paper] | None = None,
) -> None:
    """Print what differs in numbers, rankings and claims, the counts, and what the exit code says.

    Numbers that are the same are counted, not listed. The files that are compared name tables and columns by id;
    ``papers`` have their titles. Of a paper that is not among them, or has no such table by now, the ids are printed.
    """
    papers = papers or {}
    console = console or make_console()
    console.print(f"A: {escape(difference.a.name)}\nB: {escape(difference.b.name)}")
    order = list(Change)
    listed = sorted(
        (change for change in difference.numbers if change.change is not Change.SAME),
        key=lambda change: order.index(change.change),
    )
    _print_numbers(console, papers, listed)
    moved = [ranking for ranking in difference.rankings if ranking.swapped]
    _print_rankings(console, papers, moved)
    _print_claims(console, difference)
    counts = Counter(change.change for change in difference.numbers)
    shown = ", ".join(f"{counts[change]} {change}" for change in Change if counts[change]) or "none"
    console.print(f"numbers:  {shown}")
    console.print(f"rankings: {len(moved)} of {len(difference.rankings)} columns in another order")
    console.print(f"claims:   {len(difference.claims)} with another verdict")
    code = difference.exit_code(strict)
    console.print(f"exit code {code}: {(STRICT_MEANING if strict else MEANING)[code]}")


def _print_numbers(console: Console, papers: Mapping[str, Paper], changes: Sequence[NumberChange]) -> None:
    """Print changed numbers, those of one column of a table together."""
    columns: dict[tuple[str, str, str], list[NumberChange]] = {}
    for change in changes:
        paper, table, _, column = change.key[:4]
        columns.setdefault((paper, table, column), []).append(change)
    for place, group in columns.items():
        console.print(f"\n[bold]{escape(_place(papers, *place))}[/bold]")
        shown = make_table("row", "A", "B", "B − A", "change")
        for change in group:
            shown.add_row(
                escape(change.key[2]),
                _mean(change.a),
                _mean(change.b),
                number_text(change.difference, "+.2f"),
                f"[{COLOURS[change.change]}]{change.change}[/{COLOURS[change.change]}]",
            )
        console.print(Padding(shown, (0, 0, 0, 2), expand=False))
        for change in group:
            console.print(Padding(escape(f"{change.key[2]}: {_why(change)}"), (0, 0, 0, 4), expand=False))


def _place(papers: Mapping[str, Paper], paper: str, table: str, column: str) -> str:
    printed = papers[paper].tables.get(table) if paper in papers else None
    if printed is None or column not in printed.column_ids:
        return f"{paper}.{table}, {column}"
    return f"{printed.name} of {papers[paper].short_title}, {printed.column_name(column)}"


def _why(change: NumberChange) -> str:
    before, after = change.verdicts
    parts = [
        change.reason,
        f"95 % interval {interval_text(change.low, change.high, '+.2f')}" if change.low is not None else "",
        f"{change.pairs} seed pairs" if change.pairs else "",
        f"p = {change.p_value:.2g} (Holm)" if change.p_value is not None else "",
        f"verdict {after}" if before == after else f"verdict {before or '–'} → {after or '–'}",
    ]
    return "; ".join(part for part in parts if part)


def _mean(number: Number | None) -> str:
    return "–" if number is None else spread_text(number.seeds.mean, number.seeds.std)


def _print_rankings(console: Console, papers: Mapping[str, Paper], rankings: Sequence[RankingChange]) -> None:
    if rankings:
        console.print("\n[bold]Rankings[/bold]")
    for ranking in rankings:
        before, after = ranking.best
        best = f"best {before}" if before == after else f"best {before} → {after}"
        swapped = "; ".join(f"{one} and {other}" for one, other in ranking.swapped)
        place = _place(papers, ranking.paper, ranking.table, ranking.column)
        tau = number_text(ranking.tau, "+.2f")
        text = f"{place}: τ = {tau} over {ranking.rows} rows; {best}; changed places: {swapped}"
        console.print(Padding(escape(text), (0, 0, 0, 2), expand=False))


def _print_claims(console: Console, difference: ResultDifference) -> None:
    if difference.claims:
        console.print("\n[bold]Claims[/bold]")
    for change in difference.claims:
        paper, claim, row = change.key
        text = f"{paper}.{claim}{f', {row}' if row else ''}: {change.a or '–'} → {change.b or '–'}"
        console.print(Padding(escape(text), (0, 0, 0, 2), expand=False))
