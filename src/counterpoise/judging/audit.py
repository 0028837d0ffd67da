"""Check a paper's printed numbers against themselves: no run of ours is needed, and nothing is presumed.

Every check states arithmetic that anyone can redo from the printed table. A finding is a fact about what
is printed, with the probability of its arising by chance where there is one; it says nothing about why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import stats

from counterpoise.judging.statistics import binomial_error
from counterpoise.papers.paper import Column, Paper, PaperTable
from counterpoise.papers.tables import table_name

SCAN = range(100, 4001)
HALF_DIGIT = 0.005
RESOLUTION = 0.01
SURPRISING = 1e-3


class Check(StrEnum):
    """What a finding is about. The order is that of reports."""

    GRANULARITY = "granularity"
    ROWS = "rows"
    RESOLUTION = "resolution"
    DUPLICATES = "duplicates"
    COUNTS = "counts"
    MARKS = "marks"


@dataclass(frozen=True)
class Finding:
    """One fact about what is printed.

    ``notable`` is False where everything is as one would expect, where the fact rests on an assumption of ours, and
    where another finding says the same.
    """

    check: Check
    where: str
    finding: str
    evidence: str
    notable: bool
    p_value: float | None = None


@dataclass(frozen=True)
class Fit:
    """How many of the printed percentages are whole fractions k/N, for one N.

    ``p_value`` is the chance of at least that many if the second decimals were arbitrary; for a scanned
    N it is multiplied by the number of sizes scanned.
    """

    size: int
    hits: int
    total: int
    p_value: float
    misses: tuple[float, ...] = ()


def audit_paper(paper: Paper) -> list[Finding]:
    """Return all findings on a paper, check by check, in the paper's order."""
    return [
        *_granularity(paper),
        *_rows(paper),
        *_resolution(paper),
        *_duplicates(paper),
        *_counts(paper),
        *_marks(paper),
    ]


def is_fraction(percent: float, size: int) -> bool:
    """Return whether a percentage printed with two decimals is some k/``size``."""
    k = round(percent * size / 100)
    return abs(100 * k / size - percent) <= HALF_DIGIT + 1e-9


def fit_size(percentages: Sequence[float], size: int, scanned: int = 1) -> Fit:
    """Return how well one test-set size explains percentages printed with two decimals."""
    misses = tuple(value for value in percentages if not is_fraction(value, size))
    hits = len(percentages) - len(misses)
    p_value = float(stats.binom.sf(hits - 1, len(percentages), chance(size)))
    return Fit(size, hits, len(percentages), min(p_value * scanned, 1.0), misses)


def chance(size: int) -> float:
    """Return the share of the 10,001 two-decimal percentages that are k/``size`` (from 10,000 on, all)."""
    return min((size + 1) / 10001, 1.0)


def best_size(percentages: Sequence[float]) -> Fit:
    """Return the size between 100 and 4,000 whose hits are least likely by chance; the least of equals."""
    values = np.asarray(percentages)[:, None]
    sizes = np.array(SCAN)[None, :]
    nearest = np.rint(values * sizes / 100)
    hits = (np.abs(100 * nearest / sizes - values) <= HALF_DIGIT + 1e-9).sum(0)
    p_values = stats.binom.logsf(hits - 1, len(percentages), (sizes[0] + 1) / 10001)
    return fit_size(percentages, int(sizes[0][np.argmin(p_values)]), len(SCAN))


