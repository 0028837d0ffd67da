"""The work folder of a run: who is at it, what a killed attempt left, what is finished but not yet settled.

Below ``work/<cell>/`` are, for each seed, ``seed-<n>.lock``, which the process that trains the run holds, and
the folder ``seed-<n>`` with

* ``attempt.json`` while a process is at it: one that is left over belongs to an attempt that was killed;
* ``attempts.json``, the attempts so far, for the run's record;
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.locks import Lock, locked
from counterpoise.results.record import RECORD, Attempt, RunRecord, read_record
from counterpoise.validation import validate

SCHEMA = 1


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

    def finished_record(self, key: str, seed: int) -> RunRecord | None:
        """Return the record of the finished run that waits there, if it is of this run and whole."""
        try:
            record = read_record(self.finished, key, seed)
        except UserError:
            return None
        return record if is_whole(self.finished, record) else None

    @contextlib.contextmanager
    def held(self, stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold the run while the block runs; if another process has it, wait until that one ends.

        Raises:
            Stopped: ``stop()`` said so while waiting.
            UserError: there are no locks here, or the other process gives no sign of life.
        """
        with locked(self._lock_path, "another process trains this run; waiting for it", stop):
            try:
                files.write_json(self._marker, self._here())
                yield
            finally:
                self._marker.unlink(missing_ok=True)

    def cut_off(self) -> CutOff | None:
        """Return the attempt that was killed at this run, if the last one was."""
        if not self._marker.is_file():
            return None
        lock = Lock(self._lock_path)
        try:
            if not lock.take():
                return None
            found = files.read_json(self._marker, "mark of an attempt")
            here = (found["host"], found["boot"]) == (socket.gethostname(), _boot())
            return CutOff(found["host"], found["started"], here and _memory_kills() > found["memory_kills"])
        except (UserError, KeyError, TypeError):  # no locks here, or somebody else wrote the mark
            return None
        finally:
            lock.release()

    def attempts_before(self, step: int) -> list[Attempt]:
        """Return the attempts that trained what is before ``step``: those that saved nothing of it are left out."""
        try:
            data = files.read_json(self._attempts, "list of attempts")
            attempts = [validate(Attempt, entry, str(self._attempts)) for entry in data]
        except (UserError, TypeError):  # torn: the run goes on, what it is made of is not known
            return []
        return [attempt for attempt in attempts if attempt.step < step]

    def note_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Keep the attempts so far for the one that finishes the run."""
        files.write_json(self._attempts, [attempt.model_dump(mode="json") for attempt in attempts])

    def remove(self) -> None:
        """Delete the folder: the run is settled."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock = Lock(self._lock_path)
        if lock.take():
            lock.release(delete=True)

    @property
    def _marker(self) -> Path:
        return self.path / "attempt.json"

    @property
    def _attempts(self) -> Path:
        return self.path / "attempts.json"

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    def _here(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "host": socket.gethostname(),
            "boot": _boot(),
            "pid": os.getpid(),
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "memory_kills": _memory_kills(),
        }


def is_whole(folder: Path, record: RunRecord) -> bool:
    """Return whether ``folder`` has every file that a record names, each with the digest that it names."""
    return all((folder / n).is_file() and files.sha256_file(folder / n) == d for n, d in record.files.items())


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
