"""Unpacking archives from the internet without trusting them."""

from __future__ import annotations

import errno
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from counterpoise.data.sources import impostor, is_litter
from counterpoise.errors import UserError
from counterpoise.files import scratch_folder

MAX_FILES = 5_000_000
MAX_RATIO = 200
FREE_BYTES = 1 << 28
BLOCK = 1 << 20
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# Compression methods of zip files that are met with, by number; Python reads the others.
UNREADABLE = {1: "shrunk", 6: "imploded", 9: "Deflate64", 20: "Zstandard", 93: "Zstandard", 95: "XZ", 98: "PPMd"}

# What the readers raise on damaged archives. RuntimeError is that a zip's header asks for a reader of another version
# (NotImplementedError), and that a tar nests its long names without end (RecursionError).
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
)


def extract(archive: Path, destination: Path, *, max_bytes: int | None = None, max_files: int = MAX_FILES) -> None:
    """Unpack a zip or tar ``archive`` into the new or empty folder ``destination``, wholly or not at all.

    Which of the two it is shows in its bytes. Refused, by name: absolute paths, ``..``, links that leave the
    folder, devices, more than ``max_files`` entries and more than ``max_bytes`` (by default 200 times the
    archive and at least 256 MiB), counted as the bytes come out. What other systems put into archives
    (``__MACOSX``, ``._x``, an entry ``/``) is left out; of entries of one name the last counts; links become
    copies. The archive is read to its end, so that its checksums are compared.
    """
    archive, destination = Path(archive), Path(destination)
    # An empty folder, which somebody made for the files, is replaced.
    if destination.exists() and not (destination.is_dir() and not any(destination.iterdir())):
        raise UserError(f"{destination}: is there already; {archive.name} is unpacked into a new folder only")
    if max_bytes is None:
        max_bytes = max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    try:
        with scratch_folder(destination) as temporary:
            unpack = _Unpacking(archive, temporary, max_bytes, max_files)
            if _is_zip(archive):
                _extract_zip(archive, unpack)
            else:
                _extract_tar(archive, unpack)
            unpack.finish()
            temporary.chmod(0o755)
            temporary.rename(destination)
    except _BROKEN as error:
        raise UserError(f"{archive}: is damaged or cut short ({error}); a whole copy of it is needed") from error
    except OSError as error:
        # gzip and bz2 say so of damage, without a number. A zip whose first part is missing has its list of entries
        # before its start.
        if error.errno in (None, errno.EINVAL):
            raise UserError(f"{archive}: is damaged or cut short ({error}); a whole copy of it is needed") from error
        raise UserError(f"{destination}: cannot be unpacked: {error.strerror or error}") from error


def _is_zip(archive: Path) -> bool:
    """Return whether an archive is a zip or (False) a tar; a tar may well hold a zip that is found in it."""
    with archive.open("rb") as file:
        if file.read(4) in ZIP_MAGIC:
            return True
    if tarfile.is_tarfile(archive):
        return False
    if zipfile.is_zipfile(archive):
        return True
    what = impostor(archive)
    reason = f"is {what}" if what else "is neither a zip nor a tar archive, or its end is missing"
    raise UserError(f"{archive}: {reason}; a whole copy of it is needed")


