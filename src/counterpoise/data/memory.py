"""Memory for batches on the CPU that is used again.

Every large block that the C library hands out is new to the process: the kernel clears it page by page when
it is first written. For a batch of pictures that takes longer than the arithmetic on them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import numpy as np
import torch

# Below this the C library itself keeps blocks for the next use.
SMALL_BYTES = 1 << 20


class FloatMemory:
    """Gives float32 tensors whose memory comes back once nothing refers to it any more.

    A tensor is good for as long as it, or anything made of it, a view or what autograd has saved, is alive;
    so a caller may keep batches. At most ``keep`` blocks that nobody uses are held.
    """

    def __init__(self, keep: int = 4) -> None:
        self._keep = keep
        self._free: list[np.ndarray] = []

    def empty(self, shape: Sequence[int]) -> torch.Tensor:
        """Return an uninitialised float32 tensor of ``shape`` on the CPU."""
        size = math.prod(shape)
        if size * 4 < SMALL_BYTES:
            return torch.empty(tuple(shape))
        block = self._block(size)
        # The tensor's storage holds this view and nothing else does: its end is the end of the memory's use.
        lent = block[:size]
        weakref.finalize(lent, self._take_back, block).atexit = False
        return torch.from_numpy(lent).view(tuple(shape))

    def _block(self, size: int) -> np.ndarray:
        try:
            block = self._free.pop()
        except IndexError:
            return np.empty(size, np.float32)
        return block if len(block) >= size else np.empty(size, np.float32)

    def _take_back(self, block: np.ndarray) -> None:
        if len(self._free) < self._keep:
            self._free.append(block)
