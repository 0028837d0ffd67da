"""The README of a published record: facts from the data, below what a person wrote in ``notes.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise.files import read_json
from counterpoise.judging.claims import Answer, ClaimResult
from counterpoise.judging.compare import Comparison, ComparisonRow, compare_paper
from counterpoise.judging.entries import Entry
from counterpoise.judging.verdicts import Verdict
from counterpoise.publication.record import NOTES, SEARCH, PublishedRecord
from counterpoise.reporting.words import Seeds, marked, seeds_in_all
from counterpoise.results.results import CellResults, read_results

# Two runs of one method differ by more than this many standard deviations once in twenty.
PAIR_OF_RUNS = 1.96 * 2**0.5
COMPARED = (Verdict.REPRODUCED, Verdict.CONSISTENT, Verdict.UNDECIDED, Verdict.DEVIATES, Verdict.DIVERGED)
FINISHED = ("completed", "diverged")
QUIET = (Answer.NOT_RUN, Answer.NOT_TESTED)


@dataclass(frozen=True)
class Device:
    """What ran on one device: ``hours`` is the sum over its runs, of training alone."""

    name: str
    runs: int
    hours: float


@dataclass(frozen=True)
class Runs:
    """What was run, as the runs' records say."""

    planned: int
    counts: dict[str, int]
    seeds: Seeds
    devices: list[Device]
    commits: list[str]
    libraries: list[str]
    first: str
    last: str


@dataclass(frozen=True)
class Spread:
    """A column's spread over our seeds beside the differences that the paper prints, in printed units.

    ``lead`` is the printed best's lead over its runner-up. ``close`` of ``pairs`` pairs of rows differ in
    print by less than two single runs of one method do once in twenty, at our median spread.
    """

    paper: str
    table: str
    column: str
    stand_in: bool
    rows: int
    low: float
    median: float
    high: float
    lead: float
    close: int
    pairs: int


@dataclass(frozen=True)
class Optimism:
    """By how much the epoch that is best on the test set beats the last one, in points; over a column."""

    paper: str
    table: str
    column: str
    rows: int
    mean: float
    highest: float
    highest_row: str


@dataclass(frozen=True)
class PaperFacts:
    """What the record says of one paper; ``claims`` are those that something ran for."""

    comparison: Comparison
    numbers: list[ComparisonRow]
    claims: list[ClaimResult]
    stand_ins: list[str]
    spreads: list[Spread]
    optimism: list[Optimism]


