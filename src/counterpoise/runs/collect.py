"""From a plan's runs to its results: every record read and checked, every metric computed, in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import GROUP
from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.identity import short_key, source_digest
from counterpoise.metrics import metrics_of
from counterpoise.planning.figures import measurement_name
from counterpoise.planning.plan import Cell, Plan
from counterpoise.results.agreement import agreement_values
from counterpoise.results.layout import Layout
from counterpoise.results.measure import Measured, measure_files
from counterpoise.results.record import RunRecord, data_problem, read_record
from counterpoise.results.run_files import DIAGNOSTICS, HISTORY, PREDICTIONS, RECORD, TIMINGS
from counterpoise.results.table import Results, RunEntry, Value, as_table, rows_of_run, values_by_run
from counterpoise.runs.failure import is_interrupted, read_failure
from counterpoise.runs.kept_data import described
from counterpoise.runs.layout import layout_of
from counterpoise.runs.redo import benchmark_options, redo_command, run_logs
from counterpoise.runs.run import RUNS, Run
from counterpoise.runs.status import State, run_status
from counterpoise.validation import validate

MEASURING = ("counterpoise.metrics", "counterpoise.results.measure", "counterpoise.results.diagnostics")
OF_SEVERAL = {metric.name for metric in metrics_of("agreement")}
"""Metrics that are made of more than one run's files: they are computed each time."""


def collect(plan: Plan, root: Path, previous: Results | None = None, *, cells: Sequence[Cell] | None = None) -> Results:
    """Return the results of a plan's runs under ``root``, whatever has finished of them.

    A run that is missing or failed is an entry without values. Values of runs whose files, settings and metrics are
    those of ``previous`` are taken from there; their files are checked all the same.

    Args:
        cells: other cells than the plan's own, which run with its seeds and settings.

    Raises:
        UserError: a run's files do not fit its record, or belong to another run; says what to do.
    """
    root, layout = Path(root), layout_of(plan, root, cells)
    known = _by_basis(previous)
    evaluation = plan.benchmark.evaluation.model_dump(mode="json")
    settings = {**evaluation, "source": source_digest(MEASURING)}
    again = " ".join(["counterpoise", "run", *benchmark_options(plan, root)])
    entries: list[RunEntry] = []
    each: list[tuple[RunEntry, Measured]] = []
    correct, details = {}, {}
    runs = [
        Run(cell=cell, seed=seed, root=root) for cell in (plan.cells if cells is None else cells) for seed in plan.seeds
    ]
    for run in runs:
        entry = _entry(plan, run)
        measured = Measured()
        if entry.status == "completed":
            mend = f"to mend it: rm -r {run.folder}, then {again}"
            problem = data_problem(
                RunRecord.model_validate(entry.record), layout.data[run.data.directory.name].manifest
            )
            if problem:
                raise UserError(f"{run.folder / RECORD}: {problem}; {mend}")
            basis = short_key({"files": _files_behind(run, entry, mend), **settings})
            entry = entry.model_copy(update={"basis": basis})
            measured = known.get((entry.cell, entry.seed, basis)) or measure_files(
                run.folder, entry, **evaluation, mend=mend
            )
        entries.append(entry)
        each.append((entry, measured))
        for (selection, output), right in measured.correct.items():
            correct[entry.cell, entry.seed, selection, output] = right
        for (selection, output), arrays in measured.details.items():
            details[entry.cell, entry.seed, selection, output] = arrays
    of_several: dict[tuple[str, int], list[Value]] = {}
    for cell_name, seed, selection, output, metric, value in agreement_values(layout, correct):
        of_several.setdefault((cell_name, seed), []).append((selection, None, output, metric, value))
    rows: list[dict[str, Any]] = []
    for entry, measured in each:
        epochs = {selection: epoch for selection, epoch, *_ in measured.values}
        others = [(one[0], epochs[one[0]], *one[2:]) for one in of_several.get((entry.cell, entry.seed), ())]
        rows += rows_of_run(layout.cells[entry.cell], entry, [*measured.values, *others])
    return Results(
        layout=layout,
        values=as_table(rows),
        runs=tuple(entries),
        groups=_groups(layout, {run.data.directory.name: described(run.data, root) for run in runs}),
        correct=correct,
        details=details,
        runs_folder=root / RUNS,
    )


