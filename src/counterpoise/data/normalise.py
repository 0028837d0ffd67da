"""Mean and standard deviation of a modality over a split, some megabytes at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from counterpoise.data.axes import channel_axis
from counterpoise.data.store import ArrayStore
from counterpoise.errors import UserError

BLOCK_BYTES = 1 << 25


def measure(store: ArrayStore, name: str, split: str = "train", lengths: str | None = None) -> None:
    """Set a modality's per-channel ``mean`` and ``std`` to those of ``split``.

    ``lengths`` names an extra that says how many samples of each sequence are real; for waves, whose
    samples are one channel.

    Integer arrays are summed exactly, others in float64 in a fixed order; both are rounded to 7 digits so
    that no processor's last bit reaches the manifest.
    """
    dtype = store.layout(name)[1]
    total, squares, count = 0, 0, 0
    for part in _parts(store, name, split, lengths):
        total = total + part.sum(axis=1)
        squares = squares + (part * part).sum(axis=1)
        count += part.shape[1]
    if count == 0:
        raise UserError(f"{split}/{name}: no samples to take a mean of")
    scale = {"uint8": 255.0, "int16": 32768.0}.get(dtype.name, 1.0)
    mean = np.asarray(total, dtype=np.float64) / count
    variance = np.maximum(np.asarray(squares, dtype=np.float64) / count - mean * mean, 0.0)
    std = np.sqrt(variance)
    # A channel that never varies carries nothing; dividing by one keeps it finite.
    store.normalise(
        name,
        mean=[float(f"{value:.7g}") for value in mean / scale],
        std=[float(f"{value:.7g}") if value > 0 else 1.0 for value in std / scale],
    )


def _parts(store: ArrayStore, name: str, split: str, lengths: str | None) -> Iterator[np.ndarray]:
    """Yield the values of a modality (channels, values), some megabytes at a time."""
    shape, dtype = store.layout(name)
    kind = np.int64 if dtype.kind in "iu" else np.float64
    block = max(1, BLOCK_BYTES // max(1, math.prod(shape) * kind().itemsize))
    for start in range(0, store.rows(split), block):
        part = store.read_rows(split, name, start, block)
        if lengths is not None:
            real = store.read_rows(split, lengths, start, block)
            values = np.concatenate([row[:length] for row, length in zip(part, real, strict=True)])
            yield values[None].astype(kind)
        else:
            channels = np.moveaxis(part, channel_axis(shape) + 1, 0)
            yield channels.reshape(shape[channel_axis(shape)], -1).astype(kind)
