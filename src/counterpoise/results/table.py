"""The results of a benchmark: what ran and what came out. The seam between running and judging.

A folder of results holds, beside what is derived from them,

* ``layout.json``: what the benchmark asks for (:mod:`counterpoise.results.layout`);
* ``values.csv``: the results table, one row per value (:data:`COLUMNS`), and one without a value for each run that
  has none, with its status;
* ``runs.json``: one entry per planned run: how it ended, and its record;
* ``correct.npz``: which test examples each run got right, as packed bits;
* ``details.npz``: confusion counts and reliability bins, for the pages of the report.

Judging, tables, figures, report, publication and verification read these and nothing else. Series over epochs and
steps (``history.csv``, ``diagnostics.csv``, measurements) stay in the runs' own folders, below ``runs``.
"""

from __future__ import annotations

import functools
import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from counterpoise.errors import UserError
from counterpoise.files import read_json, sha256_file, write_bytes, write_json, write_text
from counterpoise.results.layout import CellName, Layout, LayoutCell
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
Status = Literal["completed", "diverged", "failed", "out_of_memory", "missing"]


class RunEntry(BaseModel):
    """A planned run: how it ended and why, what its record says, where its files are.

    ``folder`` is relative to the results' ``runs`` folder. ``files`` are the digests that the record names.
    ``redo`` is the command that trains it once more. ``basis`` is the digest of what its values were computed from
    and by: files, settings and the source of the metrics; runs with the same basis have the same values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: CellName
    seed: int = Field(ge=0)
    status: Status
    reason: str = ""
    n_test: int | None = Field(None, gt=0)
    record: dict[str, Any] = {}
    files: dict[str, str] = {}
    logs: tuple[str, ...] = ()
    redo: str = ""
    basis: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run needs no more training."""
        return self.status in ("completed", "diverged")

    @property
    def failure(self) -> str:
        """What became of a run that was tried and has no result, in words; empty for any other run."""
        failed = self.status in ("failed", "out_of_memory")
        return f"{self.status.replace('_', ' ')} ({self.reason})" if failed else ""

    @property
    def folder(self) -> str:
        """Where the run's files are, below the folder of runs."""
        return f"{self.cell}/seed-{self.seed}"


class _Runs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(alias="schema")
    runs: tuple[RunEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What the runs of a benchmark gave.

    ``values`` is the results table; ``correct`` maps (cell, seed, selection, output) to one bool per test example,
    in the order of the test split; ``details`` maps the same to arrays by name (``confusion``: ``(C, C)`` counts,
    labels down; ``reliability``: ``(bins, 3)`` of count, mean confidence, accuracy). ``runs_folder`` is where the
    runs' own files are.
    """

    layout: Layout
    values: pd.DataFrame
    runs: tuple[RunEntry, ...]
    correct: Mapping[tuple[str, int, str, str], NDArray[np.bool_]] = field(default_factory=dict)
    details: Mapping[tuple[str, int, str, str], Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    runs_folder: Path = Path("results/runs")

    @functools.cached_property
    def runs_of(self) -> dict[str, list[RunEntry]]:
        """The planned runs of each cell, by the cell's name, in the order of seeds."""
        found: dict[str, list[RunEntry]] = {name: [] for name in self.layout.cells}
        for run in self.runs:
            found[run.cell].append(run)
        return {name: sorted(runs, key=lambda run: run.seed) for name, runs in found.items()}

    def cell(self, name: str) -> LayoutCell:
        """Return a cell of the layout."""
        return self.layout.cells[name]

    def n_test(self, cell: str) -> int | None:
        """Return the size of a cell's test set, None before any run has finished."""
        return next((run.n_test for run in self.runs_of[cell] if run.n_test), None)

    def seeds(self, cell: str, selection: str, output: str, metric: str, scale: float = 1.0) -> SeedValues:
        """Return a metric of a cell over its seeds, times ``scale``."""
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
            failed={run.seed: run.failure for run in runs if run.failure},
        )

    @functools.cached_property
    def _numbers(self) -> dict[tuple[str, str, str, str], dict[int, float]]:
        """Value by seed, by (cell, selection, output, metric)."""
        found: dict[tuple[str, str, str, str], dict[int, float]] = {}
        table = self.values.dropna(subset=["value"])
        names = (
            table["dataset"]
            + "/"
            + table["model"]
            + "/"
            + table["method"]
            + "-"
            + table["variant"]
            + "."
            + table["key"]
        )
        columns = (names, table["selection"], table["output"], table["metric"], table["seed"], table["value"])
        for cell, selection, output, metric, seed, value in zip(*columns, strict=True):
            found.setdefault((cell, selection, output, metric), {})[int(seed)] = float(value)
        return found

    def _lacking(self, cell: str, selection: str, output: str, metric: str) -> str:
        """Say which part of (selection, output, metric) no run of a cell has."""
        known = [name[1:] for name in self._numbers if name[0] == cell]
        if not any(found[0] == selection for found in known):
            return f"the runs have no selection '{selection}'"
        if not any(found[:2] == (selection, output) for found in known):
            return f"the runs have no output '{output}'"
        return f"the runs have no metric '{metric}' for output '{output}'"

    def outputs(self, cell: str) -> list[str]:
        """Return the outputs that a cell's runs have values of, ``joint`` first and probes last."""
        names = {output for found, _, output, _ in self._numbers if found == cell}
        return sorted(names, key=lambda name: (name != "joint", name.startswith("probe:"), name))


