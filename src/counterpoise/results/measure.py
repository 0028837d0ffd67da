"""From one run's predictions to its values, to which examples it got right, and to its counts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import UserError
from counterpoise.files import read_bytes
from counterpoise.metrics import Classification, Steps, metrics_of
from counterpoise.results.arrays import parse_arrays

PREDICTIONS = "predictions.npz"
PROBED = "last"
"""The selection that a probe belongs to: it is trained on the encoders of the last epoch."""

Arrays = dict[str, NDArray[Any]]
Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run's predictions give.

    ``values`` has (selection, epoch, output, metric, value); ``correct`` one bool per test example, and ``details``
    arrays by name (see :class:`counterpoise.results.table.Results`), both by (selection, output).
    """

    values: list[tuple[str, int | None, str, str, float]] = field(default_factory=list)
    correct: dict[Place, NDArray[np.bool_]] = field(default_factory=dict)
    details: dict[Place, Arrays] = field(default_factory=dict)


def measure(
    record: Mapping[str, Any],
    predictions: Arrays,
    *,
    ece_bins: int,
    where: str,
    probe: Arrays | None = None,
    steps: Steps | None = None,
) -> Measured:
    """Compute every metric of a completed run.

    Args:
        record: the run's record: its selections, its outputs with their targets and kinds, its number of test examples.
        predictions: ``labels.<target>`` ``(N,)``; ``<selection>.logits.<output>`` ``(N, C)`` or, of a dense output,
            ``<selection>.statistics.<output>``.
        where: the file of the predictions and what to do about it, for errors.
        probe: ``logits.<modality>`` ``(N, C)`` of the linear probe of each encoder, the outputs ``probe:<modality>``.
        steps: what the run recorded of its steps; the same for every selection.

    Raises:
        UserError: an array or an entry of the record is missing, has the wrong size, or a value is not finite.
    """
    found = Measured()
    try:
        for selection, selected in record["selections"].items():
            epoch = selected["epoch"]
            for output, target in record["output_targets"].items():
                kind = record["output_kinds"][output]
                if kind == "classification":
                    logits, labels = predictions[f"{selection}.logits.{output}"], predictions[f"labels.{target}"]
                    _classify(found, (selection, output), epoch, _checked(logits, labels, ece_bins, where))
                else:
                    sums = predictions[f"{selection}.statistics.{output}"]
                    _check_sums(kind, sums, where)
                    for each in metrics_of(kind):
                        found.values.append((selection, epoch, output, each.name, each.compute(sums)))
                    if kind == "segmentation":
                        found.details[selection, output] = {"confusion": sums.astype(np.int64)}
        if probe:
            epoch = record["selections"][PROBED]["epoch"]
            (target,) = set(record["output_targets"].values())
            for name, logits in probe.items():
                place = (PROBED, f"probe:{name.removeprefix('logits.')}")
                _classify(found, place, epoch, _checked(logits, predictions[f"labels.{target}"], ece_bins, where))
    except KeyError as error:
        raise UserError(f"{where}: the predictions or the record lack {error}") from error
    for each in metrics_of("steps") if steps is not None else ():
        for output, value in each.compute(steps).items():
            for selection, selected in record["selections"].items():
                found.values.append((selection, selected["epoch"], output, each.name, value))
    for right in found.correct.values():
        if len(right) != record["n_test"]:
            raise UserError(f"{where}: predictions of {len(right)} examples, the record says {record['n_test']}")
    for selection, _, output, name, value in found.values:
        if not math.isfinite(value):
            raise UserError(f"{where}: {name} of output '{output}' ({selection}) is {value}, must be finite")
    return found


def _classify(found: Measured, place: Place, epoch: int | None, predicted: Classification) -> None:
    """Add what one classified output gives."""
    selection, output = place
    for each in metrics_of("classification"):
        found.values.append((selection, epoch, output, each.name, each.compute(predicted)))
    found.correct[place] = predicted.right
    found.details[place] = {
        "confusion": predicted.confusion,  # (C, C), labels down
        "reliability": predicted.calibration,  # (bins, 3)
    }


# Predictions may come from anywhere (a published record): what NumPy would only stumble over is said in words.


def _checked(logits: NDArray[Any], labels: NDArray[Any], ece_bins: int, where: str) -> Classification:
    fits = logits.ndim == 2 and labels.shape == logits.shape[:1] and logits.size > 0
    if not fits or not np.issubdtype(logits.dtype, np.floating) or not np.issubdtype(labels.dtype, np.integer):
        shapes = f"logits {logits.dtype} {logits.shape}, labels {labels.dtype} {labels.shape}"
        raise UserError(f"{where}: must have float logits (N, C) and whole labels (N,); has {shapes}")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UserError(f"{where}: labels from {labels.min()} to {labels.max()}, must be 0 to {logits.shape[1] - 1}")
    return Classification(logits=logits, labels=labels.astype(np.int64), ece_bins=ece_bins)


def _check_sums(kind: str, sums: NDArray[Any], where: str) -> None:
    shape = {"segmentation": sums.shape[:1] * 2, "depth": (3,)}.get(kind)
    if shape is None or sums.ndim == 0 or sums.shape != shape:
        raise UserError(
            f"{where}: statistics of kind '{kind}' and shape {sums.shape}; must be segmentation (C, C) or depth (3,)"
        )


def read_predictions(path: Path, sha256: str, mend: str) -> Arrays:
    """Read an archive of predictions whose digest is known.

    Raises:
        UserError: it is not there, has another digest, or is no archive of plain arrays; ``mend`` says what to do.
    """
    try:
        data = read_bytes(path, "file of predictions")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(f"{path}: was changed or truncated: its digest is not the one on record")
        return parse_arrays(data, path)
    except UserError as error:
        raise UserError(f"{error}; {mend}") from error
