"""A run that failed, as a value: what class of failure, whether another attempt makes sense, and the evidence.

``completed`` and ``diverged`` are results and are never trained again. ``failed`` and ``out_of_memory`` are noted in
``failure.json`` where the run's record would be. The policy, which the workflow applies by the job's exit code:

* out of memory: the next attempt asks for more memory, and for a whole device;
* the machine's fault (a full or failing disk, a device that fell off): the next attempt is the same;
* anything else is a mistake that the same code would make again: no further attempt until the user asks for one.
"""

from __future__ import annotations

import datetime
import errno
import shlex
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.validation import validate

SCHEMA = 2
NAME = "failure.json"
LAST_LINES = 20
KILLED = "killed from outside (a time or memory limit, or a person)"
"""Begins the reason of an attempt that did not fail by itself: its run is interrupted, and goes on where it was."""

Status = Literal["failed", "out_of_memory"]

_MACHINE = {
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOLCK, errno.EHOSTUNREACH, errno.ENETUNREACH),
}
# Torch raises its own OutOfMemoryError for a GPU and a plain RuntimeError for the CPU.
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "cublas_status_alloc_failed")
_DEVICE_WORDS = ("cuda error", "cudnn_status_", "cublas_status_", "nccl", "ecc error", "no cuda gpus are available")
_MISTAKE_WORDS = ("device-side assert", "illegal memory access", "invalid configuration", "cudnn_status_bad_param")


class Failure(BaseModel):
    """Why an attempt at a run left no record. ``again`` says whether a further attempt may go better."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status
    reason: str
    again: bool
    last_lines: tuple[str, ...] = ()
    log: str | None = None
    attempt: int = 1
    host: str = ""
    at: str = ""
    command: str = ""


def is_interrupted(reason: str) -> bool:
    """Return whether a failure of this reason is a run that was stopped, and not one that went wrong."""
    return reason.startswith(KILLED)


class _Failures(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[2] = Field(2, alias="schema")
    key: str
    seed: int
    failures: tuple[Failure, ...] = Field(min_length=1)


def classify(error: BaseException, log: str | None = None, attempt: int = 1) -> Failure:
    """Return the failure that an exception means."""
    memory = any(_is_memory(link) for link in _chain(error))
    return Failure(
        status="out_of_memory" if memory else "failed",
        reason=_first_line(error),
        again=memory or any(_is_machine(link) for link in _chain(error)),
        last_lines=tuple("".join(traceback.format_exception(error)).rstrip().splitlines()[-LAST_LINES:]),
        log=log,
        attempt=attempt,
        host=socket.gethostname(),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=shlex.join(["counterpoise", *sys.argv[1:]]),
    )


def note_failure(folder: Path, key: str, seed: int, failure: Failure) -> Path:
    """Add a failure to those of the run in ``folder``: a later one does not hide what an earlier one said."""
    noted = _Failures(key=key, seed=seed, failures=(*read_failures(folder, key, seed), failure))
    files.write_json(folder / NAME, noted.model_dump(mode="json", by_alias=True))
    return folder / NAME


def read_failures(folder: Path, key: str, seed: int) -> tuple[Failure, ...]:
    """Return the failures noted in a run's folder, first to last; none if they are another run's."""
    path = folder / NAME
    if not path.is_file():
        return ()
    data = files.read_json(path, "note of a failure")
    if not isinstance(data, dict) or (data.get("schema"), data.get("key"), data.get("seed")) != (SCHEMA, key, seed):
        return ()
    return validate(_Failures, data, str(path)).failures


def read_failure(folder: Path, key: str, seed: int) -> Failure | None:
    """Return the last failure noted in a run's folder, if there is one."""
    return next(reversed(read_failures(folder, key, seed)), None)


def forget_failure(folder: Path) -> None:
    """Remove the notes: the run has a record now."""
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
