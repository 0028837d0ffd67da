"""What would run, and what is there: the texts of ``counterpoise plan``, ``status``, ``gc`` and ``trace``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from counterpoise.planning.plan import Plan, PreparedDataset
from counterpoise.runs.budget import Choice, choose, questions
from counterpoise.runs.estimate import Recorded, cell_seconds, estimate, read_recorded
from counterpoise.runs.status import FINISHED, PREPARED, Orphan, RunStatus, State, run_statuses
from counterpoise.runs.trace import Trace, TracedRun

MOST_LINES = 20
MOST_SOURCES = 5


@dataclass(frozen=True)
class Before:
    """What is known before launch besides the plan and what is recorded.

    ``downloads`` says, by the name of an unprepared dataset, what is to be fetched. ``measured`` are runs of
    which a few steps were made for the estimate; ``notes`` say what those steps took.
    """

    downloads: Mapping[str, str] = field(default_factory=dict)
    measured: Sequence[Recorded] = ()
    notes: Sequence[str] = ()


def print_plan(
    plan: Plan, root: Path, cells: bool = False, before: Before | None = None, budget: float | None = None
) -> Choice | None:
    """Print what a plan comes to: runs to do and there, data to prepare, time, memory and disk.

    ``cells``: one by one. ``budget``: also the cells that decide the most claims in so many seconds, which
    are returned.
    """
    before = before or Before()
    runs = run_statuses(plan, root)
    records = [*read_recorded(root), *before.measured]
    for line in plan_lines(plan, root, cells, runs, records, before):
        print(line)
    if budget is None:
        return None
    choice = choose(questions(plan), cell_seconds(runs, records), plan.cells, budget)
    for line in choice_lines(choice):
        print(line)
    return choice


def plan_lines(
    plan: Plan, root: Path, cells: bool, runs: Sequence[RunStatus], records: Sequence[Recorded], before: Before
) -> Iterator[str]:
    """Yield the lines of :func:`print_plan` but for those of a budget."""
    benchmark = plan.benchmark
    counts = Counter(run.state for run in runs)
    to_do = [run for run in runs if not run.finished]
    yield f"{benchmark.name}: {benchmark.title} ({plan.path})"
    yield from _block("tables", _table_lines(plan))
    seeds = ", ".join(map(str, plan.seeds))
    if benchmark.sequential:
        seeds = f"auto: {', '.join(map(str, benchmark.seed_looks))} of them as verdicts need"
    yield f"  seeds      {seeds}; {benchmark.seeds_per_job} in a job; selection {benchmark.selection}"
    yield f"  cells      {len(plan.cells)}"
    yield f"  runs       {len(runs)}: {len(to_do)} to do, {len(runs) - len(to_do)} there ({_counts(counts)})"
    yield from _block("data", _data_lines(plan, root, before.downloads))
    yield from _block("estimate", [*estimate_lines(to_do, records), *before.notes])
    yield from _block("memory", _memory_lines(plan, to_do))
    if cells:
        yield "cells, with the state of each seed:"
        yield from _cell_lines(runs)


def status_lines(plan: Plan, runs: Sequence[RunStatus], orphans: Sequence[Orphan]) -> Iterator[str]:
    """Yield what ``counterpoise status`` prints: counts by state, every run that is not well, and orphans."""
    counts = Counter(run.state for run in runs)
    yield f"{plan.benchmark.name}: {len(runs)} runs of {len(plan.cells)} cells: {_counts(counts)}"
    for state in (State.BROKEN, State.FAILED, State.DIVERGED, State.INTERRUPTED):
        found = [run for run in runs if run.state is state]
        lines = [f"{run.cell.name} seed {run.seed}: {run.detail or state}" for run in found]
        yield from _some(str(state), lines)
    missing = Counter(run.cell.name for run in runs if run.state is State.MISSING)
    planned = Counter(run.cell.name for run in runs)
    yield from _some("missing", [f"{name}: {count} of {planned[name]}" for name, count in missing.items()])
    yield from orphan_lines(orphans)


def orphan_lines(orphans: Sequence[Orphan]) -> Iterator[str]:
    """Yield orphans by kind with their sizes."""
    for kind in ("runs", "state", "data"):
        found = [orphan for orphan in orphans if orphan.kind == kind]
        total = size_text(sum(orphan.size for orphan in found))
        lines = [f"{orphan.path} ({orphan.files} files, {size_text(orphan.size)})" for orphan in found]
        yield from _some(f"orphaned {kind}", lines, total)


def trace_lines(traced: Trace) -> Iterator[str]:
    """Yield what ``counterpoise trace`` prints about one number."""
    yield traced.name
    yield f"  paper      {traced.printed or 'prints no number'}"
    if traced.cell is None:
        yield f"  here       not run: {traced.planned.reason}"
        return
    yield f"  here       {_summary(traced)}"
    cell = traced.cell
    yield f"  metric     {traced.metric} of output '{traced.output}', selection {traced.selection}"
    yield f"  cell       {cell.name}"
    yield f"  source     {cell.source}"
    yield f"  data       {cell.data_directory}"
    yield from (f"             {line}" for line in _source_lines(traced.data_sources))
    yield "  configuration"
    yield from (f"    {line}" for line in _yaml(cell.config))
    for run in traced.runs:
        yield from _run_lines(run)


def duration_text(seconds: float) -> str:
    """Return a duration in the unit that a reader would choose."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"


