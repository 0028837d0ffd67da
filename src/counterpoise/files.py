"""Files that are either whole or not there: every result is written beside its place and renamed into it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from counterpoise.errors import UserError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it to ``path`` if the block ends well.

    The bytes are flushed to the disk before the rename and the folder after it, so a crash at any moment
    leaves either the old file or the new one.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror} (is the folder writable?)") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; rename it to ``path`` if the block ends well.

    An existing folder at ``path`` is replaced.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror} (is the folder writable?)") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        publish_directory(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish_directory(temporary: Path, path: Path) -> None:
    """Flush all files of ``temporary`` and rename it to ``path``, replacing what was there."""
    for file in sorted(temporary.rglob("*")):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(old / path.name)
        temporary.rename(path)
        shutil.rmtree(old)
    else:
        temporary.rename(path)
    sync_directory(path.parent)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Run a block in one process at a time for each ``path``; a second process says that it waits, and waits.

    The lock is a hidden file beside ``path`` and ends with the process that holds it, however that ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"{path}: another process makes it; waiting for that one", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically, creating its folder.

    Raises:
        UserError: the disk is full, the folder is not writable, or the disk fails.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; what was finished before is kept: "
            "mend this and run the same command again"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` atomically, creating its folder."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any, *, sort_keys: bool = True) -> None:
    """Write ``data`` as indented JSON, atomically; keys are sorted or in their order. NaN and infinity are
    errors.
    """
    write_text(path, json_text(data, sort_keys=sort_keys))


def json_text(data: Any, *, sort_keys: bool = True) -> str:
    """Return ``data`` as :func:`write_json` writes it."""
    return json.dumps(data, indent=1, sort_keys=sort_keys, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file; ``what`` names it in the error line (for example ``"run record"``)."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: the {what} is not there") from error
    except OSError as error:
        raise UserError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(
            f"{path}: the {what} is truncated or not JSON ({error}); delete it to have it made again"
        ) from error


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
