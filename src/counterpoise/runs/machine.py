"""The machine that runs are trained on: which device, its memory, and what of it a record names."""

from __future__ import annotations

import ctypes
import datetime
import functools
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from counterpoise.errors import UserError, suggest
from counterpoise.git import commit_of
from counterpoise.protocol import Protocol
from counterpoise.results.record import Attempt, Git

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
    """Let this process keep the memory that it frees, where the C library can be told to; return whether it was.

    By default glibc hands large blocks back at once, and the next step takes them again page by page: a tenth
    to a fifth of a step on a CPU. The peak stays what it was. Numbers do not depend on it.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    blocks = any(tell(_MMAP_THRESHOLD, size) for size in _LARGEST_BLOCKS)
    return bool(tell(_TRIM_THRESHOLD, _NEVER)) and blocks


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


def attempt_here(device: torch.device, protocol: Protocol, epoch: int, step: int) -> Attempt:
    """Return the attempt that begins now in this process, at a step of a run."""
    return Attempt(
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        host=platform.node(),
        command=shlex.join(["counterpoise", *sys.argv[1:]]),
        git=_git_state(Path.cwd()),
        environment=describe(device, protocol),
        epoch=epoch,
        step=step,
    )


@functools.cache
def _git_state(folder: Path) -> Git:
    """Return the state of the working folder when this process first asked: that is the source that it runs."""
    commit, dirty = commit_of(folder)
    return Git(commit=commit, dirty=dirty)


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
