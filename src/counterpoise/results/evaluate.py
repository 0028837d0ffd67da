"""From a run's predictions to the metrics beside them."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.results.details import classification_details, segmentation_details
from counterpoise.results.diagnostics import step_metrics
from counterpoise.results.metrics import classification_metrics, depth_metrics, segmentation_metrics
from counterpoise.runs.record import read_record

SCHEMA = 2
"""2 added each output's ``details``: confusion counts and reliability bins."""


def evaluate_run(
    folder: Path, name: str, key: str, seed: int, ece_bins: int, probe: str | None = None, stationarity: float = 1e-3
) -> Path:
    """Compute the metrics of the run in ``folder`` and write them there as the file ``name``.

    ``probe`` is the name of a probe of the run's encoders; its predictions become the outputs
    ``probe:<modality>`` of the last epoch, whose encoders it was trained on. ``stationarity``: the norm of
    the smallest combination of an encoder's gradients below which a step counts as Pareto-stationary.

    Raises:
        UserError: record, predictions or probe are missing, torn, or those of another run.
    """
    record = read_record(folder, key, seed)
    path = folder / "predictions.npz"
    found = files.sha256_file(path) if path.is_file() else None
    if found != record["files"]["predictions.npz"]:
        state = "is not there" if found is None else "was changed or truncated: its digest is not the record's"
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
    if probe is not None and record["status"] == "completed":
        (target,) = set(record["output_targets"].values())
        labels = _load(path)[f"labels.{target}"]
        outputs = _measure_probe(folder, probe, key, seed, labels, ece_bins)
        metrics["selections"]["last"]["outputs"] |= outputs
    for output, values in step_metrics(folder, record, stationarity).items():
        for selection in metrics["selections"].values():
            selection["outputs"].setdefault(output, {}).update(values)
    files.write_text(folder / name, _as_json(metrics))
    return folder / name


def _as_json(metrics: dict[str, Any]) -> str:
    """Return indented JSON with each list of numbers on one line: confusion counts are long."""
    text = json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    # No JSON string has a line break in it, so nothing but lists of numbers and null is matched.
    rows = re.compile(r"\[\n([-+.\deE,\snul]+?)\n\s*\]")
    return rows.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _measure(path: Path, record: dict[str, Any], ece_bins: int) -> dict[str, Any]:
    arrays = _load(path)
    try:
        return _measure_arrays(arrays, record, ece_bins)
    except KeyError as error:
        raise UserError(
            f"{path}: it or its record lacks {error}; delete {path.parent} to run this seed again"
        ) from error


def _measure_arrays(arrays: dict[str, np.ndarray], record: dict[str, Any], ece_bins: int) -> dict[str, Any]:
    targets: dict[str, str] = record["output_targets"]
    kinds = record["output_kinds"]

    def measure(selection: str, output: str, target: str) -> dict[str, float]:
        if kinds[output] == "segmentation":
            return segmentation_metrics(arrays[f"{selection}.statistics.{output}"])
        if kinds[output] == "depth":
            return depth_metrics(arrays[f"{selection}.statistics.{output}"])
        logits = arrays[f"{selection}.logits.{output}"]
        return classification_metrics(logits, arrays[f"labels.{target}"], ece_bins)

    def detail(selection: str, output: str, target: str) -> dict[str, Any]:
        if kinds[output] == "segmentation":
            return segmentation_details(arrays[f"{selection}.statistics.{output}"])
        if kinds[output] == "depth":
            return {}
        logits = arrays[f"{selection}.logits.{output}"]
        return classification_details(logits, arrays[f"labels.{target}"], ece_bins)

    selections = {}
    for name, selected in record["selections"].items():
        outputs = {output: measure(name, output, target) for output, target in targets.items()}
        details = {output: detail(name, output, target) for output, target in targets.items()}
        selections[name] = {"epoch": selected["epoch"], "outputs": outputs, "details": details}
    return {"n_test": record["n_test"], "selections": selections}


def _measure_probe(
    folder: Path, probe: str, key: str, seed: int, labels: np.ndarray, ece_bins: int
) -> dict[str, dict[str, float]]:
    path = folder / f"{probe}.json"
    found = files.read_json(path, "probe of a run")
    if not isinstance(found, dict) or (found.get("key"), found.get("seed")) != (key, seed):
        raise UserError(f"{path}: not the probe of this run; delete it to probe again")
    predictions = path.with_name(f"{probe}.npz")
    if not predictions.is_file() or files.sha256_file(predictions) != found["files"][predictions.name]:
        raise UserError(f"{predictions}: is not there, or was changed; delete {path.name} to probe again")
    return {
        f"probe:{name.removeprefix('logits.')}": classification_metrics(logits, labels, ece_bins)
        for name, logits in _load(predictions).items()
    }


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not a file of predictions: {error}") from error