def size_text(size: float) -> str:
    """Return a number of bytes in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _counts(counts: Counter[State]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) or "none"


def _block(title: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {title if number == 0 else '':<10} {line}"


def _some(title: str, lines: Sequence[str], note: str = "") -> Iterator[str]:
    if not lines:
        return
    yield f"{title}: {len(lines)}{f' ({note})' if note else ''}"
    yield from (f"  {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"  ... and {len(lines) - MOST_LINES} more"


def _table_lines(plan: Plan) -> list[str]:
    lines = []
    for paper, table in plan.tables:
        values = [value for value in plan.values if (value.paper, value.table) == (paper, table)]
        run = sum(value.cell is not None for value in values)
        stand_ins = sum(value.stand_in for value in values)
        note = f", {stand_ins} of them on stand-ins" if stand_ins else ""
        reasons = Counter(value.reason for value in values if value.cell is None)
        left_out = "".join(f"; {count} {reason}" for reason, count in reasons.items())
        lines.append(f"{paper}.{table}: {run} of {len(values)} values run{note}{left_out}")
    return lines


def _data_lines(plan: Plan, root: Path, downloads: Mapping[str, str]) -> list[str]:
    prepared, lines = [], []
    for data in plan.datasets:
        name = data.directory.relative_to(PREPARED)
        if is_prepared(data, root):
            prepared.append(f"{name}: prepared")
        else:
            lines.append(f"{name}: to prepare; {downloads.get(data.name, 'downloads unknown')}")
    lines += prepared
    more = [f"... and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return lines[:MOST_LINES] + more


def is_prepared(data: PreparedDataset, root: Path) -> bool:
    """Return whether a dataset's arrays are there."""
    return (Path(root) / data.directory / "manifest.json").is_file()


def _memory_lines(plan: Plan, to_do: Sequence[RunStatus]) -> list[str]:
    if not to_do:
        return []
    job = plan.benchmark.job
    return [f"{size_text(job.mem_mb * 1e6)} asked for each job, {job.gpus} GPU (the benchmark's key 'job')"]


def choice_lines(choice: Choice) -> Iterator[str]:
    """Yield what a budget decides: the picks in order, and what is left."""
    picked = sum(len(pick.questions) for pick in choice.picks)
    total = picked + len(choice.ready) + len(choice.left) + len(choice.unknown)
    yield f"budget {duration_text(choice.budget)}: decides {picked + len(choice.ready)} of {total} claims"
    if choice.ready:
        yield f"  {len(choice.ready)} need no training any more"
    for pick in choice.picks:
        yield f"  {duration_text(pick.seconds)}: {', '.join(question.name for question in pick.questions)}"
        yield from (f"    {name}" for name in pick.cells)
    if choice.left:
        yield from _some("  do not fit", [question.name for question in choice.left])
    if choice.unknown:
        yield from _some("  of unknown cost", [question.name for question in choice.unknown])
    yield f"  {duration_text(choice.seconds)} in all, one run after the other"


