"""A run that failed, as a value: what class of failure, whether another attempt makes sense, and the
evidence.

``completed`` and ``diverged`` are results and are never trained again. ``failed`` and ``out_of_memory`` are
noted in ``failure.json`` where the run's record would be. The policy, which the workflow applies by the job's
exit code:

* out of memory: the next attempt asks for more memory, and for a whole device; * the machine's fault (a full
or failing disk, a device that fell off): the next attempt is the same; * anything else is a mistake that the
same code would make again: no further attempt until the user asks for one.
"""

from __future__ import annotations

import datetime
import errno
import shlex
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from counterpoise import files
from counterpoise.errors import UserError

SCHEMA = 1
NAME = "failure.json"
LAST_LINES = 20

Status = Literal["failed", "out_of_memory"]

_MACHINE = {
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOLCK, errno.EHOSTUNREACH, errno.ENETUNREACH),
}
# Torch raises its own OutOfMemoryError for a GPU and a plain RuntimeError for the CPU.
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "cublas_status_alloc_failed")
_DEVICE_WORDS = ("cuda error", "cudnn_status_", "cublas_status_", "nccl", "ecc error", "no cuda gpus are available")
_MISTAKE_WORDS = ("device-side assert", "illegal memory access", "invalid configuration", "cudnn_status_bad_param")


@dataclass(frozen=True)
class Failure:
    """Why a run has no record. ``again`` says whether a further attempt may go better."""

    status: Status
    reason: str
    again: bool
    last_lines: tuple[str, ...] = ()
    log: str | None = None


def classify(error: BaseException, log: str | None = None) -> Failure:
    """Return the failure that an exception means."""
    lines = tuple("".join(traceback.format_exception(error)).rstrip().splitlines()[-LAST_LINES:])
    reason = _first_line(error)
    if any(_is_memory(link) for link in _chain(error)):
        return Failure("out_of_memory", reason, True, lines, log)
    return Failure("failed", reason, any(_is_machine(link) for link in _chain(error)), lines, log)


def write_failure(folder: Path, key: str, seed: int, failure: Failure, attempt: int = 1) -> Path:
    """Note a run's failure in its folder."""
    files.write_json(
        folder / NAME,
        {
            "schema": SCHEMA,
            "key": key,
            "seed": seed,
            **asdict(failure),
            "attempt": attempt,
            "host": socket.gethostname(),
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["counterpoise", *sys.argv[1:]]),
        },
    )
    return folder / NAME


def read_failure(folder: Path, key: str, seed: int) -> Failure | None:
    """Return the failure noted in a run's folder, if it is this run's."""
    if not (folder / NAME).is_file():
        return None
    found: dict[str, Any] = files.read_json(folder / NAME, "note of a failure")
    if (found.get("schema"), found.get("key"), found.get("seed")) != (SCHEMA, key, seed):
        return None
    lines = tuple(found["last_lines"])
    return Failure(found["status"], found["reason"], found["again"], lines, found["log"])


def forget_failure(folder: Path) -> None:
    """Remove the note: the run has a record now."""
    (folder / NAME).unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    if isinstance(error, UserError):
        return text[0] if text else "no reason given"
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _MEMORY_WORDS)


def _is_machine(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _MACHINE or isinstance(error, ConnectionError | TimeoutError)
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return any(word in text for word in _DEVICE_WORDS) and not any(word in text for word in _MISTAKE_WORDS)
