"""The files in a run's folder, as a run writes them or as a published record keeps them: gzipped, or compact.

A published record may hold, in place of ``predictions.npz``, the predicted classes with their confidences
(:func:`compact`): for ten classes an eighth of the size, and enough for every metric.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import UserError
from counterpoise.files import LARGEST, read_bytes, unpack_gzip
from counterpoise.results.arrays import parse_arrays, read_arrays

RECORD, HISTORY, DIAGNOSTICS, TIMINGS = "record.json", "history.csv", "diagnostics.csv", "timings.csv"
# Timings are published with a run but are not in its record, since no two runs take equally long.
PREDICTIONS, COMPACT = "predictions.npz", "predictions.compact.npz"

Arrays = dict[str, NDArray[Any]]


def read_run_file(folder: Path, name: str, sha256: str | None = None, largest: int = LARGEST) -> bytes | None:
    """Return the bytes of a file of a run, from ``<name>`` or ``<name>.gz``; None where neither is there.

    Raises:
        UserError: it cannot be read, has more than ``largest`` bytes, packed or not, or its digest is not ``sha256``.
    """
    path, packed = folder / name, folder / f"{name}.gz"
    if path.exists():
        data = read_bytes(path, "file of a run", largest)
    elif packed.exists():
        path, data = packed, unpack_gzip(read_bytes(packed, "file of a run", largest), packed, largest)
    else:
        return None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: was changed or truncated: its digest is not the one on record")
    return data


def read_predictions(folder: Path, sha256: str) -> Arrays | None:
    """Return a run's predictions, in whatever form they are there; None where they are not.

    Raises:
        UserError: they cannot be read, or their digest is not ``sha256`` (of the compact form only a published
            record's manifest has the digest).
    """
    data = read_run_file(folder, PREDICTIONS, sha256)
    if data is not None:
        return parse_arrays(data, folder / PREDICTIONS)
    path = folder / COMPACT
    return expand(read_arrays(path, "file of predictions"), path) if path.exists() else None


def compact(predictions: Mapping[str, NDArray[Any]], bins: int) -> Arrays:
    """Return predictions with each output's logits ``(N, C)`` replaced by what its metrics need.

    That is ``<selection>.predicted.<output>`` ``(N,)``, the classes; ``<selection>.confidence.<output>`` ``(N,)``,
    their softmax probabilities in float32; and ``<selection>.classes.<output>``, C.

    Args:
        bins: of the calibration error. Rounding moves no confidence over the edge of a bin.
    """
    from scipy.special import softmax  # here: reading the workflow needs the names of files, and no SciPy

    packed: Arrays = {}
    for name, array in predictions.items():
        before, separator, after = name.partition(".logits.")
        if not separator:
            packed[name] = array
            continue

        probabilities = softmax(array.astype(np.float64), axis=1)
        confidence = probabilities.max(axis=1)
        rounded = confidence.astype(np.float32)
        for _ in range(2):
            # A little inside of the edge, because expanding gives the confidence back up to the last bits.
            low, high = (_bin(rounded.astype(np.float64) * (1 + jitter), bins) for jitter in (-1e-12, 1e-12))
            right = _bin(confidence, bins)
            rounded = np.where(low < right, np.nextafter(rounded, np.float32(2)), rounded)
            rounded = np.where(high > right, np.nextafter(rounded, np.float32(0)), rounded)
        packed[f"{before}.predicted.{after}"] = array.argmax(axis=1).astype(np.min_scalar_type(array.shape[1]))
        packed[f"{before}.confidence.{after}"] = rounded
        packed[f"{before}.classes.{after}"] = np.array(array.shape[1])
    return packed


def _bin(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.searchsorted(np.arange(1, bins) / bins, confidence, side="right")


def expand(stored: Mapping[str, NDArray[Any]], where: Path) -> Arrays:
    """Return predictions with logits in place of :func:`compact`'s arrays: of the same classes and confidences.

    The probability that is left is spread evenly over the other classes.

    Raises:
        UserError: an array is missing, or is not what it must be.
    """
    unpacked: Arrays = {}
    for name, array in stored.items():
        before, separator, after = name.partition(".predicted.")
        if not separator:
            if ".confidence." not in name and ".classes." not in name:
                unpacked[name] = array
            continue
        confidence = stored.get(f"{before}.confidence.{after}", np.empty(()))
        number = stored.get(f"{before}.classes.{after}", np.empty(0))
        fits = array.ndim == 1 and array.dtype.kind in "iu" and confidence.shape == array.shape and number.shape == ()
        classes = int(number) if fits and number.dtype.kind in "iu" else 0
        sound = 0 < classes <= 100_000 and array.size * classes <= 10**8
        if not sound or (array.size and not (array.min() >= 0 and array.max() < classes)):
            raise UserError(f"{where}: '{name}' and its confidences do not fit each other")
        if confidence.dtype.kind != "f" or not ((confidence > 0) & (confidence <= 1)).all():
            raise UserError(f"{where}: confidences of '{name}' must be above 0 and at most 1")
        # The predicted class stays the largest where all are equal, and a confidence of 1 leaves others finite logits.
        sure = np.maximum(confidence.astype(np.float64), (1 + 1e-12) / classes).clip(max=1.0)
        rest = np.log(np.maximum((1 - sure) / max(classes - 1, 1), 1e-300))
        logits = np.repeat(rest[:, None], classes, axis=1)  # (N, C)
        logits[np.arange(len(array)), array] = np.log(sure)
        unpacked[f"{before}.logits.{after}"] = logits
    return unpacked
