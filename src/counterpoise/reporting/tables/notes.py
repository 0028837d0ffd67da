"""What the notes below a table say: what its numbers rest on, and why some are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from counterpoise.comparability import OTHER, SAME
from counterpoise.judging.compare import Comparison
from counterpoise.judging.entries import Entry
from counterpoise.judging.statistics import binomial_error
from counterpoise.papers.paper import ColumnGroup, Paper, PaperTable
from counterpoise.reporting.own import added_lines, own_summary
from counterpoise.reporting.words import counted
from counterpoise.results.table import Results


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of a table as it is shown; ``reason`` is why no run fills it, "" where one does."""

    group: ColumnGroup
    line: str
    reason: str = ""


def table_notes(
    results: Results,
    comparison: Comparison,
    table: PaperTable,
    *,
    own_columns: bool,
    places: Sequence[Place],
    full: bool = True,
) -> Iterator[str]:
    """Yield the notes, each a sentence or two, the most important first.

    Args:
        own_columns: whether the table is shown with columns that the paper does not have.
        places: every place that is shown.
        full: whether spreads, printed numbers and verdicts are shown beside our means.
    """
    paper = comparison.paper
    entries = [row.entry for row in comparison.rows_of(table.table)]
    running = [entry for entry in entries if entry.cell is not None]
    yield from _partial(results, table)
    yield _ours(results, running, full)
    yield from _between_rows(comparison, table)
    if not paper.is_own:
        yield from _printed(paper, table, full and not table.unprinted)
    if full:
        yield from _rule(paper, table, running)
    yield from _sampling(results, paper, running)
    yield from _stand_ins(results, paper, running)
    yield from _not_comparable(paper, running)
    yield from _folds(results, paper, running)
    yield from _not_run(paper, table, places)
    yield from _failed([*running, *(entry for entry in comparison.added if entry.table.table == table.table)])
    if own_columns:
        bins = results.layout.ece_bins
        what = "" if paper.is_own else "Columns marked 'ours' are not in the paper; "
        yield f"{what}ECE in percent, {bins} equal-width bins."
    if any(table.row(row).star for row in table.row_ids):
        yield f"* {table.star_means}."
    if full and results.layout.table(table.paper, table.table).probe == "all":
        yield (
            "Columns marked 'probe': in every row a linear classifier trained afterwards on each frozen encoder of "
            f"the last epoch{_probe_epochs(results)}: like for like across rows."
        )
    if table.unprinted and not paper.is_own:
        yield f"No numbers beside ours: {table.unprinted}."
    yield from table.notes


def _partial(results: Results, table: PaperTable) -> Iterator[str]:
    cells = {value.cell for value in results.layout.values_of(table.paper, table.table) if value.cell is not None}
    runs = [run for name in cells for run in results.runs_of[name]]
    finished = sum(run.finished for run in runs)
    if finished < len(runs):
        yield f"Partial: {finished} of the {counted(len(runs), 'run')} behind this table have finished."


def _ours(results: Results, running: Sequence[Entry], full: bool) -> str:
    layout = results.layout
    cells = [entry.cell for entry in running if entry.cell is not None]
    protocols = ", ".join(dict.fromkeys(cell.protocol for cell in cells)) or "none (nothing runs)"
    spread = " ± standard deviation (divisor n − 1)" if full else ""
    seeds = counted(len(layout.seeds), "seed")
    finished = {sum(run.finished for run in results.runs_of[cell.name]) for cell in cells}
    if finished - {len(layout.seeds)}:  # partial: rows rest on other numbers of seeds than was asked for
        few, many = min(finished), max(finished)
        seeds = f"{few} to {many} of {seeds}" if few < many else f"{few} of {seeds}"
    return (
        f"Ours: mean{spread} over n = {seeds} "
        f"({', '.join(map(str, layout.seeds))}); selection: {layout.selection}; protocol: {protocols}; "
        f"benchmark: {layout.name}."
    )


def _printed(paper: Paper, table: PaperTable, full: bool) -> Iterator[str]:
    text = f"[ ]: the number that the paper prints ({paper.printed_runs_reason})" if full else ""
    if table.drops_against:
        below = f"↓: a mean below that of '{table.row(table.drops_against).title}'"
        text = f"{text}; {below}, in print and in ours" if full else below
    if text:
        yield f"{text}."


def _between_rows(comparison: Comparison, table: PaperTable) -> Iterator[str]:
    """Say how rows that are one's own stand to the others, and by what rule."""
    said = [own_summary(comparison, table.table)] if comparison.paper.is_own else []
    said += added_lines(comparison, table.table)
    yield from said
    if said:
        yield (
            f"Better or worse: paired over seeds, two-sided p below α = {comparison.paper.alpha:g} after "
            f"Holm over the table; every difference with its interval is in comparison/{table.paper}.pairs.csv."
        )


def _rule(paper: Paper, table: PaperTable, running: Sequence[Entry]) -> Iterator[str]:
    columns: dict[str, dict[float, dict[str, None]]] = {}
    for entry in running:
        margin = table.margin(entry.column.id, paper)
        if margin is not None:
            of_metric = columns.setdefault(paper.metric_title(entry.column.metric), {})
            of_metric.setdefault(margin, {})[entry.column_name] = None
    # A metric with one margin is enough of a name; else the columns that have each are named.
    margins = [
        f"{margin:g} for {metric if len(found) == 1 else ', '.join(names)}"
        for metric, found in columns.items()
        for margin, names in found.items()
    ]
    if margins:
        tests = f"{1 - paper.alpha:.0%} prediction intervals, tests at α = {paper.alpha:g}"
        yield f"Verdicts: equivalence margin {', '.join(margins)} in printed units, {tests}."


