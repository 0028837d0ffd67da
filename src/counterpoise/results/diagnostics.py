"""What a run recorded of its steps, read for the metrics that are computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from counterpoise.metrics import Steps
from counterpoise.results.run_files import DIAGNOSTICS, TIMINGS, read_run_file
from counterpoise.results.series import parse_series


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
    columns = parse_series(data, folder / DIAGNOSTICS)
    seconds = None
    times = read_run_file(folder, TIMINGS)
    if times is not None:
        columns_of_times = parse_series(times, folder / TIMINGS)
        timed = [values for name, values in columns_of_times.items() if name.startswith("integration_seconds.")]
        seconds = np.sum(timed, axis=0) if timed and timed[0].size else None
    min_norms = {name.removeprefix("min_norm."): v for name, v in columns.items() if name.startswith("min_norm.")}
    return Steps(min_norms=min_norms, seconds=seconds, stationarity=stationarity)
