"""Devices of one machine, leased by file lock: a count of GPUs does not say which of them is free.

Every device has :data:`SLOTS` lock files. A job that needs the share s of a device takes ceil(s x SLOTS) of
one device's; all of them are free again when its process ends, however it ends, because the kernel drops the
locks. Whoever waits, waits in a queue (one more lock), so that a job that needs a whole device is not
overtaken for ever by jobs that need a little.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from counterpoise.errors import UserError

SLOTS = 12  # a half, a third, a quarter and a sixth of a device come out even
POLL_SECONDS = 0.25
DEVICES = "COUNTERPOISE_GPUS"
FOLDER = "COUNTERPOISE_LEASES"


class NoLease(Exception):
    """The process was asked to stop while it waited for a device."""


def devices() -> list[str]:
    """Return the devices that may be leased, as ``CUDA_VISIBLE_DEVICES`` names them.

    Those of ``COUNTERPOISE_GPUS``, else those of ``CUDA_VISIBLE_DEVICES``, else what the driver lists. None
    inside a SLURM job: the cluster has given it devices of its own.
    """
    named = os.environ.get(DEVICES)
    if named is None and "SLURM_JOB_ID" in os.environ:
        return []
    if named is None:
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return _listed_by_driver()


def candidates(device: str) -> list[str]:
    """Return which devices will do for ``--device``: ``cuda:<n>`` is the n-th of :func:`devices`, ``cpu``
    none.
    """
    kind, _, number = device.partition(":")
    found = [] if kind == "cpu" else devices()
    return found[int(number) :][:1] if number.isdecimal() else found


def lease_folder() -> Path:
    """Return where the locks of this user on this machine are."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else Path(tempfile.gettempdir(), f"counterpoise-leases-{os.getuid()}")


@contextlib.contextmanager
def leased(
    names: list[str],
    share: float,
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    poll_seconds: float = POLL_SECONDS,
) -> Iterator[str | None]:
    """Hold ``share`` of one of the devices ``names`` while the block runs; yield its name, None without
    devices.

    Raises:
        NoLease: ``stop()`` said so while waiting.
        UserError: ``folder`` cannot hold locks.
    """
    if not names:
        yield None
        return
    needed = math.ceil(share * SLOTS - 1e-9)
    with contextlib.ExitStack() as held:
        yield _wait(names, needed, _usable(folder), stop, poll_seconds, held)


@contextlib.contextmanager
def visible(device: str | None) -> Iterator[None]:
    """Let CUDA see ``device`` alone while the block runs. It must not have been asked for devices before."""
    if device is None:
        yield
        return
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _wait(
    names: list[str],
    needed: int,
    folder: Path,
    stop: Callable[[], bool],
    poll_seconds: float,
    held: contextlib.ExitStack,
) -> str:
    """Enter a device's slots into ``held`` and return its name; only the head of the queue looks for one."""
    told = False
    with contextlib.ExitStack() as queue:
        while not _take(folder / "queue.lock", queue):
            told = _tell(told, "the jobs before it")
            _pause(stop, poll_seconds)
        while True:
            for name in names:
                if _take_slots(name, needed, folder, held):
                    return name
            told = _tell(told, f"{needed}/{SLOTS} of one of the devices {', '.join(names)}")
            _pause(stop, poll_seconds)


def _take_slots(name: str, needed: int, folder: Path, held: contextlib.ExitStack) -> bool:
    with contextlib.ExitStack() as found:
        taken = 0
        for slot in range(SLOTS):
            taken += _take(folder / f"{_file_name(name)}.{slot}.lock", found)
            if taken == needed:
                held.push(found.pop_all())
                return True
    return False


def _take(path: Path, held: contextlib.ExitStack) -> bool:
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    held.callback(lock.release)
    return True


def _pause(stop: Callable[[], bool], seconds: float) -> None:
    if stop():
        raise NoLease
    time.sleep(seconds)


def _tell(told: bool, what: str) -> bool:
    if not told:
        print(f"waiting for {what}", file=sys.stderr)
    return True


def _usable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(
            f"{folder}: no place for device locks: {error.strerror}; set {FOLDER} to a local folder"
        ) from error
    return folder


def _file_name(device: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in device)


def _listed_by_driver() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()
