"""Probe a finished run's frozen encoders, and write what came of it beside the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from counterpoise import files
from counterpoise.engine.probe import Probed, probe_encoder
from counterpoise.identity import check_loaded
from counterpoise.models.network import JOINT
from counterpoise.planning.probe import SOURCE, Probe
from counterpoise.protocol import Protocol
from counterpoise.results.record import RunRecord, read_record
from counterpoise.runs.finished import opened
from counterpoise.runs.machine import describe
from counterpoise.runs.run import Run
from counterpoise.runs.weights import WEIGHTS

SCHEMA = 1


def probe_run(run: Run, settings: Probe, name: str, device: torch.device) -> Path:
    """Probe every trained encoder of a finished run; write ``<name>.npz`` and ``<name>.json`` into its folder.

    Neither holds a time: results rest on their digests, and the same probe made again has to give the same bytes.
    The arrays are ``logits.<modality>``, float32 ``(N, C)``. A run that diverged gives none.

    Raises:
        UserError: the run, its weights or its data are not there or not what their records say, or the source was
            edited since ``name`` was made of it.
    """
    record = read_record(run.folder, run.cell.key, run.seed)
    check_loaded(SOURCE)
    found = _probe_all(run, settings, device, record) if record.status == "completed" else {}
    with files.atomic_path(run.folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **{f"logits.{modality}": probed.logits.numpy() for modality, probed in found.items()})
    written = {
        "schema": SCHEMA,
        "key": run.cell.key,
        "seed": run.seed,
        "status": record.status,
        "settings": settings.model_dump(mode="json"),
        "weights_sha256": record.files[WEIGHTS],
        "train_accuracy": {modality: probed.train_accuracy for modality, probed in found.items()},
        "environment": describe(device, Protocol.model_validate(run.cell.config["protocol"])),
        "files": {f"{name}.npz": files.sha256_file(run.folder / f"{name}.npz")},
    }
    files.write_json(run.folder / f"{name}.json", written)
    return run.folder / f"{name}.json"


def _probe_all(run: Run, settings: Probe, device: torch.device, record: RunRecord) -> dict[str, Probed]:
    # A run without a joint prediction has trained only the encoders that it has outputs of.
    outputs = record.output_targets
    with opened(run, device) as (network, splits):
        network.requires_grad_(False)
        return {
            name: probe_encoder(network, name, splits, settings, run.seed)
            for name in network.modalities
            if JOINT in outputs or name in outputs
        }