class _Unpacking:
    """The folder that an archive is unpacked into: decides where entries go, and stops what fills the disk."""

    def __init__(self, archive: Path, root: Path, max_bytes: int, max_files: int) -> None:
        self._archive, self._root = archive, root
        self._bytes, self._files = max_bytes, max_files
        self._limits = (max_bytes, max_files)
        self._links: list[tuple[str, PurePosixPath, Path]] = []

    def refuse(self, name: str, why: str) -> UserError:
        """Return the error that names an entry."""
        return UserError(f"{self._archive}: entry {name!r} {why}; refused")

    def place(self, name: str) -> Path | None:
        """Return where the entry ``name`` goes; ``None`` for what is left out. Refuses one that would leave."""
        self._spend(0, 1)
        path = PurePosixPath(name.replace("\\", "/"))
        parts = [part for part in path.parts if part not in ("/", ".")]
        if parts and (path.is_absolute() or name[1:2] == ":" or ".." in parts):
            raise self.refuse(name, "would be written outside the folder")
        if not parts or any(is_litter(part) for part in parts):
            return None
        return self._root.joinpath(*parts)

    def folder(self, place: Path) -> None:
        """Make a folder."""
        place.mkdir(parents=True, exist_ok=True)

    def write(self, place: Path, source: IO[bytes]) -> None:
        """Write a file, in place of an earlier one of its name."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            for block in _blocks(source):
                self._spend(len(block))
                file.write(block)

    def link(self, name: str, place: Path, base: PurePosixPath, target: str) -> None:
        """Note a link, to be written as a copy of the file that it leads to; refuse one that leads outside."""
        parts: list[str] = []
        for part in (base / target).parts:
            if part == ".." and parts:
                parts.pop()
            elif part == ".." or part == "/":
                raise self.refuse(name, f"is a link to {target!r} outside")
            elif part != ".":
                parts.append(part)
        self._links.append((name, PurePosixPath(*parts), place))

    def finish(self) -> None:
        """Write the links. One that leads to no file of the archive is left out. An archive of no file is refused."""
        for _, target, place in self._links:
            source = self._root / target
            if source.is_file() and source != place:
                with source.open("rb") as file:
                    self.write(place, file)
        if not any(path.is_file() for path in self._root.rglob("*")):
            raise UserError(f"{self._archive}: holds no file; a whole copy of it is needed")

    def _spend(self, size: int, entries: int = 0) -> None:
        self._bytes -= size
        self._files -= entries
        if self._bytes < 0 or self._files < 0:
            what = f"{self._limits[0]} bytes" if self._bytes < 0 else f"{self._limits[1]} files"
            raise UserError(f"{self._archive}: unpacks to more than {what}; refused as a possible zip bomb")


def _extract_zip(archive: Path, unpack: _Unpacking) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            name = entry.filename
            place = unpack.place(name)
            if place is None:
                continue
            if name.replace("\\", "/").endswith("/"):
                unpack.folder(place)
                continue
            if entry.flag_bits & 1:
                raise UserError(f"{archive}: entry {name!r} is encrypted; unpack it yourself, with its password")
            try:
                source = bundle.open(entry)
            except NotImplementedError as error:
                method = UNREADABLE.get(entry.compress_type, f"method {entry.compress_type}")
                raise UserError(
                    f"{archive}: entry {name!r} is compressed in a way that Python does not read ({method}); "
                    f"unpack it with another program (7z x) and name the folder in data_roots"
                ) from error
            with source:
                if stat.S_ISLNK(entry.external_attr >> 16):
                    unpack.link(name, place, PurePosixPath(name).parent, source.read(4096).decode())
                else:
                    unpack.write(place, source)


class _TarEntry(tarfile.TarInfo):
    """An entry whose header is damaged is an error; the library takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _extract_tar(archive: Path, unpack: _Unpacking) -> None:
    with tarfile.open(archive, tarinfo=_TarEntry) as bundle:
        for entry in bundle:
            place = unpack.place(entry.name)
            if place is None:
                continue
            if entry.isdir():
                unpack.folder(place)
            elif entry.isfile():
                unpack.write(place, bundle.extractfile(entry))
            elif entry.issym() or entry.islnk():
                base = PurePosixPath(entry.name).parent if entry.issym() else PurePosixPath()
                unpack.link(entry.name, place, base, entry.linkname)
            else:
                raise unpack.refuse(entry.name, "is a device or a pipe")
        # Padding follows the last entry, and then the checksum of what was compressed.
        for _ in _blocks(bundle.fileobj):
            pass


def _blocks(source: Any) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block
