"""The results of a benchmark: what ran and what came out. The seam between running and judging.

A folder of results holds, beside what is derived from them,

* ``layout.json``: what the benchmark asks for (:mod:`counterpoise.results.layout`);
* ``values.csv``: the results table, one row per value (:data:`COLUMNS`), and one without a value for each run that
  has none, with its status;
* ``runs.json``: one entry per planned run: how it ended, and its record; its last block, ``times``, is the one place
  in which results of the same runs made once more differ;
* ``correct.npz``: which test examples each run got right, as packed bits;
* ``details.npz``: confusion counts and reliability bins, for the pages of the report.

Judging, tables, figures, report, publication and verification read these and nothing else. Series over epochs and
steps (``history.csv``, ``diagnostics.csv``, measurements) stay in the runs' own folders, below ``runs``.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from counterpoise.errors import UserError
from counterpoise.files import read_json, read_text, write_bytes, write_json, write_text
from counterpoise.metrics import METRICS, OF_PREDICTIONS
from counterpoise.path_names import CellName, FileName, RelativePath, Seed, Sha256, printable
from counterpoise.results.arrays import pack_arrays, read_arrays
from counterpoise.results.layout import Layout, LayoutCell
from counterpoise.results.record import RunRecord
from counterpoise.results.seeds import SeedValues
from counterpoise.validation import validate

LAYOUT, VALUES, RUNS, CORRECT, DETAILS = ("layout.json", "values.csv", "runs.json", "correct.npz", "details.npz")
FILES = (LAYOUT, VALUES, RUNS, CORRECT, DETAILS)
COLUMNS = (
    "dataset",
    "model",
    "method",
    "variant",
    "protocol",
    "key",
    "seed",
    "status",
    "selection",
    "epoch",
    "output",
    "metric",
    "value",
    "n_test",
)
PROBED = "last"
"""The selection that a probe belongs to: it is trained on the encoders of the last epoch."""
GROUPS = "groups"
"""What the arrays in ``correct.npz`` are called that name the groups of test examples, before ``|`` and the data."""
Status = Literal["completed", "diverged", "failed", "out_of_memory", "interrupted", "missing"]
Value = tuple[str, int | None, str, str, float]
"""Selection, epoch, output, metric and value: what a row of the results table says besides its run."""
TIMES = ("attempts", "finished", "seconds")
"""What a record says of when, where and for how long a run was trained: no result, and no run repeats it."""


class RunEntry(BaseModel):
    """A planned run: how it ended and why, what its record says, where its files are.

    ``folder`` is relative to the results' ``runs`` folder. ``files`` are the digests that the record names.
    ``redo`` is the command that trains it once more. ``probe`` is the name, without suffix, of the files of the linear
    probe of its encoders, where there is one; ``measurements`` are those of what was measured on its weights.
    ``basis`` is the digest of what its values were computed from and by: files, settings and the source of the
    metrics; runs with the same basis have the same values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: CellName
    seed: Seed
    status: Status
    reason: str = ""
    n_test: int | None = Field(None, gt=0)
    record: dict[str, Any] = {}
    files: dict[FileName, Sha256] = {}
    logs: tuple[RelativePath, ...] = ()
    redo: str = ""
    probe: FileName | Literal[""] = ""
    measurements: tuple[FileName, ...] = ()
    basis: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run needs no more training."""
        return self.status in ("completed", "diverged")

    @property
    def failure(self) -> str:
        """What became of a run that was tried and has no result, in words; empty for any other run."""
        failed = self.status in ("failed", "out_of_memory", "interrupted")
        return f"{self.status.replace('_', ' ')} ({self.reason})" if failed else ""

    @property
    def folder(self) -> str:
        """Where the run's files are, below the folder of runs."""
        return f"{self.cell}/seed-{self.seed}"


