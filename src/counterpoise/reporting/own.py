"""What is said of rows that are compared with each other: in tables of one's own, and of rows added to a paper's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from counterpoise.judging.compare import Comparison
from counterpoise.judging.ranking import Ranking
from counterpoise.judging.row_pairs import RowPair
from counterpoise.reporting.words import counted, listed

MOST_COLUMNS = 4
"""Columns that a sentence names; the others are in the tables."""


def own_answer(comparison: Comparison) -> str:
    """Return what tables of one's own compare, in a few words: ``3 methods on 2 datasets; nothing of a paper ...``."""
    ran = [row.entry for row in comparison.rows if row.entry.ours.finished]
    rows, datasets = {entry.label for entry in ran}, {entry.dataset for entry in ran}
    head = f"{counted(len(rows), 'method')} on {counted(len(datasets), 'dataset')}" if ran else "No run has finished"
    return f"{head}; nothing of a paper was compared"


def own_sentence(comparison: Comparison) -> str:
    """Return the answer, and for the first columns which row is best there."""
    said = [_leader(comparison, ranking) for ranking in comparison.rankings]
    return f"{own_answer(comparison)}. {'. '.join(_first(said))}."


def own_summary(comparison: Comparison, name: str) -> str:
    """Return, for each column of a table of one's own, which row is best, and than how many others."""
    said = [_leader(comparison, ranking) for ranking in comparison.rankings if ranking.table == name]
    return f"{'. '.join(said)}."


def _best(comparison: Comparison, ranking: Ranking) -> str:
    place = comparison.paper.table(ranking.table).column_name(ranking.column)
    if ranking.p_best is None:
        return f"{place}: {ranking.reason}"
    if _better_here(comparison, ranking) == ranking.rows - 1:
        return f"{place}: {ranking.best} is best"
    equal = sum(pair.difference == 0 for pair in _pairs(comparison, ranking))
    shared = f"shares the best mean with {counted(equal, 'other row')}" if equal else "has the best mean"
    return f"{place}: {ranking.best} {shared}"


def _pairs(comparison: Comparison, ranking: Ranking) -> list[RowPair]:
    """Return the pairs of a column's best row."""
    return [
        pair
        for pair in comparison.pairs
        if (pair.table, pair.column) == (ranking.table, ranking.column) and ranking.best in (pair.row, pair.other)
    ]


def _better_here(comparison: Comparison, ranking: Ranking) -> int:
    """Return than how many rows a column's best one is better, on this test set."""
    return sum(_won(pair, ranking.best, pair.verdict) for pair in _pairs(comparison, ranking))


def _leader(comparison: Comparison, ranking: Ranking) -> str:
    if ranking.p_best is None:
        return _best(comparison, ranking)
    pairs, others, here = _pairs(comparison, ranking), ranking.rows - 1, _better_here(comparison, ranking)
    text = f"{_best(comparison, ranking)}, {_better(here, others)}"
    if any(pair.new_examples for pair in pairs):
        new = sum(_won(pair, ranking.best, pair.new_examples) for pair in pairs)
        if new != here:
            text += f", on new examples {_better(new, others)}"
        elif here:
            text += ", on new examples, too"
    return f"{text} (P(best) {ranking.p_best:.2f}, {counted(ranking.n, 'seed')})"


def _won(pair: RowPair, row: str, verdict: str) -> bool:
    return verdict == ("better" if pair.row == row else "worse")


def _better(some: int, every: int) -> str:
    """Return ``better than both others``, ``… 2 of 5 others``, ``not shown to be better than any of the 5 others``."""
    if not some:
        return f"not shown to be better than {'the other' if every == 1 else f'any of the {every} others'}"
    if some == every:
        return f"better than {({1: 'the other', 2: 'both others'}).get(every, f'all {every} others')}"
    return f"better than {some} of {every} others"


def own_headline(comparison: Comparison, name: str) -> str:
    """Return the row that is best in each of a table's first columns, and nothing of by how much or what right."""
    said = [_best(comparison, ranking) for ranking in comparison.rankings if ranking.table == name]
    return f"{'. '.join(_first(said))}."


def _first(said: list[str]) -> list[str]:
    more = [f"{counted(len(said) - MOST_COLUMNS, 'more column')} in the tables"] if len(said) > MOST_COLUMNS else []
    return [*said[:MOST_COLUMNS], *more]


def added_lines(comparison: Comparison, name: str) -> Iterator[str]:
    """Yield, for each row that is added to a paper's table, how it stands to the others, column by column."""
    table = comparison.paper.table(name)
    places: dict[tuple[str, str], list[RowPair]] = {}
    added = {entry.label for entry in comparison.added}
    for pair in comparison.pairs:
        if pair.table == name and pair.row in added:
            places.setdefault((pair.row, pair.column), []).append(pair)
    rows: dict[str, list[str]] = {}
    for (row, column), pairs in places.items():
        counts = Counter(pair.verdict for pair in pairs)
        words = [("better than", "better"), ("worse than", "worse"), ("not told apart from", "undecided")]
        said = listed([f"{word} {counts[verdict]}" for word, verdict in words if counts[verdict]])
        rows.setdefault(row, []).append(f"{table.column_name(column)}: {said} of {counted(len(pairs), 'row')}")
    for row, lines in rows.items():
        yield f"{row} (not in the paper): {'; '.join(lines)}."
