"""How far a benchmark is, in lines and as JSON data: the texts of ``counterpoise plan``, ``status`` and ``gc``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from counterpoise.comparability import OTHER
from counterpoise.components import component
from counterpoise.judging.gate import Comparability, comparability_of
from counterpoise.papers.head import OWN
from counterpoise.papers.paper import Paper
from counterpoise.planning.plan import Plan, PreparedDataset
from counterpoise.reporting.words import counted
from counterpoise.results.explained import Question
from counterpoise.results.layout import Layout, LayoutCell, LayoutValue
from counterpoise.runs.devices import Device
from counterpoise.runs.estimate import Recorded, estimate, read_recorded
from counterpoise.runs.layout import layout_of
from counterpoise.runs.status import PREPARED, Orphan, RunStatus, State, run_status

MOST_LINES = 20
MOST_BUSY = 12
# No two accuracies in percent differ by more.
WHOLE_SCALE = 100.0


def plan_lines(
    plan: Plan,
    root: Path,
    cells: bool,
    runs: Sequence[RunStatus],
    records: Sequence[Recorded],
    downloads: Mapping[str, str],
    notes: Sequence[str] = (),
    how: str = "",
) -> Iterator[str]:
    """Yield what a plan comes to: runs to do and there, data to prepare, time, memory and disk.

    Args:
        cells: also list them one by one.
        downloads: what is to be fetched, by the name of an unprepared dataset.
        notes: further lines of the estimate.
        how: where the estimate's numbers are from, if not from runs that are recorded here.
    """
    benchmark = plan.benchmark
    counts = Counter(run.state for run in runs)
    to_do = [run for run in runs if not run.finished]
    yield f"{benchmark.name}: {benchmark.title} ({plan.path})"
    yield from _block("tables", _table_lines(plan))
    yield f"  seeds      {', '.join(map(str, plan.seeds))}; selection {benchmark.selection}"
    yield f"  cells      {len(plan.cells)}"
    yield f"  runs       {len(runs)}: {len(to_do)} to do, {len(runs) - len(to_do)} there ({_counts(counts)})"
    needed = {run.cell.data_of(run.seed) for run in to_do}
    yield from _block("data", _data_lines(plan, root, downloads, needed))
    yield from _block("disk", _disk_lines(plan, root, needed))
    yield from _block("estimate", [*estimate_lines(to_do, records, how), *notes])
    yield from _block("memory", _memory_lines(plan, to_do))
    yield from _block("verdicts", power_lines(plan, root))
    if cells:
        yield "cells, with the state of each seed:"
        yield from _cell_lines(runs)


def plan_data(plan: Plan, runs: Sequence[RunStatus]) -> dict[str, Any]:
    """Return what ``plan --json`` prints."""
    return {
        **status_data(plan, runs),
        "file": str(plan.path),
        "seeds": list(plan.seeds),
        "selection": plan.benchmark.selection,
        "tables": [f"{paper}.{table}" for paper, table in plan.tables],
        "cells": [cell.name for cell in plan.cells],
        "datasets": [data.directory.name for data in plan.datasets],
    }


def status_data(plan: Plan, runs: Sequence[RunStatus]) -> dict[str, Any]:
    """Return what ``status --json`` prints: counts by state, and every run that is not finished."""
    counts = Counter(str(run.state) for run in runs)
    return {
        "benchmark": plan.benchmark.name,
        "runs": {"planned": len(runs), **dict(sorted(counts.items()))},
        "unfinished": [
            {"cell": run.cell.name, "seed": run.seed, "state": str(run.state), "detail": run.detail, **run.progress}
            for run in runs
            if not run.finished
        ],
    }


def progress_lines(plan: Plan, runs: Sequence[RunStatus], now: float) -> Iterator[str]:
    """Yield what ``status --watch`` prints: counts, the runs in training with their epochs, and the time left.

    ``now`` is the time in seconds since 1970.
    """
    counts = Counter(run.state for run in runs)
    done = sum(run.finished for run in runs)
    yield f"{plan.benchmark.name}: {done} of {len(runs)} runs finished ({_counts(counts)})"
    busy = [run for run in runs if run.state is State.TRAINING]
    left = 0.0
    for run in busy:
        seconds = run.progress["seconds_per_epoch"] * (run.progress["epochs"] - run.progress["epoch"])
        left = max(left, seconds)
    for run in busy[:MOST_BUSY]:
        epoch, epochs, heard = (run.progress[name] for name in ("epoch", "epochs", "at"))
        silent = f", last heard of {duration_text(now - heard)} ago" if now - heard > 60 else ""
        yield f"  {run.cell.name.rpartition('.')[0]} seed {run.seed}: epoch {epoch} of {epochs}{silent}"
    if len(busy) > MOST_BUSY:
        yield f"  and {len(busy) - MOST_BUSY} more in training"
    waiting = [run for run in runs if not run.finished and run.state is not State.TRAINING]
    per_run = [run.record.seconds for run in runs if run.record is not None and run.finished]
    if waiting and busy and per_run:
        left += sum(per_run) / len(per_run) * len(waiting) / len(busy)
    if busy and (per_run or not waiting):
        yield f"  about {duration_text(left)} left, with {len(busy)} at a time"


def question_lines(plan: Plan, root: Path, question: Question) -> Iterator[str]:
    """Yield what an explanation would run: its flips, how much of each is there, and how long the rest takes."""
    yield question.name
    for flip in question.flips:
        change = f"{flip.title} from {flip.before} to {flip.after}" if flip.before else flip.title
        yield f"  {change}: {flip.cell or flip.reason}"
    runs = [run_status(root, plan.cell(name), seed) for name in question.cells for seed in plan.seeds]
    to_do = [run for run in runs if not run.finished]
    yield f"  runs       {len(runs)}: {len(to_do)} to do, {len(runs) - len(to_do)} there"
    yield from _block("estimate", estimate_lines(to_do, read_recorded(root)))


def status_lines(plan: Plan, runs: Sequence[RunStatus], orphans: Sequence[Orphan]) -> Iterator[str]:
    """Yield what ``counterpoise status`` prints: counts by state, every run that is not well, and orphans."""
    counts = Counter(run.state for run in runs)
    yield f"{plan.benchmark.name}: {len(runs)} runs of {len(plan.cells)} cells: {_counts(counts)}"
    for state in (State.BROKEN, State.FAILED, State.DIVERGED, State.TRAINING, State.INTERRUPTED):
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


def _data_lines(plan: Plan, root: Path, downloads: Mapping[str, str], needed: Collection[PreparedDataset]) -> list[str]:
    prepared, lines = [], []
    for data in plan.datasets:
        name = data.directory.relative_to(PREPARED)
        if is_prepared(data, root):
            prepared.append(f"{name}: prepared")
        elif data in needed:
            lines.append(f"{name}: to prepare; {downloads.get(data.name, 'downloads unknown')}")
        else:
            prepared.append(f"{name}: not there, and not needed: its runs are done")
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


def memory_notes(
    memory: Mapping[str, float], device: Device, parts: Mapping[str, int | None] | None = None
) -> list[str]:
    """Return what there is to say of the memory that runs need, by dataset/model/method, on a device.

    ``parts`` has the ``micro_batch`` with which those that need too much would fit, None where there is none.
    """
    if not memory or device.memory is None:  # on a CPU what libraries take hides what a run does
        return []
    most = max(memory, key=lambda name: memory[name])
    lines = [f"at most {size_text(memory[most])} of memory in use by one run ({most}), before what allocators waste"]
    large = dict.fromkeys(name.rpartition("/")[0] for name, size in memory.items() if size > device.memory)
    room = f"the device has {size_text(device.memory)}"
    lines.append(f"{room}: too little for methods on {', '.join(large)}" if large else room)
    methods: dict[tuple[int, str], list[str]] = {}
    for name, size in (parts or {}).items():
        model, _, method = name.rpartition("/")
        if size is not None:
            methods.setdefault((size, model), []).append(method)
    models: dict[tuple[int, str], list[str]] = {}  # those with the same size and methods are told together
    for (size, model), of_model in methods.items():
        models.setdefault((size, ", ".join(of_model)), []).append(model)
    for (size, names), alike in models.items():
        lines.append(f"with 'micro_batch: {size}' in the protocol, {names} would fit on {', '.join(alike)}")
    return lines


def _disk_lines(plan: Plan, root: Path, needed: Collection[PreparedDataset]) -> list[str]:
    """Return what the data takes that is to be prepared: its arrays, and the raw files where their size is known."""
    from counterpoise.planning.forms import form_of

    missing = [data for data in plan.datasets if data in needed and not is_prepared(data, root)]
    if not missing:
        return []
    forms = {data: form_of(root, plan.resolver.configs, data) for data in missing}
    known = [form for form in forms.values() if form is not None]
    # Files of one's own, which nobody publishes, are there already.
    raw = {
        data.component: form.raw_bytes
        for data, form in forms.items()
        if form is not None and component("dataset", data.component).info.modalities
    }
    size = sum(found or 0 for found in raw.values())
    lines = []
    if known:
        arrays = f"{size_text(sum(form.nbytes for form in known))} of arrays to prepare"
        lines.append(arrays + (f", from {size_text(size)} of raw files" if size else ""))
    by_seed = [{cell.data_of(seed) for cell in plan.cells} for seed in plan.seeds]
    largest = max(sum(form.nbytes for data, form in forms.items() if form and data in of_seed) for of_seed in by_seed)
    if largest < sum(form.nbytes for form in known):
        lines.append(
            f"{size_text(largest)} of them at a time where seeds run in turn, each on its fold: docs/datasets.md"
        )
    unsized = ", ".join(name for name, found in raw.items() if found is None)
    formless = ", ".join(dict.fromkeys(data.component for data, form in forms.items() if form is None))
    lines += [f"without the raw files of {unsized}: their size is not published"] if unsized else []
    lines += [f"{'without' if known else 'unknown:'} {formless}: nothing says how large it is"] if formless else []
    return lines


def estimate_lines(to_do: Sequence[RunStatus], records: Sequence[Recorded], how: str = "") -> list[str]:
    """Return what the runs to do will take, as far as runs like them are on record (or counted, as ``how`` says)."""
    if not to_do:
        return ["nothing to train"]
    found = estimate(to_do, records)
    known = found.runs - found.unknown
    if known == 0:
        return ["unknown: no run of these datasets and models is recorded yet; --measure tries a few steps"]
    devices = " and ".join(found.devices)
    time, size = duration_text(found.seconds), f"; {size_text(found.size)} on disk" if found.size else ""
    patient = any(run.cell.config["protocol"]["patience"] is not None for run in to_do)
    bound = "at most, since all epochs are counted and patience may end a run before; " if patient else ""
    lines = [
        f"{time} of training, one run after the other{size}",
        how or f"{bound}from {found.records} recorded runs on {devices}",
    ]
    if found.unknown:
        lines.append(f"without {found.unknown} runs of which no like is recorded: unknown")
    return lines


def power_lines(plan: Plan, root: Path) -> list[str]:
    """Return the verdicts to expect for the plan's seeds if each paper is exactly right, by the spread over seeds.

    The spread is what the published records of ``root`` have in the same tables, and where none has, assumed ones.
    """
    lines: list[str] = []
    layout = layout_of(plan, root)
    for name, paper in plan.papers.items():
        if paper.is_own:
            lines += _own_power_lines(plan, paper)
            continue
        gates = {
            (v.table, v.row, v.column): _comparability(layout, paper, v, layout.cells[v.cell])
            for v in layout.values_of(name)
            if v.cell is not None and not v.stand_in
        }
        places, other = set(gates), {place for place, gate in gates.items() if gate.level == OTHER}
        margins = [
            margin
            for table, row, column in sorted(places - other)
            if row in paper.table(table).row_ids
            and paper.table(table).value(row, column).kind == "number"
            and paper.table(table).column(column).unit == "percent"
            and (margin := paper.table(table).margin(column, paper)) is not None
        ]
        if not margins:
            lines.append(f"{name}: no number here is comparable in level with the paper's")
            continue
        # Here: SciPy takes as long as all the rest.
        from counterpoise.judging.power import ASSUMED, expected_verdicts
        from counterpoise.judging.statistics import two_digits

        known = _published_spreads(root, paper, {table for table, _, _ in places})
        spreads = list(known) or list(ASSUMED)
        found = expected_verdicts(margins, len(plan.seeds), paper.printed_runs, paper.alpha, spreads)
        if not found:
            lines.append(f"{name}: one seed has no spread to judge {len(margins)} numbers by")
            continue
        lines.append(f"{name}: of {len(margins)} comparable numbers, if the paper is exactly right, with a spread of")
        lines += [
            f"  {one.std:.2g} points{known.get(one.std, '')}: {one.within:.0f} within the margin, "
            f"{one.deviates:.1f} deviate by chance, "
            f"{one.neither:.0f} open; finds gaps from {two_digits(one.gap)} on"
            for one in found
        ]
    return lines


def _comparability(layout: Layout, paper: Paper, value: LayoutValue, cell: LayoutCell) -> Comparability:
    """Return what is known of a number before anything has run; of data that is prepared, the size of its test set."""
    data, group = layout.data[cell.data], paper.table(value.table).group(value.row, value.column)
    return comparability_of(paper, group, value, cell, data, data.splits.get("test"))


def _published_spreads(root: Path, paper: Paper, tables: Container[str]) -> dict[float, str]:
    """Return the median spread over seeds of each record's percentages in ``tables``, and where it is from."""
    from counterpoise.results.result_set import PUBLISHED, load_result_set

    found = {}
    for path in sorted((root / PUBLISHED).glob("*/layout.json")):
        numbers = load_result_set(path.parent.name, root).numbers
        spreads = [
            number.seeds.std
            for (of, table, _, column), number in numbers.items()
            if of == paper.paper and table in tables and paper.table(table).column(column).unit == "percent"
            if not number.stand_in and number.seeds.std
        ]
        if spreads:
            found[median(spreads)] = f" (as in the record {path.parent.name})"
    return found


def _own_power_lines(plan: Plan, paper: Paper) -> Iterator[str]:
    """Yield from which size on a difference between two rows of one's own tables is found."""
    from counterpoise.judging.power import ASSUMED
    from counterpoise.judging.statistics import detectable_difference, two_digits

    n = len(plan.seeds)
    for table in paper.tables:
        columns: dict[str, int] = Counter(
            v.column for v in plan.values if (v.paper, v.table) == (OWN, table) and v.cell
        )
        pairs = sum(rows * (rows - 1) // 2 for rows in columns.values())
        if n < 2 or not pairs:
            yield f"{OWN}.{table}: {'one seed' if n < 2 else 'one row'} has nothing to compare rows by"
            continue
        # A difference of two runs has the spread of both, and is corrected for all pairs of the table.
        found = {std: detectable_difference(std, n, n, paper.alpha / pairs) for std in ASSUMED}
        yield f"{OWN}.{table}: of {counted(pairs, 'pair')} of rows, with power 80 %, differences in points are found"
        yield "  " + ", ".join(
            f"from {two_digits(gap)} on (spread {std:g})" if gap < WHOLE_SCALE else f"of no size (spread {std:g})"
            for std, gap in found.items()
        )


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
