"""What a run recorded of its steps, read for the metrics that are computed from it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from counterpoise.errors import UserError
from counterpoise.metrics import Steps
from counterpoise.results.run_files import DIAGNOSTICS, TIMINGS, read_run_file

Columns = dict[str, np.ndarray]


def read_steps(folder: Path, files: Mapping[str, str], stationarity: float) -> Steps | None:
    """Return what the run in ``folder`` recorded of its steps, None where it recorded nothing or that is not there.

    Args:
        files: the digests that the run's record names. Times are in none, because no run repeats them.
        stationarity: the norm below which a combination of gradients counts as 0.

    Raises:
        UserError: the diagnostics are not those that the record names.
    """
    data = read_run_file(folder, DIAGNOSTICS, files[DIAGNOSTICS]) if DIAGNOSTICS in files else None
    if data is None:
        return None
    columns = _columns(data, folder / DIAGNOSTICS)
    seconds = None
    times = read_run_file(folder, TIMINGS)
    if times is not None:
        columns_of_times = _columns(times, folder / TIMINGS)
        timed = [values for name, values in columns_of_times.items() if name.startswith("integration_seconds.")]
        seconds = np.sum(timed, axis=0) if timed and timed[0].size else None
    min_norms = {name.removeprefix("min_norm."): v for name, v in columns.items() if name.startswith("min_norm.")}
    return Steps(min_norms=min_norms, seconds=seconds, stationarity=stationarity)


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV of numbers, plain or as ``<path>.gz``, an empty field as NaN.

    Raises:
        UserError: it is not there or empty, a row has more or fewer fields than the header, or a field is no number.
    """
    data = read_run_file(path.parent, path.name)
    if data is None:
        raise UserError(f"{path}: is not there")
    return _columns(data, path)


def _columns(data: bytes, path: Path) -> Columns:
    reader = csv.reader(io.StringIO(data.decode("utf-8", errors="replace"), newline=""))
    rows = []
    try:
        names = next(reader, None)
        if names is None:
            raise UserError(f"{path}: is empty, must have a header")
        for row in reader:
            if len(row) != len(names):
                raise UserError(f"{path}:{reader.line_num}: has {len(row)} fields, must have {len(names)}")
            rows.append([float(field) if field else math.nan for field in row])
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from error
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, place] for place, name in enumerate(names)}