def _groups(layout: Layout, folders: Mapping[str, Path]) -> dict[str, NDArray[np.int64]]:
    """Return, by the name of prepared data, which test examples belong together: numbers from 0 of shape (n_test,).

    Data that says nothing of it has no entry.
    """
    found = {}
    for name, folder in folders.items():
        if GROUP in layout.data[name].manifest.get("extras", {}):
            data = PreparedData(folder, layout.data[name].manifest)
            # Only these: the other arrays may be tens of gigabytes, and no number here rests on them.
            data.verify(GROUP)
            _, found[name] = np.unique(data.array("test", GROUP), return_inverse=True)
    return found


def _entry(plan: Plan, run: Run) -> RunEntry:
    """Return how a run ended, by its record or by the note of its failure."""
    probe = plan.probe_of(run.cell)
    named = {
        "cell": run.cell.name,
        "seed": run.seed,
        "logs": tuple(path.as_posix() for path in run_logs(run.root, run.cell, run.seed)),
        "redo": redo_command(plan, run.root, run.cell, run.seed),
        "probe": probe if probe and (run.folder / f"{probe}.json").exists() else "",
        "measurements": tuple(
            name
            for name in sorted(map(measurement_name, plan.measured.get(run.cell.name, ())))
            if (run.folder / f"{name}.csv").exists()
        ),
    }
    if (run.folder / RECORD).exists():
        record = read_record(run.folder, run.cell.key, run.seed)
        found = {
            **named,
            "status": record.status,
            "reason": record.reason or "",
            "n_test": record.n_test,
            "record": record.as_json(),
            "files": record.files,
        }
        return validate(RunEntry, found, str(run.folder / RECORD))
    failure = read_failure(run.folder, run.cell.key, run.seed)
    if failure is not None:
        status = "interrupted" if is_interrupted(failure.reason) else failure.status
        return RunEntry(**named, status=status, reason=failure.reason)
    state = run_status(run.root, run.cell, run.seed)  # one that was stopped by Ctrl-C leaves its state and no note
    if state.state is State.INTERRUPTED:
        return RunEntry(**named, status="interrupted", reason=state.detail)
    return RunEntry(**named, status="missing")


def _files_behind(run: Run, entry: RunEntry, mend: str) -> dict[str, str]:
    """Return the digests of the files that a run's values are computed from, as they are now.

    Raises:
        UserError: predictions, history or diagnostics are not those that the record names; ``mend`` says what to do.
    """
    found = {}
    for name in sorted({PREDICTIONS, HISTORY, DIAGNOSTICS} & set(entry.files)):
        path = run.folder / name
        found[name] = sha256_file(path) if path.is_file() else ""
        if found[name] != entry.files[name]:
            state = "was changed or truncated: its digest is not the record's" if found[name] else "is not there"
            raise UserError(f"{path}: {state}; {mend}")
    # Times are in no record, because no run repeats them; what was made of a run's weights later is not, either.
    others = [TIMINGS, *([f"{entry.probe}.json", f"{entry.probe}.npz"] if entry.probe else [])]
    others += [f"{name}.csv" for name in entry.measurements]
    found.update({name: sha256_file(run.folder / name) for name in others if (run.folder / name).is_file()})
    return found


def _by_basis(previous: Results | None) -> dict[tuple[str, int, str], Measured]:
    """Return what completed runs gave, by cell, seed and basis."""
    if previous is None:
        return {}
    values = values_by_run(previous.values)
    found = {
        (run.cell, run.seed): Measured(
            values=[value for value in values.get((run.cell, run.seed), ()) if value[3] not in OF_SEVERAL]
        )
        for run in previous.runs
        if run.basis
    }
    for (cell, seed, selection, output), right in previous.correct.items():
        if (cell, seed) in found:
            found[cell, seed].correct[selection, output] = right
    for (cell, seed, selection, output), arrays in previous.details.items():
        if (cell, seed) in found:
            found[cell, seed].details[selection, output] = dict(arrays)
    basis = {(run.cell, run.seed): run.basis for run in previous.runs}
    return {(*place, basis[place]): measured for place, measured in found.items()}
