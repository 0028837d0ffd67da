"""Measurements on a finished run's weights, for figures: written as CSV beside the run."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch

from counterpoise import files
from counterpoise.components import component
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.device import exactness
from counterpoise.models.build import build_architecture
from counterpoise.protocol import Protocol
from counterpoise.runs.stages import read_weights
from counterpoise.runs.train import CellToTrain, open_splits, run_directory, shapes_and_classes


def measure_run(
    cell: CellToTrain, seed: int, kind: str, settings: dict[str, Any], name: str, device: torch.device
) -> Path:
    """Make the measurement ``kind`` of a run and write ``<name>.csv`` into its folder.

    Raises:
        UserError: the run, its weights or its data are not there, or the run diverged.
    """
    protocol = Protocol.model_validate(cell.config["protocol"])
    data = PreparedData.open(cell.data_of(seed))
    with exactness(protocol, device):
        network = build_architecture(cell.config["model"], *shapes_and_classes(cell.config, data), 0)
        network.load_state_dict(read_weights(run_directory(cell, seed), cell.key, seed))
        network.to(device)
        splits = open_splits(cell.config["model"], protocol, data, device)
        measured = component("measurement", kind).load()(**settings)
        rows = list(measured.measure(network, splits, protocol.batch_size, seed))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = run_directory(cell, seed) / f"{name}.csv"
    files.write_text(path, text.getvalue())
    return path
