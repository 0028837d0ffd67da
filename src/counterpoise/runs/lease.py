"""Devices of one machine, leased by file lock: a count of GPUs does not say which of them is free.

A run says how many runs at most may share its device (``runs_per_gpu``). It takes one lock file of a device,
``<device>.<runs_per_gpu>.<number>.lock``, whose name says so: a run gets a device where with it no run there is one of
more than it agreed to. The lock is free again when its process ends, however it ends. Whoever waits, waits in a queue
(one more lock), so that a run that wants a whole device is not overtaken for ever by runs that share theirs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.locks import POLL_SECONDS, Lock, Stopped

DEVICES = "COUNTERPOISE_GPUS"
FOLDER = "COUNTERPOISE_LEASES"


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
    """Return which devices will do for ``--device``: ``cuda:<n>`` is the n-th of :func:`devices`, ``cpu`` none."""
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
    runs_per_gpu: int,
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    poll_seconds: float = POLL_SECONDS,
) -> Iterator[str | None]:
    """Hold a place on one of the devices ``names`` while the block runs; yield the device, None without any.

    At most ``runs_per_gpu`` runs are then on it, this one included.

    Raises:
        counterpoise.locks.Stopped: ``stop()`` said so while waiting.
        UserError: ``folder`` cannot hold locks.
    """
    if not names:
        yield None
        return
    device, lock = _wait(names, runs_per_gpu, _usable(folder), stop, poll_seconds)
    try:
        yield device
    finally:
        lock.release()


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
    names: list[str], runs_per_gpu: int, folder: Path, stop: Callable[[], bool], poll_seconds: float
) -> tuple[str, Lock]:
    """Return a device and the lock of a place on it; only the head of the queue looks for one."""
    queue = Lock(folder / "queue.lock")
    told = False
    try:
        while not queue.take():
            told = _tell(told, "the jobs before it")
            _pause(stop, poll_seconds)
        while True:
            for name in names:
                lock = _place_on(name, runs_per_gpu, folder)
                if lock is not None:
                    return name, lock
            told = _tell(told, f"a place on one of the devices {', '.join(names)} (runs_per_gpu: {runs_per_gpu})")
            _pause(stop, poll_seconds)
    finally:
        queue.release()


def _place_on(device: str, runs_per_gpu: int, folder: Path) -> Lock | None:
    """Return the taken lock of a place on a device, None where it has no room."""
    running = _running(device, folder)
    if len(running) + 1 > min([runs_per_gpu, *running]):
        return None
    for number in range(runs_per_gpu):
        lock = Lock(folder / f"{_file_name(device)}.{runs_per_gpu}.{number}.lock")
        if lock.take():
            return lock
    return None


def _running(device: str, folder: Path) -> list[int]:
    """Return the ``runs_per_gpu`` of every run that is on a device now."""
    found = []
    for path in sorted(folder.glob(f"{_file_name(device)}.*.lock")):
        match = re.fullmatch(r"\.(\d+)\.\d+\.lock", path.name.removeprefix(_file_name(device)))
        if match is not None:
            lock = Lock(path)
            if not lock.take():
                found.append(int(match[1]))
            lock.release()
    return found


def _pause(stop: Callable[[], bool], seconds: float) -> None:
    if stop():
        raise Stopped
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
