"""What a run recorded of its training, and what was measured on its weights, read for the metrics made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.metrics import MeasuredRows, Steps
from counterpoise.results.run_files import DIAGNOSTICS, HISTORY, TIMINGS, read_run_file
from counterpoise.results.series import Columns, parse_labelled, parse_series

ENCODER = "encoder"
"""The column of a measurement that says which encoder a row is of."""


def read_history(folder: Path, files: Mapping[str, str]) -> Columns | None:
    """Return the columns ``(E,)`` of the evaluated epochs of the run in ``folder``, None where they are not there.

    Args:
        files: the digests that the run's record names.

    Raises:
        UserError: they are not those that the record names, or no table of numbers with its columns.
    """
    data = read_run_file(folder, HISTORY, files[HISTORY]) if HISTORY in files else None
    if data is None:
        return None
    columns = parse_series(data, folder / HISTORY)
    _check_columns(columns, ("epoch", "step"), folder / HISTORY)
    return columns


def read_steps(folder: Path, files: Mapping[str, str], stationarity: float) -> Steps | None:
    """Return what the run in ``folder`` recorded of its steps, None where it recorded nothing or that is not there.

    Args:
        files: the digests that the run's record names. Times are in none, because no run repeats them.
        stationarity: the norm below which a combination of gradients counts as 0.

    Raises:
        UserError: the diagnostics are not those that the record names, or a file is no table of numbers.
    """
    data = read_run_file(folder, DIAGNOSTICS, files[DIAGNOSTICS]) if DIAGNOSTICS in files else None
    if data is None:
        return None
    times = read_run_file(folder, TIMINGS)
    return Steps(
        columns=parse_series(data, folder / DIAGNOSTICS),
        times={} if times is None else parse_series(times, folder / TIMINGS),
        stationarity=stationarity,
    )


COLUMNS = {
    "gradients": (ENCODER, "multimodal", "unimodal", "multimodal_loss", "unimodal_loss", "k"),
    "landscape": ("direction", "step", "loss", "accuracy", "sharpness"),
}
"""The columns that metrics need, by the name of a measurement; of another one no metric is made."""


def read_measurement(folder: Path, name: str) -> MeasuredRows | None:
    """Return the rows of the measurement ``<name>.csv`` of a run, None where it is not there.

    Raises:
        UserError: it is no table of numbers, or lacks a column that its metrics need.
    """
    data = read_run_file(folder, f"{name}.csv")
    if data is None:
        return None
    where = folder / f"{name}.csv"
    columns, encoder = parse_labelled(data, where, ENCODER)
    _check_columns({**columns, **({ENCODER: encoder} if encoder else {})}, COLUMNS[kind_of(name)], where)
    return MeasuredRows(columns=columns, encoder=encoder)


def kind_of(file: str) -> str:
    """Return the name of the measurement whose file is called ``<kind>.<key>`` or ``<kind>.<key>.csv``."""
    return file.partition(".")[0]


def _check_columns(columns: Mapping[str, object], needed: tuple[str, ...], where: Path) -> None:
    for name in needed:
        if name not in columns:
            raise UserError(f"{where}: has no column '{name}'; it has {', '.join(columns) or 'none'}")