def write_results(results: Results, folder: Path) -> None:
    """Write the files of :data:`FILES` into ``folder``, each atomically; equal results give equal bytes."""
    folder = Path(folder)
    write_json(folder / LAYOUT, results.layout.model_dump(mode="json", by_alias=True), sort_keys=False)
    write_text(folder / VALUES, values_text(results.values))
    entries = [run.model_dump(mode="json") for run in results.runs]
    write_json(folder / RUNS, {"schema": 1, "runs": entries}, sort_keys=False)
    packed = {}
    for (cell, seed, selection, output), right in sorted(results.correct.items()):
        packed[_array_name(cell, seed, selection, output)] = np.packbits(right)
    write_bytes(folder / CORRECT, _npz(packed))
    arrays = {
        f"{_array_name(*place)}|{kind}": array
        for place, kinds in sorted(results.details.items())
        for kind, array in sorted(kinds.items())
    }
    write_bytes(folder / DETAILS, _npz(arrays))


def read_results(folder: Path, runs_folder: Path | None = None) -> Results:
    """Read what :func:`write_results` wrote.

    Args:
        runs_folder: where the runs' own files are; default: ``runs`` in the folder (a published record), or the
            project's ``results/runs``.

    Raises:
        UserError: a file is missing, torn, of another schema, or does not fit the others.
    """
    folder = Path(folder)
    where = folder / LAYOUT
    layout = validate(Layout, read_json(where, "layout of results"), str(where))
    where = folder / RUNS
    runs = validate(_Runs, read_json(where, "list of runs"), str(where)).runs
    for run in runs:
        if run.cell not in layout.cells:
            raise UserError(f"{where}: the cell '{run.cell}' is not in {LAYOUT}")
    values = read_values(folder / VALUES)
    sizes = {(run.cell, run.seed): run.n_test for run in runs}
    correct = {}
    for name, packed in _read_npz(folder / CORRECT).items():
        place = _place(name, folder / CORRECT)
        size = sizes.get(place[:2])
        if size is None or packed.dtype != np.uint8 or packed.shape != (math.ceil(size / 8),):
            raise UserError(f"{folder / CORRECT}: '{name}' does not fit a finished run of {RUNS}")
        correct[place] = np.unpackbits(packed, count=size).astype(bool)
    details: dict[tuple[str, int, str, str], dict[str, NDArray[Any]]] = {}
    for name, array in _read_npz(folder / DETAILS).items():
        place, _, kind = name.rpartition("|")
        details.setdefault(_place(place, folder / DETAILS), {})[kind] = array
    if runs_folder is None:
        runs_folder = folder / "runs" if (folder / "runs").is_dir() else folder.parent / "runs"
    return Results(layout=layout, values=values, runs=runs, correct=correct, details=details, runs_folder=runs_folder)


def values_text(values: pd.DataFrame) -> str:
    """Return the results table as CSV text: twelve significant digits, an absent value empty."""
    return values.to_csv(index=False, columns=list(COLUMNS), float_format="%.12g", lineterminator="\n")


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
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: the results table is not there") from error
    except (OSError, ValueError) as error:  # a parser error is a ValueError
        raise UserError(f"{path}: the results table cannot be read: {' '.join(str(error).split())}") from error
    lacking = [column for column in COLUMNS if column not in found.columns]
    if lacking:
        raise UserError(f"{path}: has no column '{lacking[0]}'; must have {', '.join(COLUMNS)}")
    for column in ("seed", "epoch", "value", "n_test"):
        numbers = pd.to_numeric(found[column].replace("", None), errors="coerce")
        wrong = found.index[(found[column] != "") & ~np.isfinite(numbers.to_numpy(dtype=float))]
        if len(wrong) > 0:
            line = int(wrong[0])
            raise UserError(f"{path}:{line + 2}: '{column}' is '{found[column][line]}', must be a finite number")
    return _typed(found)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    table = table.loc[:, list(COLUMNS)].replace({"": None})
    for column in ("seed", "epoch", "n_test"):
        table[column] = pd.to_numeric(table[column]).astype("Int64")
    table["value"] = pd.to_numeric(table["value"]).astype(float)
    return table


def _array_name(cell: str, seed: int, selection: str, output: str) -> str:
    return f"{cell}|{seed}|{selection}|{output}"


def _place(name: str, where: Path) -> tuple[str, int, str, str]:
    parts = name.split("|")
    if len(parts) != 4 or not parts[1].isdecimal():
        raise UserError(f"{where}: the array '{name}' must be called cell|seed|selection|output")
    return parts[0], int(parts[1]), parts[2], parts[3]


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a compressed archive of arrays with the same bytes each time: no clock in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise UserError(f"{path}: is not there") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not an archive of arrays: {error}") from error


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of the files of results in ``folder``."""
    return {name: sha256_file(Path(folder) / name) for name in FILES}
