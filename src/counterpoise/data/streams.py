"""Random streams for making data: named, independent, and the same on every machine and NumPy version.

``RandomState`` is used because its sequence is frozen for good, which NumPy does not promise of
``Generator``; prepared data is identified by its bytes and must not change with the library.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.RandomState:
    """Return the random stream of this ``seed`` and these ``names`` (for example ``stream(0, "noise", "train")``)."""
    digest = hashlib.sha256("/".join(str(part) for part in (seed, *names)).encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4").astype(np.uint32))
