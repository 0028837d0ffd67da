"""The comparison with a paper on the terminal, in colour where the terminal has any."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from counterpoise.judging.compare import Comparison, ComparisonRow
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.words import COLOURS, counted, marked

MEANING = {0: "nothing deviates from the paper", 3: "a number deviates or diverged", 4: "a claim is refuted"}
QUIET = (Verdict.NOT_RUN, Verdict.NOT_DEFINED)


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print numbers, rankings and claims of a paper, then the counts and what the exit code says.

    Numbers and claims that nothing ran for are counted, not listed.
    """
    # A file or a pipe has no width: wide enough there that no number is folded.
    console = console or Console(width=None if sys.stdout.isatty() else 200)
    benchmark = comparison.plan.benchmark
    console.print(f"[bold]{escape(comparison.paper.title)}[/bold] ({comparison.paper.venue} {comparison.paper.year})")
    seeds = counted(len(benchmark.seeds), "seed")
    if benchmark.sequential:
        seeds = f"seeds in looks of {', '.join(map(str, benchmark.seed_looks))}"
    console.print(
        f"benchmark {benchmark.name}, {seeds}, selection {benchmark.selection}, "
        f"α = {comparison.paper.alpha:g}; printed numbers: {escape(comparison.paper.printed_runs_reason)}"
    )
    for table in comparison.paper.tables.values():
        rows = [row for row in comparison.rows if row.entry.table is table and row.verdict not in QUIET]
        if rows:
            console.print(_numbers(table.table, rows))
    if comparison.rankings:
        console.print(_rankings(comparison))
    if any(claim.verdict not in ("not run", "not tested") for claim in comparison.claims):
        console.print(_claims(comparison))
    console.print("numbers: " + _counts(comparison.number_counts))
    console.print("claims:  " + _counts(comparison.claim_counts))
    console.print(f"exit code {comparison.exit_code}: {MEANING[comparison.exit_code]}")


def _numbers(title: str, rows: Sequence[ComparisonRow]) -> Table:
    table = Table("row", "column", "paper", "ours", "n", "Δ", "interval", "verdict", "why", title=title)
    for row in rows:
        number, decimals = row.number, max(row.entry.printed.decimals, 2)
        table.add_row(
            escape(row.entry.label),
            row.entry.column.id,
            row.entry.printed.printed or "–",
            _mean(number.mean, number.std, decimals),
            str(number.n),
            _signed(number.delta, decimals),
            "" if number.low is None else f"{number.low:.{decimals}f} … {number.high:.{decimals}f}",
            _coloured(str(row.verdict)),
            escape(number.reason),
        )
    return table


def _rankings(comparison: Comparison) -> Table:
    table = Table("table", "column", "rows", "n", "Kendall's τ", "interval", "note", title="rankings")
    for ranking in comparison.rankings:
        note = "; ".join(filter(None, [ranking.variant, "on the stand-in" if ranking.stand_in else "", ranking.reason]))
        interval = "" if ranking.low is None else f"{ranking.low:+.2f} … {ranking.high:+.2f}"
        tau = "" if ranking.tau is None else f"{ranking.tau:+.2f}"
        table.add_row(ranking.table, ranking.column, str(ranking.rows), str(ranking.n), tau, interval, escape(note))
    return table


def _claims(comparison: Comparison) -> Table:
    table = Table("claim", "row", "verdict", "why", "quote", title="claims")
    for claim in comparison.claims:
        if claim.verdict not in ("not run", "not tested"):
            quote = f"“{claim.claim.quote}” ({claim.claim.section})"
            table.add_row(
                claim.claim.id, escape(claim.row), _coloured(claim.verdict), escape(claim.reason), escape(quote)
            )
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {_coloured(word)}" for word, number in counts.items() if number) or "none"


def _coloured(verdict: str) -> str:
    colour = COLOURS.get(verdict, "dim")
    return f"[{colour}]{marked(verdict)}[/{colour}]"


def _mean(mean: float | None, std: float | None, decimals: int) -> str:
    if mean is None:
        return ""
    return f"{mean:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}")


def _signed(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:+.{decimals}f}"
