"""Files that are either whole or not there: every result is written beside its place and renamed into it.

Reading is bounded: only regular files are opened, so that a pipe or a device in a file's place cannot make a command
wait for ever, and none that is larger than what it should be, so that a sparse or packed giant cannot fill memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from counterpoise.errors import UserError

LARGEST = 512 * 2**20
"""Bytes of one file that is read into memory: a list of 10,000 runs has 50 million."""
DEEPEST = 100
"""Levels of nesting in a JSON file; what reads and writes nested data recurses and must come to its end."""
OLD = "old."
"""In the name of a folder that holds what is being replaced."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it to ``path`` if the block ends well.

    The bytes are flushed to the disk before the rename and the folder after it, so a crash at any moment
    leaves either the old file or the new one.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_clear_prefix(path), suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {no_folder(error)}") from error
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


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, for what may be renamed to it; remove it in the end."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_clear_prefix(path), dir=path.parent))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {no_folder(error)}") from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def no_folder(error: OSError) -> str:
    """Return why a folder, or a file in it, cannot be made, and which path is at fault."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        # Something else stands in a folder's place: a file, or a link to a disk that is not there.
        return f"{error.filename} is, or is below, a file or a link that leads nowhere; it must be a folder"
    return f"{error.strerror} (is the folder writable?)"


def _machine() -> str:
    """Return what tells processes of other machines and containers apart, whose numbers mean nothing here."""
    space = Path("/proc/self/ns/pid")  # a container on the host's network has the host's name
    host = socket.gethostname().replace(".", "_")  # a dot ends the machine in a name
    return f"{host}-{space.stat().st_ino if space.exists() else 0}"


def _prefix(path: Path) -> str:
    """Return how temporary names beside ``path`` begin: they say which process of which machine writes there."""
    return f".{path.name}.{_machine()}-{os.getpid()}."


def _clear_prefix(path: Path) -> str:
    """Return :func:`_prefix`, after what killed processes of this machine left beside ``path`` was cleared away."""
    clear_left(path)
    return _prefix(path)


def clear_left(path: Path, *, alone: bool = False) -> None:
    """Clear away what killed processes left beside ``path``: those of this machine, or of any where there is no other.

    A process that was killed between its two renames had moved the old folder aside: that is put back.

    Args:
        alone: whether the caller is the only one that writes there now, as by a lock: then all others were killed.
    """
    if not path.parent.is_dir():
        return
    machine = r"[^.]+-\d+" if alone else re.escape(_machine())
    left = re.compile(rf"\.{re.escape(path.name)}\.{machine}-(\d+)\.({re.escape(OLD)})?[^.]+.*")
    for entry in sorted(os.scandir(path.parent), key=lambda entry: entry.name):
        found = left.fullmatch(entry.name)
        if found is None or (not alone and _is_alive(int(found[1]))):
            continue
        if found[2] and not path.exists():
            with contextlib.suppress(OSError):  # another one put it back just now
                (Path(entry) / path.name).rename(path)
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry, ignore_errors=True)
        else:
            Path(entry).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


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
    with scratch_folder(path) as temporary:
        yield temporary
        temporary.chmod(0o755)
        publish_directory(temporary, path)


def publish_directory(temporary: Path, path: Path) -> None:
    """Flush all files of ``temporary`` and rename it to ``path``, replacing what was there."""
    for file in sorted(temporary.rglob("*")):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=f"{_prefix(path)}{OLD}", dir=path.parent))
        path.rename(old / path.name)
        temporary.rename(path)
        shutil.rmtree(old)
    else:
        temporary.rename(path)
    sync_directory(path.parent)


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
    """Write ``data`` as indented JSON, atomically; keys are sorted or in their order. NaN and infinity are errors."""
    write_text(path, json_text(data, sort_keys=sort_keys))


def json_text(data: Any, *, sort_keys: bool = True) -> str:
    """Return ``data`` as :func:`write_json` writes it."""
    return json.dumps(data, indent=1, sort_keys=sort_keys, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file; ``what`` names it in the error line (for example ``"run record"``).

    Raises:
        UserError: it is not there, cannot be read, is larger than :data:`LARGEST` bytes, is no JSON (NaN and infinity
            are none), or is nested deeper than :data:`DEEPEST`.
    """
    data = read_bytes(path, what)
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UserError(f"{path}: the {what} is nested deeper than {DEEPEST} levels") from error
    except ValueError as error:
        raise UserError(f"{path}: the {what} is truncated or not JSON ({error}); {made_again(path)}") from error
    level, depth = [found], 0
    while level := [value for value in level if isinstance(value, dict | list)]:
        depth += 1
        if depth > DEEPEST:
            raise UserError(f"{path}: the {what} is nested deeper than {DEEPEST} levels")
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return found


def made_again(path: Path, how: str = "delete it to have it made again") -> str:
    """Return ``how`` a damaged file is made again; of a published record, that it cannot be."""
    folders = Path(path).absolute().parents
    if any((folder / "manifest.json").exists() and (folder / "benchmark.yaml").exists() for folder in folders):
        return "it is part of a published record, which cannot be made again: restore the file from Git, or from a copy"
    return how


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def read_bytes(path: Path, what: str, largest: int = LARGEST) -> bytes:
    """Read a regular file of at most ``largest`` bytes; errors as of :func:`read_json`."""
    try:
        with open_regular(path, what) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(largest + 1) if size <= largest else b""
    except FileNotFoundError as error:
        raise UserError(f"{path}: the {what} is not there") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: the {what} cannot be read: {why}") from error
    if max(size, len(data)) > largest:
        raise UserError(f"{path}: the {what} has {max(size, len(data)):,} bytes; at most {largest:,} are read")
    return data


def read_text(path: Path, what: str, largest: int = LARGEST) -> str:
    """Read a UTF-8 file; errors as of :func:`read_json`."""
    try:
        return read_bytes(path, what, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        utf16 = error.object.startswith((b"\xff\xfe", b"\xfe\xff"))
        form = "in UTF-16; save it as UTF-8" if utf16 else f"not UTF-8 text (byte {error.start})"
        raise UserError(f"{path}: the {what} is {form}") from error


def open_regular(path: Path, what: str = "file") -> BinaryIO:
    """Open a regular file for reading without ever waiting for another process.

    Raises:
        UserError: it is a folder, pipe, socket or device.
        OSError: it is not there or cannot be opened.
    """
    # Asked before it is opened, too: opening a device can have effects. Then again of what was opened.
    _check_regular(os.stat(path).st_mode, path, what)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(descriptor).st_mode, path, what)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(mode: int, path: Path, what: str) -> None:
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: the {what} cannot be read: it is {_kind(mode)}, must be a regular file")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def unpack_gzip(data: bytes, where: Path, largest: int = LARGEST) -> bytes:
    """Return what a gzip file holds, if that is at most ``largest`` bytes.

    Raises:
        UserError: it is damaged, or larger: a few packed bytes can hold gigabytes.
    """
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data, largest + 1)
    except zlib.error as error:
        raise UserError(f"{where}: not readable as gzip: {error}") from error
    if len(unpacked) > largest:
        raise UserError(f"{where}: unpacks to more than {largest:,} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise UserError(f"{where}: not readable as gzip: truncated, or more follows its end")
    return unpacked


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a regular file's bytes."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BufferedReader
