"""From a run's predictions to the metrics beside them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.evaluation.metrics import classification_metrics
from counterpoise.spec.record import read_record

SCHEMA = 1


def evaluate_run(folder: Path, name: str, key: str, seed: int, ece_bins: int) -> Path:
    """Compute the metrics of the run in ``folder`` and write them there as the file ``name``.

    Raises:
        UserError: record or predictions are missing, torn, or those of another run.
    """
    record = read_record(folder, key, seed)
    path = folder / "predictions.npz"
    found = files.sha256_file(path) if path.is_file() else None
    if found != record["files"]["predictions.npz"]:
        state = (
            "is not there" if found is None else "was changed or truncated: its digest is not the record's"
        )
        raise UserError(f"{path}: {state}; delete {folder} to run this seed again")
    metrics = {
        "schema": SCHEMA,
        "key": key,
        "seed": seed,
        "status": record["status"],
        "reason": record["reason"],
        "ece_bins": ece_bins,
        "predictions_sha256": found,
        **_measure(path, record, ece_bins),
    }
    files.write_json(folder / name, metrics)
    return folder / name


def _measure(path: Path, record: dict[str, Any], ece_bins: int) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not a file of predictions: {error}") from error
    targets: dict[str, str] = record["output_targets"]
    labels = {target: arrays[f"labels.{target}"] for target in targets.values()}
    selections = {}
    for name, selected in record["selections"].items():
        outputs = {
            output: classification_metrics(arrays[f"{name}.logits.{output}"], labels[target], ece_bins)
            for output, target in targets.items()
        }
        selections[name] = {"epoch": selected["epoch"], "outputs": outputs}
    return {"n_test": len(next(iter(labels.values()))), "selections": selections}