class _Runs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = Field(alias="schema")
    runs: tuple[RunEntry, ...]
    times: dict[RelativePath, dict[str, Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Results:
    """What the runs of a benchmark gave.

    ``values`` is the results table; ``correct`` maps (cell, seed, selection, output) to one bool per test example,
    in the order of the test split; ``details`` maps the same to arrays by name (``confusion``: ``(C, C)`` counts,
    labels down; ``reliability``: ``(bins, 3)`` of count, mean confidence, accuracy). ``groups`` says, by the name of
    prepared data, which of its test examples belong together (one video, one speaker), where the data knows.
    ``runs_folder`` is where the
    runs' own files are.
    """

    layout: Layout
    values: pd.DataFrame
    runs: tuple[RunEntry, ...]
    correct: Mapping[tuple[str, int, str, str], NDArray[np.bool_]] = field(default_factory=dict)
    details: Mapping[tuple[str, int, str, str], Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    runs_folder: Path = Path("results/runs")

    @functools.cached_property
    def runs_of(self) -> dict[str, list[RunEntry]]:
        """The planned runs of each cell, by the cell's name, in the order of seeds."""
        by_cell: dict[str, list[RunEntry]] = {name: [] for name in self.layout.cells}
        for run in self.runs:
            by_cell[run.cell].append(run)
        return {name: sorted(runs, key=lambda run: run.seed) for name, runs in by_cell.items()}

    def cell(self, name: str) -> LayoutCell:
        """Return a cell of the layout."""
        return self.layout.cells[name]

    def n_test(self, cell: str) -> int | None:
        """Return the size of a cell's test set, None before any run has finished."""
        return next((run.n_test for run in self.runs_of[cell] if run.n_test), None)

    def seeds(self, cell: str, selection: str, output: str, metric: str, scale: float = 1.0) -> SeedValues:
        """Return a metric of a cell over its seeds, times ``scale``; a probe's is always that of :data:`PROBED`."""
        if output.startswith("probe:"):
            selection = PROBED
        runs = self.runs_of[cell]
        completed = [run.seed for run in runs if run.status == "completed"]
        there = self._numbers.get((cell, selection, output, metric), {})
        absent = ""
        if any(seed not in there for seed in completed):
            absent = self._lacking(cell, selection, output, metric)
        return SeedValues(
            finished={seed: there[seed] * scale for seed in completed if seed in there},
            diverged={run.seed: run.reason or "no reason recorded" for run in runs if run.status == "diverged"},
            missing=tuple(run.seed for run in runs if not run.finished),
            absent=absent,
            failed={run.seed: run.failure for run in runs if run.failure and run.status != "interrupted"},
            interrupted={run.seed: run.failure for run in runs if run.status == "interrupted"},
        )

    @functools.cached_property
    def _numbers(self) -> dict[tuple[str, str, str, str], dict[int, float]]:
        """Value by seed, by (cell, selection, output, metric)."""
        by_output: dict[tuple[str, str, str, str], dict[int, float]] = {}
        for (cell, seed), values in values_by_run(self.values).items():
            for selection, _, output, metric, value in values:
                by_output.setdefault((cell, selection, output, metric), {})[seed] = value
        return by_output

    def _lacking(self, cell: str, selection: str, output: str, metric: str) -> str:
        """Say which part of (selection, output, metric) no run of a cell has."""
        known = [name[1:] for name in self._numbers if name[0] == cell]
        if not any(found[0] == selection for found in known):
            return f"the runs have no selection '{selection}'"
        if not any(found[:2] == (selection, output) for found in known):
            return f"the runs have no output '{output}'"
        return f"the runs have no metric '{metric}' for output '{output}'"

    def outputs(self, cell: str) -> list[str]:
        """Return the outputs that a cell's runs predict, ``joint`` first and probes last.

        What is measured of the training as a whole is a value of ``joint``, too, and makes it no output.
        """
        return self._outputs.get(cell, [])

    @functools.cached_property
    def _outputs(self) -> dict[str, list[str]]:
        trained: dict[str, set[str]] = {}
        for cell, _, output, metric in self._numbers:
            # A metric that is not known here is somebody else's, of predictions.
            if metric not in METRICS or METRICS[metric].source in OF_PREDICTIONS:
                trained.setdefault(cell, set()).add(output)
        return {
            cell: sorted(names, key=lambda name: (name != "joint", name.startswith("probe:"), name))
            for cell, names in trained.items()
        }


def write_results(results: Results, folder: Path) -> None:
    """Write the files of :data:`FILES` into ``folder``, each atomically; equal results give equal bytes."""
    folder = Path(folder)
    write_json(folder / LAYOUT, results.layout.model_dump(mode="json", by_alias=True), sort_keys=False)
    write_text(folder / VALUES, values_text(results.values))
    entries = [run.model_dump(mode="json") for run in results.runs]
    times = {}
    for run, entry in zip(results.runs, entries, strict=True):
        if run.record:
            times[run.folder] = {name: entry["record"].pop(name) for name in TIMES}
    write_json(folder / RUNS, {"schema": 2, "runs": entries, "times": times}, sort_keys=False)
    packed = {}
    for (cell, seed, selection, output), right in sorted(results.correct.items()):
        packed[_array_name(cell, seed, selection, output)] = np.packbits(right)
    packed |= {f"{GROUPS}|{data}": groups for data, groups in sorted(results.groups.items())}
    write_bytes(folder / CORRECT, pack_arrays(packed))
    arrays = {
        f"{_array_name(*place)}|{kind}": array
        for place, kinds in sorted(results.details.items())
        for kind, array in sorted(kinds.items())
    }
    write_bytes(folder / DETAILS, pack_arrays(arrays))


def read_results(folder: Path, runs_folder: Path | None = None) -> Results:
    """Read what :func:`write_results` wrote.

    Args:
        runs_folder: where the runs' own files are; default: ``runs`` in the folder, as in a published record, or
            else the project's ``results/runs``.

    Raises:
        UserError: a file is missing, torn, of another schema, or does not fit the others.
    """
    folder = Path(folder)
    where = folder / LAYOUT
    layout = validate(Layout, read_json(where, "layout of results"), str(where))
    where = folder / RUNS
    listed = validate(_Runs, read_json(where, "list of runs"), str(where))
    runs = tuple(_with_times(run, listed.times) for run in listed.runs)
    for run in runs:
        if run.cell not in layout.cells:
            raise UserError(f"{where}: the cell '{run.cell}' is not in {LAYOUT}")
        if run.record:  # results of another engine have none
            validate(RunRecord, run.record, f"{where}: record of {run.cell} seed {run.seed}")
    by_run = {(run.cell, run.seed): run for run in runs}
    if len(by_run) < len(runs):
        raise UserError(f"{where}: a run is listed twice")
    values = read_values(folder / VALUES)
    _check_values(values, by_run, folder / VALUES)
    sizes = {name: run.n_test for name, run in by_run.items()}
    correct, groups = {}, {}
    for name, packed in read_arrays(folder / CORRECT).items():
        if name.startswith(f"{GROUPS}|"):
            data = name.removeprefix(f"{GROUPS}|")
            if data not in layout.data or packed.ndim != 1 or packed.dtype.kind not in "iu":
                raise UserError(f"{folder / CORRECT}: '{printable(name)}' are no groups of data of {LAYOUT}")
            groups[data] = packed.astype(np.int64)
            continue
        place = _place(name, folder / CORRECT)
        size = sizes.get(place[:2])
        if size is None or packed.dtype != np.uint8 or packed.shape != (math.ceil(size / 8),):
            raise UserError(f"{folder / CORRECT}: '{name}' does not fit a finished run of {RUNS}")
        correct[place] = np.unpackbits(packed, count=size).astype(bool)
    details: dict[tuple[str, int, str, str], dict[str, NDArray[Any]]] = {}
    for name, array in read_arrays(folder / DETAILS).items():
        rest, _, kind = name.rpartition("|")
        place = _place(rest, folder / DETAILS)
        columns = {"confusion": array.shape[:1], "reliability": (3,)}.get(kind)
        if place[:2] not in sizes or array.ndim != 2 or array.shape[1:] != columns:
            raise UserError(f"{folder / DETAILS}: '{name}' does not fit a run of {RUNS}")
        details.setdefault(place, {})[kind] = array
    if runs_folder is None:
        runs_folder = folder / "runs" if (folder / "runs").is_dir() else folder.parent / "runs"
    return Results(
        layout=layout,
        values=values,
        runs=runs,
        correct=correct,
        details=details,
        groups=groups,
        runs_folder=runs_folder,
    )


def combined(layout: Layout, runs: Iterable[tuple[RunEntry, Results]]) -> Results:
    """Return results of the given runs, each with what the results beside it have of it.

    Args:
        layout: has the cells of all of them.
        runs: none twice. Their own files stay where they are: the ``runs_folder`` is that of the first.
    """
    chosen = list(runs)
    sources = {id(source): source for _, source in chosen}
    of_run = {(run.cell, run.seed): id(source) for run, source in chosen}
    values = {number: values_by_run(source.values) for number, source in sources.items()}
    rows = []
    for run, source in chosen:
        rows += rows_of_run(layout.cells[run.cell], run, values[id(source)].get((run.cell, run.seed), ()))
    of = [(number, source) for number, source in sources.items()]
    return Results(
        layout=layout,
        values=as_table(rows),
        runs=tuple(run for run, _ in chosen),
        correct={p: found for n, source in of for p, found in source.correct.items() if of_run.get(p[:2]) == n},
        details={p: found for n, source in of for p, found in source.details.items() if of_run.get(p[:2]) == n},
        groups={name: found for _, source in of for name, found in source.groups.items() if name in layout.data},
        runs_folder=chosen[0][1].runs_folder,
    )


def _with_times(run: RunEntry, times: Mapping[str, Mapping[str, Any]]) -> RunEntry:
    """Return a run whose record has its part of the block of times again."""
    if not run.record:
        return run
    return run.model_copy(update={"record": {**run.record, **times.get(run.folder, {})}})


def _check_values(values: pd.DataFrame, runs: Mapping[tuple[str, int], RunEntry], where: Path) -> None:
    """Refuse a results table with a row that is not of a listed run, or says of it what the list does not."""
    for line, (cell, seed, status) in enumerate(zip(cell_names(values), values["seed"], values["status"], strict=True)):
        run = None if pd.isna(seed) else runs.get((cell, int(seed)))
        if run is None or run.status != status:
            found = "is not in" if run is None else f"is '{run.status}' in"
            raise UserError(
                f"{where}:{line + 2}: '{status}', but the run '{printable(cell)}', seed {seed}, {found} {RUNS}"
            )


def values_text(values: pd.DataFrame) -> str:
    """Return the results table as CSV text: twelve significant digits, an absent value empty."""
    return values.to_csv(index=False, columns=list(COLUMNS), float_format="%.12g", lineterminator="\n")


def cell_names(values: pd.DataFrame) -> list[str]:
    """Return the name of the cell that each row of a results table is of."""
    columns = (values[name] for name in ("dataset", "model", "method", "variant", "key"))
    return [
        f"{dataset}/{model}/{method}-{variant}.{key}"
        for dataset, model, method, variant, key in zip(*columns, strict=True)
    ]


def values_by_run(table: pd.DataFrame) -> dict[tuple[str, int], list[Value]]:
    """Return the values of each run that has any, by the cell's name and the seed."""
    by_run: dict[tuple[str, int], list[Value]] = {}
    table = table.dropna(subset=["value"])
    columns = (table[name] for name in ("seed", "selection", "epoch", "output", "metric", "value"))
    for cell, seed, selection, epoch, output, metric, value in zip(cell_names(table), *columns, strict=True):
        whole = None if pd.isna(epoch) else int(epoch)
        by_run.setdefault((cell, int(seed)), []).append((selection, whole, output, metric, float(value)))
    return by_run


def rows_of_run(cell: LayoutCell, run: RunEntry, values: Iterable[Value]) -> list[dict[str, Any]]:
    """Return a run's rows of the results table, for :func:`as_table`: one per value, or one without a value."""
    named = {name: getattr(cell, name) for name in COLUMNS[:6]} | {"seed": run.seed, "status": run.status}
    names = ("selection", "epoch", "output", "metric", "value")
    rows = [{**named, **dict(zip(names, value, strict=True)), "n_test": run.n_test} for value in values]
    return rows or [named]


def as_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows with some of :data:`COLUMNS` as a results table with all of them, typed.

    Values have twelve significant digits, as in the file: what is judged is the same before and after writing.
    """
    table = _typed(pd.DataFrame(list(rows), columns=list(COLUMNS)))
    table["value"] = [float(f"{value:.12g}") for value in table["value"]]
    return table


def read_values(path: Path) -> pd.DataFrame:
    """Read a results table.

    Raises:
        UserError: it is missing, lacks a column, or a number in it is none; names the line.
    """
    text = read_text(path, "results table")
    try:
        values = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, index_col=False).fillna("")
    except ValueError as error:  # a parser error is a ValueError
        raise UserError(f"{path}: the results table cannot be read: {' '.join(str(error).split())}") from error
    lacking = [column for column in COLUMNS if column not in values.columns]
    if lacking:
        raise UserError(f"{path}: has no column '{lacking[0]}'; must have {', '.join(COLUMNS)}")
    for column in ("seed", "epoch", "value", "n_test"):
        numbers = pd.to_numeric(values[column].replace("", None), errors="coerce").to_numpy(dtype=float)
        sound = np.isfinite(numbers)
        if column != "value":
            sound &= (numbers >= 0) & (numbers < 2**63) & (numbers == np.floor(numbers))
        wrong = np.flatnonzero((values[column] != "").to_numpy() & ~sound)
        if len(wrong) > 0:
            line, kind = int(wrong[0]), "finite" if column == "value" else "whole"
            shown = printable(values[column][line])
            raise UserError(f"{path}:{line + 2}: '{column}' is '{shown}', must be a {kind} number")
    for column in ("selection", "output", "metric", "protocol"):
        wrong = np.flatnonzero(~values[column].str.fullmatch(r"[\w:./+-]{0,200}").to_numpy(dtype=bool))
        if len(wrong) > 0:
            line = int(wrong[0])
            raise UserError(f"{path}:{line + 2}: '{column}' is '{printable(values[column][line])[:60]}', no such name")
    named = [*COLUMNS[:7], "selection", "output", "metric"]
    wrong = np.flatnonzero(((values["value"] != "") & (values[named] == "").any(axis=1)).to_numpy())
    if len(wrong) > 0:
        line = int(wrong[0])
        lacking = next(str(column) for column in named if values[column][line] == "")
        raise UserError(f"{path}:{line + 2}: has a value, but '{lacking}' is empty")
    twice = np.flatnonzero(values.duplicated([*COLUMNS[:4], "key", "seed", "selection", "output", "metric"]).to_numpy())
    if len(twice) > 0:
        raise UserError(f"{path}:{int(twice[0]) + 2}: this value is there twice")
    return _typed(values)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    table = table.loc[:, list(COLUMNS)].replace({"": None})
    for column in COLUMNS:
        if column in ("seed", "epoch", "n_test"):
            table[column] = pd.to_numeric(table[column]).astype("Int64")
        elif column == "value":
            table[column] = pd.to_numeric(table[column]).astype(float)
        else:  # text, and None where there is none: whatever pandas makes of strings, results in memory are as read
            text = table[column].astype(object)
            table[column] = text.where(text.notna(), None)
    return table


def _array_name(cell: str, seed: int, selection: str, output: str) -> str:
    return f"{cell}|{seed}|{selection}|{output}"


def _place(name: str, where: Path) -> tuple[str, int, str, str]:
    parts = name.split("|")
    if len(parts) != 4 or not parts[1].isdecimal():
        raise UserError(f"{where}: the array '{name}' must be called cell|seed|selection|output")
    return parts[0], int(parts[1]), parts[2], parts[3]
