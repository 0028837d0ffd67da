"""How exactly a run computes: threads, determinism, precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from counterpoise.protocol import Protocol


@contextlib.contextmanager
def exactness(protocol: Protocol, device: torch.device) -> Iterator[None]:
    """Run a block with the protocol's threads and determinism, and leave every global switch as it was found.

    Results differ between thread counts, memory formats and instruction sets, so
    the number of threads is the protocol's, not the machine's. The global random state is restored too.
    """
    threads, deterministic = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32
    conv_tf32 = torch.backends.cudnn.allow_tf32
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic cuBLAS asks for
    try:
        torch.set_num_threads(protocol.threads)
        # torch.use_deterministic_algorithms does this too, and imports torch's compiler to tell it: seconds.
        torch.set_deterministic_debug_mode("error" if protocol.deterministic else "default")
        torch.backends.cudnn.benchmark = not protocol.deterministic
        torch.backends.cuda.matmul.allow_tf32 = protocol.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = protocol.precision == "tf32"
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(deterministic)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = conv_tf32