def _sampling(results: Results, paper: Paper, running: Sequence[Entry]) -> Iterator[str]:
    """Say how far one accuracy may be off because the test set is finite, beside the spread over seeds."""
    errors: dict[tuple[str, int], list[float]] = {}
    for entry in running:
        if entry.column.metric == "accuracy" and entry.ours.mean is not None and entry.n_test:
            share = min(max(entry.ours.mean / entry.column.scale, 0.0), 1.0)
            place = (_data_name(results, paper, entry), entry.n_test)
            errors.setdefault(place, []).append(100 * binomial_error(share, entry.n_test))
    each = [f"{name} (N = {n:,}) {min(found):.2f} to {max(found):.2f}" for (name, n), found in errors.items()]
    if each:
        yield f"Binomial standard error of one accuracy on the test set, in points: {'; '.join(each)}."


def _stand_ins(results: Results, paper: Paper, running: Sequence[Entry]) -> Iterator[str]:
    stand_ins = [entry for entry in running if entry.stand_in]
    for name, what in dict.fromkeys((_group_name(paper, entry), _what_differs(results, entry)) for entry in stand_ins):
        yield f"Stand-in: {name} ran {what}; not comparable with the paper's numbers."


def _not_comparable(paper: Paper, running: Sequence[Entry]) -> Iterator[str]:
    """Say what the gate found, once for each column group."""
    differences = dict.fromkeys(
        (_group_name(paper, entry), entry.comparability.level, entry.comparability.reason)
        for entry in running
        if not entry.stand_in and entry.comparability.level != SAME
    )
    for name, level, reason in differences:
        words = "not comparable in level" if level == OTHER else level
        yield f"{name}: {words} ({reason})."


def _what_differs(results: Results, entry: Entry) -> str:
    if entry.other_training:
        return f"with another training ({entry.other_training})"
    return f"on other data ({results.layout.data[entry.cell.data].title})"


def _folds(results: Results, paper: Paper, running: Sequence[Entry]) -> Iterator[str]:
    """Say which seed ran on which fold, where the spread over seeds is one over folds."""
    data = results.layout.data
    groups: dict[tuple[str, ...], list[str]] = {}
    for entry in running:
        if entry.cell.folds:
            folds = tuple(f"seed {seed} on {data[entry.cell.data_of(seed)].title}" for seed in results.layout.seeds)
            groups.setdefault(folds, []).append(_group_name(paper, entry))
    for folds, names in groups.items():
        yield f"Seeds run on folds, {'; '.join(dict.fromkeys(names))}: {', '.join(folds)}."


def _not_run(paper: Paper, table: PaperTable, places: Sequence[Place]) -> Iterator[str]:
    """Say why places are empty: the column groups with the same reason together, and the rows where not all have it."""
    lines: dict[str, dict[str, None]] = {}
    reasons: dict[str, dict[str, dict[str, None]]] = {}
    for place in places:
        group = _title_of(paper, table, place.group)
        lines.setdefault(group, {})[place.line] = None
        if place.reason:
            reasons.setdefault(place.reason, {}).setdefault(group, {})[place.line] = None
    said = []
    for reason, groups in reasons.items():
        whole = [group for group, rows in groups.items() if len(rows) == len(lines[group])]
        parts: dict[tuple[str, ...], list[str]] = {}
        for group, rows in groups.items():
            if group not in whole:
                parts.setdefault(tuple(rows), []).append(group)
        named = [", ".join(whole)] if whole else []
        named += [f"{', '.join(rows)} on {', '.join(names)}" for rows, names in parts.items()]
        said.append(f"{'; '.join(named)} ({reason})")
    if said:
        yield f"Not run: {'; '.join(said)}."


def _failed(running: Sequence[Entry]) -> Iterator[str]:
    """Say which runs failed or were interrupted, and of what: the seeds of a row with the same reason together."""
    for heading in ("Failed", "Interrupted"):
        seeds: dict[tuple[str, str], dict[int, None]] = {}
        for entry in running:
            tried = entry.ours.failed if heading == "Failed" else entry.ours.interrupted
            for seed, what in tried.items():
                seeds.setdefault((entry.label, what), {})[seed] = None
        said = [
            f"{label}, {'seed' if len(found) == 1 else 'seeds'} {', '.join(map(str, found))}: {what}"
            for (label, what), found in seeds.items()
        ]
        if heading == "Interrupted":  # the heading says it
            said = [text.replace(": interrupted (", " (") for text in said]
        if said:
            yield f"{heading}: {'; '.join(said)}."


def _probe_epochs(results: Results) -> str:
    epochs = (results.layout.benchmark.get("probe") or {}).get("epochs")
    return "" if epochs is None else f", for {counted(epochs, 'epoch')}"


def _group_name(paper: Paper, entry: Entry) -> str:
    """Return what a note calls a column group: its dataset, and its setting where there are several."""
    return _title_of(paper, entry.table, entry.table.group(entry.row, entry.column.id))


def _title_of(paper: Paper, table: PaperTable, group: ColumnGroup) -> str:
    if table.is_own:
        return ", ".join(group.heading)
    facts = paper.datasets.get(group.dataset)
    return ", ".join([facts.title if facts else group.id, *group.heading[1:]])


def _data_name(results: Results, paper: Paper, entry: Entry) -> str:
    """Return the data that an entry was measured on; a stand-in by its own name, beside the paper's."""
    own = entry.table.group(entry.row, entry.column.id).dataset
    if entry.cell.dataset == own or not entry.stand_in:
        return _group_name(paper, entry)
    return f"{results.layout.data[entry.cell.data].title}, in the place of {_group_name(paper, entry)}"
