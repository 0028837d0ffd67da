"""Measurements on a finished run's weights, for figures: written as CSV beside the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from counterpoise import files
from counterpoise.components import component
from counterpoise.identity import check_loaded
from counterpoise.results.rows import as_csv
from counterpoise.runs.finished import opened
from counterpoise.runs.run import Run


def measure_run(run: Run, kind: str, settings: dict[str, Any], name: str, device: torch.device) -> Path:
    """Make the measurement ``kind`` of a run and write ``<name>.csv`` into its folder.

    Raises:
        UserError: the run, its weights or its data are not there, the run diverged, or the source was edited since
            ``name`` was made of it.
    """
    measurement = component("measurement", kind)
    check_loaded((measurement.module,))
    measured = measurement.load()(**settings)
    with opened(run, device) as (network, splits):
        batch_size = run.cell.config["protocol"]["batch_size"]
        rows = list(measured.measure(network, splits, batch_size, run.seed))
    path = run.folder / f"{name}.csv"
    files.write_text(path, as_csv(list(rows[0]), rows))
    return path
