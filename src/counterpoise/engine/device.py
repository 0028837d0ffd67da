"""The device of a run, exactness settings, and a description of both for the record."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import torch

from counterpoise.errors import UserError, suggest
from counterpoise.protocol import Protocol

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCKS = (1 << 30, 1 << 25)  # the second is the most that older versions take
_NEVER = 2**31 - 1

LIBRARIES = ("torch", "torchvision", "torchaudio", "numpy", "scikit-learn", "counterpoise")


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is the first GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: unknown device{suggest(kind, ('auto', 'cpu', 'cuda'))}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: torch finds no CUDA device here; allowed: auto, cpu")
    return torch.device(name)


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, where the C library can be told to; return whether it
    was.

    By default glibc hands large blocks back at once, and the next step takes them again page by page: a tenth
    to a fifth of a step on a CPU. The peak stays what it was. Numbers do not depend on it.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    blocks = any(tell(_MMAP_THRESHOLD, size) for size in _LARGEST_BLOCKS)
    return bool(tell(_TRIM_THRESHOLD, _NEVER)) and blocks


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


def describe(device: torch.device, protocol: Protocol) -> dict[str, Any]:
    """Return what of this machine and its software a result depends on."""
    return {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": protocol.threads,
        "memory_format": protocol.memory_format,
        "precision": protocol.precision,
        "deterministic": protocol.deterministic,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


@functools.cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
