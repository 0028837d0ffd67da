"""Unpacking archives from the internet without trusting them."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from counterpoise.errors import UserError

MAX_FILES = 5_000_000
MAX_RATIO = 200
FREE_BYTES = 1 << 28
BLOCK = 1 << 20

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)


def extract(archive: Path, destination: Path, *, max_bytes: int | None = None, max_files: int = MAX_FILES) -> None:
    """Unpack a zip or tar ``archive`` into the new folder ``destination``, wholly or not at all.

    Refused, by name: absolute paths, ``..``, links that leave the folder, devices, more than ``max_files``
    entries and more than ``max_bytes`` (by default 200 times the archive and at least 256 MiB), counted as
    the bytes come out.
    """
    archive, destination = Path(archive), Path(destination)
    if destination.exists():
        raise UserError(f"{destination}: is there already; {archive.name} is unpacked into a new folder only")
    if max_bytes is None:
        max_bytes = max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        budget = _Budget(archive, max_bytes, max_files)
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, temporary, budget)
        elif tarfile.is_tarfile(archive):
            _extract_tar(archive, temporary, budget)
        else:
            raise UserError(f"{archive}: is neither a zip nor a tar archive, or its end is missing")
        temporary.chmod(0o755)
        temporary.rename(destination)
    except _BROKEN as error:
        raise UserError(f"{archive}: is damaged or cut short ({error}); delete it and fetch it again") from error
    except OSError as error:
        raise UserError(f"{destination}: cannot be unpacked: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Budget:
    """Counts what comes out of an archive and stops one that is made to fill the disk."""

    def __init__(self, archive: Path, max_bytes: int, max_files: int) -> None:
        self._archive = archive
        self._bytes, self._files = max_bytes, max_files
        self._limits = (max_bytes, max_files)

    def spend(self, size: int, entries: int = 0) -> None:
        self._bytes -= size
        self._files -= entries
        if self._bytes < 0 or self._files < 0:
            what = f"{self._limits[0]} bytes" if self._bytes < 0 else f"{self._limits[1]} files"
            raise UserError(f"{self._archive}: unpacks to more than {what}; refused as a possible zip bomb")


def _safe_place(archive: Path, name: str, root: Path) -> Path:
    """Return where the entry ``name`` goes below ``root``; refuse one that would go elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or drive or ".." in path.parts:
        raise UserError(f"{archive}: entry {name!r} would be written outside the folder; refused")
    return root.joinpath(*path.parts)


def _extract_zip(archive: Path, root: Path, budget: _Budget) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            budget.spend(0, 1)
            place = _safe_place(archive, entry.filename, root)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise UserError(f"{archive}: entry {entry.filename!r} is a link; refused")
            if entry.flag_bits & 1:
                raise UserError(f"{archive}: entry {entry.filename!r} is encrypted")
            if entry.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(entry) as source:
                _copy(source, place, budget)


def _extract_tar(archive: Path, root: Path, budget: _Budget) -> None:
    with tarfile.open(archive) as bundle:
        for entry in bundle:
            budget.spend(0, 1)
            place = _safe_place(archive, entry.name, root)
            if entry.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif entry.isfile():
                place.parent.mkdir(parents=True, exist_ok=True)
                _copy(bundle.extractfile(entry), place, budget)
            elif entry.issym() or entry.islnk():
                _copy_link(archive, entry, root, place, budget)
            else:
                raise UserError(f"{archive}: entry {entry.name!r} is a device or a pipe; refused")


def _copy_link(archive: Path, entry: tarfile.TarInfo, root: Path, place: Path, budget: _Budget) -> None:
    """Write a link as a copy of the file that it points to, which must be inside and unpacked before it."""
    base = PurePosixPath(entry.name).parent if entry.issym() else PurePosixPath()
    parts: list[str] = []
    target = PurePosixPath(entry.linkname)
    for part in (base / target).parts:
        if part == "..":
            if not parts:
                raise UserError(f"{archive}: entry {entry.name!r} is a link to {entry.linkname!r} outside; refused")
            parts.pop()
        elif part != ".":
            parts.append(part)
    if target.is_absolute():
        raise UserError(f"{archive}: entry {entry.name!r} is a link to {entry.linkname!r} outside; refused")
    source = root.joinpath(*parts)
    if not source.is_file():
        raise UserError(f"{archive}: entry {entry.name!r} is a link to {entry.linkname!r}, which is not there")
    place.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file:
        _copy(file, place, budget)


def _copy(source: object, place: Path, budget: _Budget) -> None:
    with place.open("xb") as file:
        for block in _blocks(source):
            budget.spend(len(block))
            file.write(block)


def _blocks(source: object) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block