def estimate_lines(to_do: Sequence[RunStatus], records: Sequence[Recorded]) -> list[str]:
    """Return what the runs to do will take, as far as runs like them are on record."""
    if not to_do:
        return ["nothing to train"]
    found = estimate(to_do, records)
    known = found.runs - found.unknown
    if known == 0:
        return ["unknown: no run of these datasets and models is recorded yet; --measure tries a few steps"]
    devices = " and ".join(found.devices)
    time, size = duration_text(found.seconds), size_text(found.size)
    lines = [
        f"{time} of training, one run after the other; {size} on disk",
        f"from {found.records} recorded runs on {devices}",
    ]
    if found.unknown:
        lines.append(f"without {found.unknown} runs of which no like is recorded: unknown")
    return lines


def _cell_lines(runs: Sequence[RunStatus]) -> Iterator[str]:
    by_cell: dict[str, list[RunStatus]] = {}
    for run in runs:
        by_cell.setdefault(run.cell.name, []).append(run)
    for name, group in by_cell.items():
        states = {run.state for run in group}
        if len(states) == 1:
            yield f"  {name}  {group[0].state}"
        else:
            yield f"  {name}  " + ", ".join(f"{run.seed} {run.state}" for run in group)


def _summary(traced: Trace) -> str:
    values = traced.values
    note = "; a stand-in, never compared with the paper" if traced.planned.stand_in else ""
    if not values:
        return f"no value yet from {len(traced.runs)} seeds{note}"
    mean = sum(values) / len(values)
    spread = ""
    if len(values) > 1:
        spread = f" ± {(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5:.4g}"
    return f"{mean:.6g}{spread} over {len(values)} of {len(traced.runs)} seeds{note}"


def _source_lines(sources: Sequence[dict[str, Any]]) -> Iterator[str]:
    for source in sources[:MOST_SOURCES]:
        yield f"{source.get('name')} sha256 {source.get('sha256')}"
    if len(sources) > MOST_SOURCES:
        yield f"... and {len(sources) - MOST_SOURCES} more files, listed in manifest.json"


def _yaml(data: dict[str, Any]) -> list[str]:
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100).splitlines()


def _run_lines(run: TracedRun) -> Iterator[str]:
    value = f"{run.value:.6g} (epoch {run.epoch})" if run.value is not None else run.reason
    yield f"  seed {run.status.seed}: {value}"
    yield f"    folder   {run.folder}"
    if run.status.record is not None and run.status.state in FINISHED:
        yield from (f"    {line}" for line in _record_lines(run.status.record))
    yield f"    log      {', '.join(map(str, run.logs)) or 'none kept'}"
    yield f"    redo     {run.command}"


def _record_lines(record: dict[str, Any]) -> Iterator[str]:
    git, environment = record["git"], record["environment"]
    dirty = {True: ", with changes", False: ", clean", None: ""}[git["dirty"]]
    resumed = ", resumed" if record.get("resumed") else ""
    yield f"trained  {record['started']} to {record['finished']}, {duration_text(record['seconds'])}{resumed}"
    yield f"commit   {git['commit'] or 'unknown'}{dirty}"
    names = ("device", "cpu_capability", "precision", "memory_format")
    details = [str(environment[name]) for name in names] + [f"threads {environment['threads']}"]
    exact = "deterministic" if environment["deterministic"] else "not deterministic"
    yield f"device   {environment['device_name']} ({', '.join([*details, exact])})"
    libraries = ", ".join(f"{name} {version}" for name, version in environment["libraries"].items() if version)
    yield f"versions python {environment['python']}, {libraries}"
    yield f"weights  sha256 {record['weights_sha256']}"
    for entry in record.get("adopted", []):
        yield f"adopted  from {entry['from']}: {entry['reason']}"
