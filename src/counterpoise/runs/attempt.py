"""The work folder of a run: who is at it, what a killed attempt left, what is finished but not yet settled.

Below ``work/<cell>/`` are, for each seed, ``seed-<n>.lock``, which the process that trains the run holds, and
the folder ``seed-<n>`` with

* ``attempt.json`` while a process is at it: one that is left over belongs to an attempt that was killed;
* ``states/``, the run's saved states;
* ``finished/``, a copy of what was published. The workflow engine deletes the outputs of a job that it
  believes cut off; the copy stays until the run is evaluated, so that no finished run is trained again.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from counterpoise import files
from counterpoise.errors import UserError

SCHEMA = 1
POLL_SECONDS = 0.2
RECORD = "record.json"


class Stopped(Exception):
    """The process was asked to stop while it waited for a run that another one trains."""


@dataclass(frozen=True)
class CutOff:
    """An attempt that was killed: where it ran and since when, and whether memory is the likely reason."""

    host: str
    started: str
    out_of_memory: bool


class WorkFolder:
    """The work folder of one run, ``work/<cell>/seed-<n>``."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def states(self) -> Path:
        """Where the run's states are saved."""
        return self.path / "states"

    @property
    def finished(self) -> Path:
        """Where the finished run waits until it is settled."""
        return self.path / "finished"

    @contextlib.contextmanager
    def held(self, stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold the run while the block runs; if another process has it, wait until that one ends.

        Raises:
            Stopped: ``stop()`` said so while waiting.
        """
        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            print(f"{self.path}: another process trains this run; waiting for it", file=sys.stderr)
            try:
                lock.acquire(poll_interval=POLL_SECONDS, cancel_check=stop)
            except filelock.Timeout:
                raise Stopped from None
        try:
            files.write_json(self._marker, self._attempt())
            yield
        finally:
            self._marker.unlink(missing_ok=True)
            lock.release()

    def cut_off(self) -> CutOff | None:
        """Return the attempt that was killed at this run, if the last one was."""
        if not self._marker.is_file():
            return None
        try:
            with self._lock().acquire(timeout=0):
                found = files.read_json(self._marker, "mark of an attempt")
        except (filelock.Timeout, UserError):
            return None
        here = (found["host"], found["boot"]) == (socket.gethostname(), _boot())
        return CutOff(found["host"], found["started"], here and _memory_kills() > found["memory_kills"])

    def is_finished(self, key: str, seed: int) -> bool:
        """Return whether a whole, unchanged copy of the finished run is here."""
        return is_whole(self.finished, key, seed)

    def remove(self) -> None:
        """Delete the folder: the run is settled."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(filelock.Timeout), self._lock().acquire(timeout=0):
            Path(self._lock().lock_file).unlink(missing_ok=True)

    @property
    def _marker(self) -> Path:
        return self.path / "attempt.json"

    def _lock(self) -> filelock.FileLock:
        path = self.path.with_name(f"{self.path.name}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(path)

    def _attempt(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "host": socket.gethostname(),
            "boot": _boot(),
            "pid": os.getpid(),
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "memory_kills": _memory_kills(),
        }


def is_whole(folder: Path, key: str, seed: int) -> bool:
    """Return whether ``folder`` holds the record of this run and every file of it with the digest it
    names.
    """
    try:
        record = files.read_json(folder / RECORD, "run record")
    except UserError:
        return False
    if record.get("key") != key or record.get("seed") != seed:
        return False
    digests = record["files"].items()
    return all((folder / name).is_file() and files.sha256_file(folder / name) == d for name, d in digests)


def publish(finished: Path, destination: Path) -> None:
    """Copy a finished run into place, the record last: a folder with a record is whole."""
    for torn in destination.glob(".*"):  # what an attempt that was killed while it wrote left there
        torn.unlink()
    names = [path.name for path in sorted(finished.iterdir()) if path.name != RECORD]
    for name in (*names, RECORD):
        files.write_bytes(destination / name, (finished / name).read_bytes())


def _boot() -> str:
    """Return what changes when the machine starts anew: counters of the kernel begin at zero again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _memory_kills() -> int:
    """Return how many processes the kernel has killed for their memory since the machine started."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except OSError:
        pass
    return 0
