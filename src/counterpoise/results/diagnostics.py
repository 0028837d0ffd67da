"""What diagnostics say of a run's steps: the time that integration took, and when it became stationary."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise import files
from counterpoise.errors import UserError

DIAGNOSTICS = "diagnostics.csv"
TIMINGS = "timings.csv"

Columns = dict[str, np.ndarray]


def step_metrics(folder: Path, record: dict[str, Any], stationarity: float) -> dict[str, dict[str, float]]:
    """Return ``{output: {metric: value}}`` of a run with diagnostics, nothing of one without.

    ``seconds_per_iteration`` and its variance over iterations (output ``joint``): the time of Gramian,
    formula and combination, all encoders together (MMPareto, Table 8). ``iterations_to_stationarity`` (each
    modality): the first step at which the smallest convex combination of the encoder's gradients is shorter
    than ``stationarity`` (Table 9, which asks for a norm of 0); absent where no step is.

    Raises:
        UserError: the diagnostics are not those that the record names.
    """
    path = folder / DIAGNOSTICS
    if DIAGNOSTICS not in record["files"] or record["status"] != "completed":
        return {}
    if not path.is_file() or files.sha256_file(path) != record["files"][DIAGNOSTICS]:
        raise UserError(f"{path}: is not there, or was changed; delete {folder} to run this seed again")
    found: dict[str, dict[str, float]] = {}
    for name, values in read_columns(path).items():
        kind, _, encoder = name.partition(".")
        reached = np.flatnonzero(values < stationarity)
        if kind == "min_norm" and len(reached) > 0:
            found[encoder] = {"iterations_to_stationarity": float(reached[0])}
    if (folder / TIMINGS).is_file():
        timed = [v for name, v in read_columns(folder / TIMINGS).items() if name.startswith("integration_seconds.")]
        if timed:
            total = np.sum(timed, axis=0)
            found["joint"] = {
                "seconds_per_iteration": float(total.mean()),
                "seconds_per_iteration_variance": float(total.var()),
            }
    return found


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV of numbers, an empty field as NaN."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader)
        rows = [[float(field) if field else math.nan for field in row] for row in reader]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, place] for place, name in enumerate(names)}