def readme_text(record: PublishedRecord) -> str:
    """Return the README of a record, with its notes as they are now."""
    results = read_results(record.plan, record.folder)
    papers = [paper_facts(compare_paper(record.plan, record.folder, name, results)) for name in record.plan.papers]
    notes = record.folder / NOTES
    environment = Environment(
        loader=PackageLoader("counterpoise.publication"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked"] = lambda word: marked(str(word))
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template("README.md.j2").render(
        record=record,
        plan=record.plan,
        stored=record.stored,
        benchmark=record.plan.benchmark,
        runs=run_facts(record),
        protocols=_protocols(record, results),
        papers=papers,
        pair=PAIR_OF_RUNS,
        searched=(record.folder / SEARCH).is_file(),
        explained=sorted(path.stem for path in (record.folder / "explain").glob("*.md")),
        notes=notes.read_text(encoding="utf-8").strip() if notes.is_file() else "",
    )


def run_facts(record: PublishedRecord) -> Runs:
    """Return what was run: how many runs ended how, on what, for how long, from which commit."""
    records = [
        read_json(record.folder / "runs" / run.cell / f"seed-{run.seed}" / "record.json", "run record")
        for run in record.stored.runs
        if run.status in FINISHED
    ]
    by_device: dict[str, list[float]] = {}
    for found in records:
        by_device.setdefault(_device(found["environment"]), []).append(found.get("seconds") or 0.0)
    devices = [Device(name, len(spent), sum(spent) / 3600) for name, spent in by_device.items()]
    return Runs(
        planned=len(record.stored.runs),
        counts=dict(Counter(run.status for run in record.stored.runs)),
        seeds=seeds_in_all(_seeds(record)),
        devices=sorted(devices, key=lambda device: -device.runs),
        commits=list(dict.fromkeys(_commit(found.get("git") or {}) for found in records)),
        libraries=list(dict.fromkeys(_torch(found["environment"]) for found in records)),
        first=min((found["started"][:10] for found in records), default=""),
        last=max((found["finished"][:10] for found in records), default=""),
    )


def _seeds(record: PublishedRecord) -> list[set[int]]:
    """Return the seeds that each cell of a record has runs of: cells may have been given different ones."""
    found: dict[str, set[int]] = {run.cell: set() for run in record.stored.runs}
    for run in record.stored.runs:
        if run.status in FINISHED:
            found[run.cell].add(run.seed)
    return list(found.values())


def _device(environment: Mapping[str, Any]) -> str:
    name = environment.get("device_name") or environment.get("device") or "unknown"
    return str(name) if str(environment.get("device", "")).startswith("cuda") else f"{name} (CPU)"


def _commit(git: Mapping[str, Any]) -> str:
    commit = str(git.get("commit") or "unknown")[:12]
    return f"{commit} (with changes)" if git.get("dirty") else commit


def _torch(environment: Mapping[str, Any]) -> str:
    return f"Python {environment.get('python')}, torch {(environment.get('libraries') or {}).get('torch')}"


def _protocols(record: PublishedRecord, results: Mapping[str, CellResults]) -> list[str]:
    found: dict[str, list[str]] = {}
    for cell in record.plan.cells:
        protocol = cell.config["protocol"]
        text = f"{protocol['epochs']} epochs, batch size {protocol['batch_size']}"
        if results[cell.name].n_test:
            text += f", {results[cell.name].n_test:,} test examples"
        found.setdefault(f"{cell.dataset}: protocol `{cell.protocol}`", []).append(text)
    return [f"{name}: {'; or '.join(dict.fromkeys(texts))}" for name, texts in found.items()]


def paper_facts(comparison: Comparison) -> PaperFacts:
    """Return what a comparison says, gathered by column."""
    rows = [row for row in comparison.rows if row.verdict in COMPARED]
    stand_ins = [
        f"{row.entry.table.table}: {row.entry.column.id} ran on {row.entry.results.cell.data.title}"
        for row in comparison.rows
        if row.entry.stand_in and row.entry.results is not None
    ]
    columns: dict[tuple[str, str], list[Entry]] = {}
    for row in comparison.rows:
        if row.entry.ours is not None:
            columns.setdefault((row.entry.table.table, row.entry.column.id), []).append(row.entry)
    spreads = [found for entries in columns.values() for found in _spread(entries)]
    optimism = [found for entries in columns.values() for found in _optimism(entries)]
    claims = [claim for claim in comparison.claims if claim.answer not in QUIET]
    return PaperFacts(comparison, rows, claims, list(dict.fromkeys(stand_ins)), spreads, optimism)


def _spread(entries: Sequence[Entry]) -> Iterator[Spread]:
    """Yield the spread of a column with two rows or more that have one, and whose numbers are printed."""
    shown = [entry for entry in entries if entry.printed.kind == "number"]
    spreads = [entry.ours.std for entry in shown if entry.ours.std is not None]
    printed = {entry.row: entry.printed.value for entry in shown}
    if len(printed) < 2 or not spreads:
        return
    first = shown[0]
    ordered = sorted(printed.values(), reverse=first.column.better == "higher")
    median = float(np.median(spreads))
    gaps = [abs(one - other) for one, other in combinations(printed.values(), 2)]
    yield Spread(
        first.table.paper,
        first.table.table,
        first.column.id,
        any(entry.stand_in for entry in shown),
        len(spreads),
        min(spreads),
        median,
        max(spreads),
        abs(ordered[0] - ordered[1]),
        sum(gap < PAIR_OF_RUNS * median for gap in gaps),
        len(gaps),
    )


def _optimism(entries: Sequence[Entry]) -> Iterator[Optimism]:
    """Yield what choosing the epoch on the test set adds in a column, if the runs have both selections."""
    gains: dict[str, float] = {}
    for entry in entries:
        gain = _gain(entry)
        if gain is not None:
            gains[entry.label] = gain
    if gains:
        first = entries[0]
        highest = max(gains, key=gains.__getitem__)
        yield Optimism(
            first.table.paper,
            first.table.table,
            first.column.id,
            len(gains),
            float(np.mean(list(gains.values()))),
            gains[highest],
            highest,
        )


def _gain(entry: Entry) -> float | None:
    column, sign = entry.column, 1.0 if entry.column.better == "higher" else -1.0
    if entry.results is None:
        return None
    best, last = (
        entry.results.values(selection, entry.output, column.measure, column.scale).finished
        for selection in ("best_test", "last")
    )
    differences = [sign * (best[seed] - last[seed]) for seed in best.keys() & last.keys()]
    return float(np.mean(differences)) if differences else None
