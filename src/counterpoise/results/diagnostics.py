"""What a run recorded of its steps, read for the metrics that are computed from it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.metrics import Steps

DIAGNOSTICS = "diagnostics.csv"
TIMINGS = "timings.csv"

Columns = dict[str, np.ndarray]


def read_steps(folder: Path, files: Mapping[str, str], stationarity: float, mend: str) -> Steps | None:
    """Return what the run in ``folder`` recorded of its steps, None where it recorded nothing.

    Args:
        files: the digests that the run's record names. Times are in none, because no run repeats them.
        stationarity: the norm below which a combination of gradients counts as 0.
        mend: what to do about a broken file.

    Raises:
        UserError: the diagnostics are not those that the record names.
    """
    if DIAGNOSTICS not in files:
        return None
    path = folder / DIAGNOSTICS
    if not path.is_file() or sha256_file(path) != files[DIAGNOSTICS]:
        raise UserError(f"{path}: is not there, or not what the run's record names; {mend}")
    columns = read_columns(path)
    seconds = None
    if (folder / TIMINGS).is_file():
        timed = [values for name, values in read_columns(folder / TIMINGS).items() if name != "step"]
        seconds = np.sum(timed, axis=0) if timed and timed[0].size else None
    min_norms = {name.removeprefix("min_norm."): v for name, v in columns.items() if name.startswith("min_norm.")}
    return Steps(min_norms=min_norms, seconds=seconds, stationarity=stationarity)


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV of numbers, an empty field as NaN.

    Raises:
        UserError: it is empty, a row has more or fewer fields than the header, or a field is no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader, None)
        if names is None:
            raise UserError(f"{path}: is empty, must have a header")
        rows = []
        for row in reader:
            if len(row) != len(names):
                raise UserError(f"{path}:{reader.line_num}: has {len(row)} fields, must have {len(names)}")
            try:
                rows.append([float(field) if field else math.nan for field in row])
            except ValueError as error:
                raise UserError(f"{path}:{reader.line_num}: {error}") from error
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, place] for place, name in enumerate(names)}
