"""The comparison with a paper on the terminal: in 80 columns without cutting a name, in a pipe without folding."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from typing import Any, TextIO, TypeVar, cast

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from counterpoise.judging.claims import Answer, ClaimResult
from counterpoise.judging.compare import Comparison, ComparisonRow
from counterpoise.judging.contrast import GainResult
from counterpoise.judging.entries import Entry
from counterpoise.judging.ranking import Ranking
from counterpoise.judging.verdicts import Verdict
from counterpoise.papers.paper import Paper
from counterpoise.reporting.outcome import answer, claims_sentence, numbers_of, table_summary
from counterpoise.reporting.words import COLOURS, counted, interval_text, marked, number_text, spread_text

UNFOLDED = 100_000
"""Columns of a file or a pipe, which have no width: no line is folded there, so that ``grep`` finds whole ones."""
BLANKS = re.compile(r" +((?:\x1b\[[0-9;]*m)*)\n")
QUIET = (Verdict.NOT_RUN, Verdict.NOT_DEFINED)
MEANING = {
    0: "nothing deviates from the paper",
    3: "a number deviates (corrected over all) or diverged",
    4: "a claim is refuted",
    5: "nothing was compared with a paper",
}
Item = TypeVar("Item")


class Trimmed:
    """A stream without the blanks that a table's or a paragraph's lines are filled up with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; colours that end behind the blanks end where the blanks began."""
        return self._stream.write(BLANKS.sub(r"\1\n", text))


def make_console(file: TextIO | None = None, width: int | None = None) -> Console:
    """Return a console for standard output or ``file``: as wide as the terminal, endless where there is none.

    Colours are for terminals, and for those without NO_COLOR.
    """
    stream = file or sys.stdout
    return Console(
        file=cast(TextIO, Trimmed(stream)), width=width or (None if stream.isatty() else UNFOLDED), highlight=False
    )


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print what came out for a paper: the answer, then numbers, rankings and claims, then the exit code.

    Numbers and claims that nothing ran for are counted, not listed. A reason that several rows share is given once.
    """
    console = console or make_console()
    paper, layout = comparison.paper, comparison.layout
    if paper.is_own:
        _print_own(console, comparison)
        return
    console.print(escape(numbers_of(comparison.rows).sentence()))
    console.print(f"[bold]{escape(paper.short_title)}: {escape(answer(comparison))}.[/bold]")
    claims = claims_sentence(comparison)
    if claims:
        console.print(escape(claims))
    console.print(
        f"{escape(paper.title)} ({escape(paper.venue)} {paper.year}); benchmark {layout.name}, "
        f"{counted(len(layout.seeds), 'seed')}, selection {layout.selection}, α = {paper.alpha:g}; "
        f"printed numbers: {escape(paper.printed_runs_reason)}"
    )
    for name in paper.tables:
        rows = [row for row in comparison.rows_of(name) if row.verdict not in QUIET]
        if rows:
            _print_numbers(console, rows)
            said = table_summary(comparison, name)
            if said:
                console.print(escape(f"{paper.table(name).name}: {said}"))
    if comparison.gains:
        _print_gains(console, comparison.gains)
    _print_pairs(console, comparison, ", not in the paper")
    if comparison.rankings:
        _print_rankings(console, paper, comparison.rankings)
    tested = [claim for claim in comparison.claims if claim.answer is not Answer.NOT_RUN]
    if tested:
        _print_claims(console, tested)
    _print_exit_code(console, comparison)


def _print_exit_code(console: Console, comparison: Comparison) -> None:
    console.print(f"\nexit code {comparison.exit_code}: {MEANING[comparison.exit_code]}")


def _print_own(console: Console, comparison: Comparison) -> None:
    """Print the tables of one's own: every value that ran, which row is best, and every two rows side by side."""
    layout = comparison.layout
    console.print(f"[bold]{escape(comparison.paper.short_title)}: {escape(answer(comparison))}.[/bold]")
    console.print(
        f"benchmark {layout.name}, {counted(len(layout.seeds), 'seed')}, selection {layout.selection}, "
        f"α = {comparison.paper.alpha:g}"
    )
    for name, own in comparison.paper.tables.items():
        console.print(f"\n[bold]{escape(own.title)}[/bold] (own.{name})")
        table = make_table("row", *(escape(own.column_name(column)) for column in own.column_ids))
        for (label,), group in _grouped(comparison.rows_of(name), lambda row: (row.entry.label,)):
            table.add_row(escape(label), *(_own_text(row) for row in group))
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
        console.print(escape(table_summary(comparison, name)))
    _print_pairs(console, comparison, "")
    _print_exit_code(console, comparison)


def _own_text(row: ComparisonRow) -> str:
    if row.verdict is Verdict.NOT_PRINTED:
        return spread_text(row.number.mean, row.number.std)
    return f"{row.verdict}: {row.number.reason}"


def _print_numbers(console: Console, rows: Sequence[ComparisonRow]) -> None:
    for _, group in _grouped(rows, lambda row: (row.entry.column.id,)):
        console.print(f"\n[bold]{escape(_place(group[0].entry))}[/bold]")
        table = make_table("row", "paper", "ours", "n", "Δ", "verdict")
        for row in group:
            number, decimals = row.number, max(row.entry.printed.decimals, 2)
            table.add_row(
                escape(row.entry.label),
                row.entry.printed.printed or "–",
                spread_text(number.mean, number.std, decimals),
                str(number.n),
                number_text(number.delta, f"+.{decimals}f"),
                _coloured(str(row.verdict)),
            )
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
        _print_reasons(console, group)


def _place(entry: Entry) -> str:
    """Return where an entry stands: ``Table 3, CG-MNIST Acc``."""
    return f"{entry.table.name}, {entry.column_name}"


