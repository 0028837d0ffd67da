"""From a run's predictions to ``metrics.json`` beside them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.evaluation.metrics import classification_metrics

SCHEMA = 1


def evaluate_run(folder: Path, key: str, seed: int, ece_bins: int) -> Path:
    """Compute the metrics of the run in ``folder`` and write them there.

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
    files.write_json(folder / "metrics.json", metrics)
    return folder / "metrics.json"


def read_record(folder: Path, key: str, seed: int) -> dict[str, Any]:
    """Read a run's record and refuse one that is not the run that its path says."""
    path = folder / "record.json"
    record = files.read_json(path, "run record")
    for name, expected in (("schema", SCHEMA), ("key", key), ("seed", seed)):
        value = record.get(name) if isinstance(record, dict) else None
        if value != expected:
            raise UserError(
                f"{path}: '{name}' is {value!r}, must be {expected!r} as in its path; "
                f"delete {folder} to run again"
            )
    return record


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
