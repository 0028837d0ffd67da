"""Where the axes of a stored sample are. Shared by writing, reading and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CHANNELS_LAST = "channels_last"


def channel_axis(shape: Sequence[int]) -> int:
    """Return the channel axis of a sample: -3 of images (C, H, W) and of frames (T, C, H, W), the last of sequences
    (T, C) and vectors (C,).
    """
    return len(shape) - 3 if len(shape) >= 3 else len(shape) - 1


def to_file(array: np.ndarray, entry: Mapping[str, Any] | None) -> np.ndarray:
    """Return a view of samples (..., C, H, W) in the order of axes that the file has: (..., H, W, C) where the
    modality's ``entry`` in the manifest says so; ``None`` stands for other arrays.
    """
    return np.moveaxis(array, -3, -1) if entry and entry.get("layout") == CHANNELS_LAST else array


def from_file(array: np.ndarray, entry: Mapping[str, Any] | None) -> np.ndarray:
    """Return a view of what is in the file in the order of axes that the manifest's ``shape`` has."""
    return np.moveaxis(array, -1, -3) if entry and entry.get("layout") == CHANNELS_LAST else array