def _granularity(paper: Paper) -> Iterator[Finding]:
    """Yield how the accuracies of a dataset fit known sizes, and the size that they fit best; a star once per dataset.

    A mean of r runs on N examples is a whole fraction of r · N.
    """
    for dataset, facts in paper.datasets.items():
        by_table = {name: _percentages(table, dataset) for name, table in paper.tables.items()}
        sources = {name: found for name, found in by_table.items() if found}
        together = "all tables" if len(sources) > 1 else next(iter(sources), "")
        if len(sources) > 1:
            sources["all tables"] = _all_percentages(paper, dataset)
        for name, found in sources.items():
            for known in facts.test_sizes:
                fit = fit_size(list(found), known.size * paper.printed_runs)
                counts = name == together and not known.assumed
                source = f"size {'assumed' if known.assumed else 'known'} from {known.source}"
                yield _fit_finding(f"{table_name(name)}, {facts.title}", fit, found, source, counts)
            best = best_size(list(found))
            sizes = [known.size * paper.printed_runs for known in facts.test_sizes]
            if best.size not in sizes and best.p_value < SURPRISING:
                scanned = f"best of the sizes {SCAN[0]}–{SCAN[-1]}, p corrected for the scan"
                yield _fit_finding(f"{table_name(name)}, {facts.title}", best, found, scanned, name == together)


def _rows(paper: Paper) -> Iterator[Finding]:
    """Yield whether the accuracies that are no k/N come from a few rows: those cannot each be one run on N examples.

    Over all datasets whose size is known or found, each with its own N.
    """
    fits: dict[str, list[bool]] = {}
    for dataset in paper.datasets:
        size = _size_behind(paper, dataset)
        if size is not None and chance(size) < 1.0:
            for row, found in _fits_by_row(paper, dataset, size).items():
                fits.setdefault(row, []).extend(found)
    hits, total = (sum(part(found) for found in fits.values()) for part in (sum, len))
    if len(fits) < 2 or not 0 < hits < total:
        return
    p_values = {}
    for row, found in fits.items():
        own, n = sum(found), len(found)
        table = [[own, n - own], [hits - own, total - n - (hits - own)]]
        p_values[row] = float(stats.fisher_exact(table, alternative="less").pvalue)
    worst = min(p_values, key=p_values.__getitem__)
    p_value = min(1.0, p_values[worst] * len(fits))
    ordered = sorted(fits, key=lambda row: sum(fits[row]) / len(fits[row]))
    shares = ", ".join(f"{row} {sum(fits[row])} of {len(fits[row])}" for row in ordered)
    text = f"{worst}: {sum(fits[worst])} of {len(fits[worst])} accuracies are k/N, of the other rows "
    text += f"{hits - sum(fits[worst])} of {total - len(fits[worst])}"
    evidence = f"Fisher's exact test of {worst} against the others, times {len(fits)} rows: p = {p_value:.1g}; {shares}"
    yield Finding(Check.ROWS, "All tables", text, evidence, p_value < SURPRISING, p_value)


def _fits_by_row(paper: Paper, dataset: str, size: int) -> dict[str, list[bool]]:
    """Return, by row, whether each of its two-decimal accuracies on a dataset is some k/``size``, each value once."""
    by_value: dict[str, dict[float, bool]] = {}
    for table in paper.tables.values():
        for row in table.row_ids:
            for column in table.columns:
                printed = table.value(row, column.id)
                if column.metric != "accuracy" or printed.value is None or printed.decimals != 2:
                    continue
                if table.group(row, column.id).dataset == dataset:
                    by_value.setdefault(row, {})[printed.value] = is_fraction(printed.value, size)
    return {row: list(fits.values()) for row, fits in by_value.items()}


def _percentages(table: PaperTable, dataset: str) -> dict[float, str]:
    """Return the distinct two-decimal accuracies of a table for a dataset, each with its first place."""
    places: dict[float, str] = {}
    accuracies = [column.id for column in table.columns if column.metric == "accuracy"]
    for row in table.row_ids:
        for column in accuracies:
            printed = table.value(row, column)
            if printed.value is None or printed.decimals != 2:
                continue
            if table.group(row, column).dataset == dataset:
                places.setdefault(printed.value, f"{row}, {table.column_name(column)}")
    return places


