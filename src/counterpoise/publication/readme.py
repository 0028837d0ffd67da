"""The README of a published record: facts from the data, below what a person wrote in ``notes.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise.files import read_text
from counterpoise.judging.claims import Answer, ClaimResult
from counterpoise.judging.compare import Comparison, ComparisonRow, judge
from counterpoise.judging.entries import Entry
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.outcome import answer, claims_sentence, numbers_of, table_summary
from counterpoise.reporting.words import commit_text, marked
from counterpoise.results.record import RunRecord
from counterpoise.results.table import Results
from counterpoise.validation import validate

if TYPE_CHECKING:
    from counterpoise.publication.record import PublishedRecord

# Two runs of one method differ by more than this many standard deviations once in twenty.
PAIR_OF_RUNS = 1.96 * 2**0.5
COMPARED = (
    Verdict.REPRODUCED,
    Verdict.WITHIN,
    Verdict.CONSISTENT,
    Verdict.UNDECIDED,
    Verdict.DEVIATES,
    Verdict.DIVERGED,
    Verdict.NOT_COMPARABLE,
)
NOTES = "notes.md"


@dataclass(frozen=True, kw_only=True)
class Device:
    """What ran on one device: ``hours`` is the sum over its runs, of training alone."""

    name: str
    runs: int
    hours: float


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What was run, as the runs' records say."""

    planned: int
    counts: dict[str, int]
    resumed: int
    devices: list[Device]
    commits: list[str]
    libraries: list[str]
    first: str
    last: str


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A column's spread over our seeds beside the differences that the paper prints, in printed units.

    ``lead`` is the printed best's lead over its runner-up. ``close`` of ``pairs`` pairs of rows differ in
    print by less than two single runs of one method do once in twenty, at our median spread.
    """

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


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """By how much the epoch that is best on the test set beats the last one, in points; over a column."""

    table: str
    column: str
    rows: int
    mean: float
    highest: float
    highest_row: str


@dataclass(frozen=True, kw_only=True)
class PaperFacts:
    """What the record says of one paper; ``claims`` are those that something ran for."""

    comparison: Comparison
    answer: str
    sentences: list[str]
    numbers: list[ComparisonRow]
    claims: list[ClaimResult]
    stand_ins: list[str]
    spreads: list[Spread]
    optimism: list[Optimism]


def readme_text(record: PublishedRecord) -> str:
    """Return the README of a record, with its notes as they are now."""
    results = record.results
    judged = [judge(record.papers[name], results) for name in results.layout.judged]
    papers = [paper_facts(results, comparison) for comparison in judged]
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
        layout=results.layout,
        manifest=record.manifest,
        runs=run_facts(results),
        protocols=_protocols(results),
        papers=papers,
        pair=PAIR_OF_RUNS,
        commit_text=commit_text,
        explained=sorted(path.stem for path in (record.folder / "explain").glob("*.md")),
        notes=read_text(notes, "notes").strip() if notes.is_file() else "",
    )


def run_facts(results: Results) -> Runs:
    """Return what was run: how many runs ended how, on what, for how long, from which commit."""
    records = [validate(RunRecord, run.record, f"record of {run.cell}") for run in results.runs if run.finished]
    by_device: dict[str, list[float]] = {}
    for record in records:
        by_device.setdefault(_device(record.environment), []).append(record.seconds)
    devices = [Device(name=name, runs=len(spent), hours=sum(spent) / 3600) for name, spent in by_device.items()]
    gits = [attempt.git for record in records for attempt in record.attempts]
    return Runs(
        planned=len(results.runs),
        counts=dict(Counter(run.status.replace("_", " ") for run in results.runs)),
        resumed=sum(record.resumed for record in records),
        devices=sorted(devices, key=lambda device: -device.runs),
        commits=list(dict.fromkeys(commit_text(git.commit, git.dirty) for git in gits)),
        libraries=list(dict.fromkeys(_torch(record.environment) for record in records)),
        first=min((record.attempts[0].started[:10] for record in records), default=""),
        last=max((record.finished[:10] for record in records), default=""),
    )


def _device(environment: dict[str, Any]) -> str:
    name = environment.get("device_name") or environment.get("device") or "unknown"
    return str(name) if str(environment.get("device", "")).startswith("cuda") else f"{name} (CPU)"


def _torch(environment: dict[str, Any]) -> str:
    libraries = environment.get("libraries")
    torch = libraries.get("torch") if isinstance(libraries, dict) else None
    return f"Python {environment.get('python')}, torch {torch}"


def _protocols(results: Results) -> list[str]:
    found: dict[str, list[str]] = {}
    for name, cell in results.layout.cells.items():
        protocol = cell.config.get("protocol", {})
        text = f"{protocol.get('epochs')} epochs, batch size {protocol.get('batch_size')}"
        n_test = results.n_test(name)
        if n_test:
            text += f", {n_test:,} test examples"
        found.setdefault(f"{cell.dataset}: protocol `{cell.protocol}`", []).append(text)
    return [f"{name}: {'; or '.join(dict.fromkeys(texts))}" for name, texts in found.items()]


def paper_facts(results: Results, comparison: Comparison) -> PaperFacts:
    """Return what a comparison says, gathered by column."""
    rows = [row for row in comparison.rows if row.verdict in COMPARED]
    stand_ins = [
        f"{row.entry.table.name}: {row.entry.column_name} ran on {results.layout.data[row.entry.cell.data].title}"
        for row in comparison.rows
        if row.entry.stand_in and row.entry.cell is not None
    ]
    columns: dict[tuple[str, str], list[Entry]] = {}
    for row in comparison.rows:
        if row.entry.cell is not None:
            columns.setdefault((row.entry.table.table, row.entry.column.id), []).append(row.entry)
    spreads = [found for entries in columns.values() for found in _spread(entries)]
    optimism = [found for entries in columns.values() for found in _optimism(results, entries)]
    claims = [claim for claim in comparison.claims if claim.answer is not Answer.NOT_RUN]
    summaries = {name: table_summary(comparison, name) for name in comparison.paper.tables}
    return PaperFacts(
        comparison=comparison,
        answer=answer(comparison),
        sentences=[
            "" if comparison.paper.is_own else numbers_of(comparison.rows).sentence(),
            claims_sentence(comparison),
            *(f"{comparison.paper.table(name).name}: {said}" for name, said in summaries.items() if said),
        ],
        numbers=rows,
        claims=claims,
        stand_ins=list(dict.fromkeys(stand_ins)),
        spreads=spreads,
        optimism=optimism,
    )


def _spread(entries: Sequence[Entry]) -> Iterator[Spread]:
    """Yield the spread of a column with two rows or more that have one, and whose numbers are printed."""
    shown = [entry for entry in entries if entry.printed.kind == "number"]
    spreads = [entry.ours.std for entry in shown if entry.ours.std is not None]
    printed = {entry.row: value for entry in shown if (value := entry.printed.value) is not None}
    if len(printed) < 2 or not spreads:
        return
    first = shown[0]
    ordered = sorted(printed.values(), reverse=first.column.better == "higher")
    median = float(np.median(spreads))
    gaps = [abs(one - other) for one, other in combinations(printed.values(), 2)]
    yield Spread(
        table=first.table.name,
        column=first.column_name,
        stand_in=any(entry.stand_in for entry in shown),
        rows=len(spreads),
        low=min(spreads),
        median=median,
        high=max(spreads),
        lead=abs(ordered[0] - ordered[1]),
        close=sum(gap < PAIR_OF_RUNS * median for gap in gaps),
        pairs=len(gaps),
    )


def _optimism(results: Results, entries: Sequence[Entry]) -> Iterator[Optimism]:
    """Yield what choosing the epoch on the test set adds in a column, if the runs have both selections."""
    gains: dict[str, float] = {}
    for entry in entries:
        gain = _gain(results, entry)
        if gain is not None:
            gains[entry.label] = gain
    if gains:
        highest = max(gains, key=gains.__getitem__)
        yield Optimism(
            table=entries[0].table.name,
            column=entries[0].column_name,
            rows=len(gains),
            mean=float(np.mean(list(gains.values()))),
            highest=gains[highest],
            highest_row=highest,
        )


def _gain(results: Results, entry: Entry) -> float | None:
    if entry.cell is None:
        return None
    column, sign = entry.column, 1.0 if entry.column.better == "higher" else -1.0
    best, last = (
        results.seeds(entry.cell.name, selection, entry.output, column.measure, column.scale).finished
        for selection in ("best_test", "last")
    )
    differences = [sign * (best[seed] - last[seed]) for seed in best.keys() & last.keys()]
    return float(np.mean(differences)) if differences else None