def _print_reasons(console: Console, rows: Sequence[ComparisonRow]) -> None:
    """Print why a column's verdicts are what they are; rows with the same reason together.

    A part of it that most rows share is said once, for those rows, and left out of what is said of each.
    """
    parts = [_parts(row.number.reason) for row in rows]
    counts = Counter(part for found in parts for part in set(found))
    common = [part for part, count in counts.items() if 2 * count > len(rows) > 1]
    common.sort(key=lambda part: min(found.index(part) for found in parts if part in found))
    said: dict[str, list[ComparisonRow]] = {}
    for row, found in zip(rows, parts, strict=True):
        said.setdefault("; ".join(part for part in found if part not in common), []).append(row)
    shared: dict[str, list[ComparisonRow]] = {}
    for part in common:
        shared[part] = [row for row, found in zip(rows, parts, strict=True) if part in found]
    for reason, group in [*said.items(), *shared.items()]:
        if reason:
            names = "all" if len(group) == len(rows) > 1 else ", ".join(row.entry.label for row in group)
            console.print(Padding(escape(f"{names}: {reason}"), (0, 0, 0, 4), expand=False))


def _parts(reason: str) -> list[str]:
    """Return the parts of a reason: what semicolons separate, outside of parentheses."""
    parts, depth = [""], 0
    for character in reason:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == ";" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _print_rankings(console: Console, paper: Paper, rankings: Sequence[Ranking]) -> None:
    console.print("\n[bold]Rankings[/bold]: Kendall's τ between our order of a column's rows and the printed one")
    for (note,), group in _grouped(rankings, lambda ranking: (_ranking_note(ranking),)):
        if note:
            console.print(escape(f"{note}:"))
        table = make_table("column", "table", "τ", "p", "P(best)", "P(better)", "rows", "n")
        for ranking in group:
            shares = (number_text(share, ".2f") for share in (ranking.p_best, ranking.improvement))
            tau, p_value = number_text(ranking.tau, "+.2f"), number_text(ranking.p_value, ".2g")
            of = paper.table(ranking.table)
            place = (escape(of.column_name(ranking.column)), of.name)
            table.add_row(*place, tau, p_value, *shares, str(ranking.rows), str(ranking.n))
        console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _print_gains(console: Console, gains: Sequence[GainResult]) -> None:
    for (_, _, baseline), group in _grouped(gains, lambda g: (g.entry.table.table, g.entry.column.id, g.baseline)):
        console.print(f"\n[bold]Gains over {escape(baseline)}[/bold], {escape(_place(group[0].entry))}")
        shown = make_table("row", "paper", "ours", "interval", "n", "verdict")
        for gain in group:
            interval = interval_text(gain.low, gain.high, "+.2f")
            numbers = (f"{gain.printed:+.2f}", f"{gain.gain:+.2f}", interval, str(gain.n))
            shown.add_row(escape(gain.entry.label), *numbers, _coloured(str(gain.verdict)))
        console.print(Padding(shown, (0, 0, 0, 2), expand=False))


def _print_pairs(console: Console, comparison: Comparison, note: str) -> None:
    """Print the rows that are one's own, each against the others of its column."""
    asked = [pair for pair in comparison.pairs if pair.asked]
    for (table, column, row), group in _grouped(asked, lambda pair: (pair.table, pair.column, pair.row)):
        own = comparison.paper.table(table)
        console.print(f"\n[bold]{escape(row)}[/bold]{note}, {escape(f'{own.name}, {own.column_name(column)}')}")
        shown = make_table("against", "difference", "interval", "n", "p (Holm)", "verdict")
        for one in group:
            p_value = number_text(one.p_corrected, ".2g")
            interval = interval_text(one.low, one.high, "+.2f")
            verdict = one.verdict + (f"; {one.new_examples} on new examples" if one.new_examples else "")
            shown.add_row(escape(one.other), f"{one.difference:+.2f}", interval, str(one.n), p_value, verdict)
        console.print(Padding(shown, (0, 0, 0, 2), expand=False))


def _ranking_note(ranking: Ranking) -> str:
    return "; ".join(filter(None, [ranking.variant, "on the stand-in" if ranking.stand_in else "", ranking.reason]))


def _print_claims(console: Console, claims: Sequence[ClaimResult]) -> None:
    console.print("\n[bold]Claims[/bold]")
    for (verdict, reason), group in _grouped(claims, lambda claim: (claim.verdict, claim.reason)):
        console.print(_heading(verdict, reason))
        for claim in group:
            row = f", {claim.row}" if claim.row else ""
            quote = f"“{claim.claim.quote}” ({claim.claim.section})"
            new = "" if claim.new_examples is None else f"; for new examples: {claim.new_examples.words}"
            console.print(Padding(escape(f"{claim.claim.id}{row}: {quote}{new}"), (0, 0, 0, 2), expand=False))


def make_table(*columns: str, numbers: Collection[str] = ()) -> Table:
    """Return a table without lines whose cells are folded, never cut; columns of ``numbers`` are set to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        justify: JustifyMethod = "right" if column in numbers else "left"
        table.add_column(column, justify=justify, overflow="fold", header_style="dim")
    return table


def _coloured(verdict: str) -> Text:
    return Text(marked(verdict), style=COLOURS.get(verdict, "dim"))


def _heading(verdict: str, reason: str) -> Text:
    text = _coloured(verdict)
    if reason:
        text.append(f": {reason}", style="default")
    return text


Key = TypeVar("Key", bound=tuple[Hashable, ...])


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> Iterator[tuple[Key, list[Item]]]:
    """Yield items with the same key together, in the order of their first."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    yield from groups.items()