def _all_percentages(paper: Paper, dataset: str) -> dict[float, str]:
    places: dict[float, str] = {}
    for table in paper.tables.values():
        for percent, where in _percentages(table, dataset).items():
            places.setdefault(percent, f"{table.name}: {where}")
    return places


def _fit_finding(where: str, fit: Fit, places: dict[float, str], source: str, counts: bool) -> Finding:
    if chance(fit.size) == 1.0:
        return Finding(Check.GRANULARITY, where, f"N = {fit.size:,} fits any two-decimal percentage", source, False)
    misses = "; ".join(f"{value:.2f} ({places[value]})" for value in fit.misses) or "none"
    share = f"{fit.hits} of {fit.total} distinct accuracies are k/{fit.size:,}"
    text = f"{share} (p = {fit.p_value:.1g})"
    return Finding(
        Check.GRANULARITY, where, text, f"{source}; not k/N: {misses}", counts and bool(fit.misses), fit.p_value
    )


def _resolution(paper: Paper) -> Iterator[Finding]:
    """Yield how large each column's lead is, in test examples and in standard errors of a difference.

    The two accuracies are of one test set. What pairs them is not printed, so the error is that of two independent
    ones, which a paired one rarely exceeds.
    """
    for table in paper.tables.values():
        for column in table.columns:
            size = _known_size(paper, column)
            numbers = _numbers(table, column)
            if column.metric != "accuracy" or size is None or len(numbers) < 2:
                continue
            (best, first), (second, other) = _ordered(column, numbers)[:2]
            errors = [binomial_error(share / 100, size * paper.printed_runs) for share in (first, other)]
            error = 100 * math.hypot(*errors)
            examples = round(abs(first - other) * size / 100)
            lead = abs(first - other)
            text = f"{best} leads {second} by {lead:.2f} points: {examples} of {size:,} examples"
            evidence = f"{lead / error:.2f} standard errors of a difference of two accuracies ({error:.2f} points)"
            yield Finding(
                Check.RESOLUTION, f"{table.name}, {table.column_name(column.id)}", text, evidence, lead < 1.96 * error
            )


def _known_size(paper: Paper, column: Column) -> int | None:
    """Return the test-set size behind a column."""
    return _size_behind(paper, column.dataset or "")


def _size_behind(paper: Paper, dataset: str) -> int | None:
    """Return the test-set size behind a dataset's numbers: the first known one, unless only another one fits."""
    facts = paper.datasets.get(dataset)
    if facts is None or not facts.test_sizes:
        return None
    known = facts.test_sizes[0].size
    percentages = list(_all_percentages(paper, dataset))
    if not percentages or chance(known) == 1.0 or fit_size(percentages, known).p_value < SURPRISING:
        return known
    best = best_size(percentages)
    return best.size if best.p_value < SURPRISING else known


def _duplicates(paper: Paper) -> Iterator[Finding]:
    for table in paper.tables.values():
        for column in table.columns:
            numbers = _numbers(table, column)
            if column.metric not in ("accuracy", "macro_f1"):
                continue
            for value in sorted(set(numbers.values())):
                rows = [row for row, other in numbers.items() if other == value]
                if len(rows) > 1 and not _said_before(table, column, rows):
                    yield _duplicate(paper, table, column, numbers, value, rows)


def _said_before(table: PaperTable, column: Column, rows: list[str]) -> bool:
    """Whether the same rows tie in an earlier column of the group, whose finding names this one."""
    earlier = table.column_ids[: table.column_ids.index(column.id)]
    same_group = [name for name in earlier if table.column(name).group == column.group]
    return any(len({table.value(row, name).printed for row in rows}) == 1 for name in same_group)


def _duplicate(
    paper: Paper, table: PaperTable, column: Column, numbers: dict[str, float], value: float, rows: list[str]
) -> Finding:
    size = _known_size(paper, column) if column.metric == "accuracy" else None
    step = max(RESOLUTION, 100 / size) if size else RESOLUTION
    places = 1 + (max(numbers.values()) - min(numbers.values())) / step
    coincidence = 1 - math.prod(max(1 - i / places, 0.0) for i in range(len(numbers)))
    also = [
        table.column_name(other.id)
        for other in table.columns
        if other.group == column.group
        and other.id != column.id
        and len({table.value(row, other.id).printed for row in rows}) == 1
    ]
    text = f"{' and '.join(rows)} print the same {value:.2f}"
    if also:
        text += f", and agree in {', '.join(also)} too"
    ties = f"some tie by chance in {coincidence:.0%} of columns"
    evidence = f"{len(numbers)} values over {places:.0f} possible ones: {ties}"
    return Finding(Check.DUPLICATES, f"{table.name}, {table.column_name(column.id)}", text, evidence, True, coincidence)


def _counts(paper: Paper) -> Iterator[Finding]:
    for facts in paper.datasets.values():
        for count in facts.counts:
            if count.reference is None:
                continue
            agrees = count.stated == count.reference
            text = f"states {count.stated:,} {count.what}" + ("" if agrees else f", against {count.reference:,}")
            evidence = f"“{count.quote}” (Section {count.section}); {count.source}: {count.reference:,}"
            yield Finding(Check.COUNTS, facts.title, text, evidence, not agrees)


def _marks(paper: Paper) -> Iterator[Finding]:
    for table in paper.tables.values():
        values = [table.value(row, column) for row in table.row_ids for column in table.column_ids]
        for column in table.columns:
            numbers = _numbers(table, column)
            if not numbers:
                continue
            if any(value.bold for value in values):
                yield from _rank_marks(table, column, numbers, "bold", 0)
            if any(value.underline for value in values):
                yield from _rank_marks(table, column, numbers, "underline", 1)
            if any(value.drop for value in values):
                yield from _arrows(table, column, numbers)


def _rank_marks(
    table: PaperTable, column: Column, numbers: dict[str, float], mark: str, rank: int
) -> Iterator[Finding]:
    levels = sorted(set(numbers.values()), reverse=column.better == "higher")
    expected = {row for row, value in numbers.items() if len(levels) > rank and value == levels[rank]}
    marked = {row for row in numbers if getattr(table.value(row, column.id), mark)}
    if marked != expected:
        place = "best" if rank == 0 else "runner-up"
        text = f"{mark}: {_names(marked)}; {place} by the printed numbers: {_names(expected)}"
        yield Finding(Check.MARKS, f"{table.name}, {table.column_name(column.id)}", text, _listed(numbers), True)


def _arrows(table: PaperTable, column: Column, numbers: dict[str, float]) -> Iterator[Finding]:
    baseline = next((row.id for row in table.rows if row.method == "uniform" and row.id in numbers), None)
    if baseline is None:
        return
    sign = 1 if column.better == "higher" else -1
    below = {row for row, value in numbers.items() if sign * (value - numbers[baseline]) < 0}
    arrows = {row for row in numbers if table.value(row, column.id).drop}
    where = f"{table.name}, {table.column_name(column.id)}"
    if arrows - below:
        text = f"(↓) without a drop against {baseline}: {_names(arrows - below)}"
        yield Finding(Check.MARKS, where, text, _listed(numbers), True)
    if below - arrows:
        text = f"below {baseline} without (↓): {_names(below - arrows)}"
        yield Finding(Check.MARKS, where, text, _listed(numbers), False)


def _numbers(table: PaperTable, column: Column) -> dict[str, float]:
    printed = {row: table.value(row, column.id).value for row in table.row_ids}
    return {row: value for row, value in printed.items() if value is not None}


def _ordered(column: Column, numbers: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(numbers.items(), key=lambda item: item[1], reverse=column.better == "higher")


def _names(rows: set[str]) -> str:
    return ", ".join(sorted(rows)) or "none"


def _listed(numbers: dict[str, float]) -> str:
    return ", ".join(f"{row} {value:g}" for row, value in numbers.items())
