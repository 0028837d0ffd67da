"""Unpacking archives from the internet without trusting them."""

from __future__ import annotations

import contextlib
import errno
import graphlib
import lzma
import os
import stat
import struct
import sys
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
# Links to folders may make so many files for each entry of an archive, and a thousand more: where each step doubles
# the one before it, twenty steps would make a million.
MAX_COPIES = 10
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
    copies, and those that lead to nothing in the archive, or into a loop, are left out and named on stderr. The
    archive is read to its end, so that its checksums are compared.
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
        self._links: dict[PurePosixPath, PurePosixPath] = {}

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
        with self._writing(place):
            place.mkdir(parents=True, exist_ok=True)

    def write(self, place: Path, source: IO[bytes]) -> None:
        """Write a file, in place of an earlier one, or a link, of its name."""
        with self._writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            file = place.open("wb")
        with file:
            for block in _blocks(source):
                self._spend(len(block))
                file.write(block)
        self._links.pop(self._inside(place), None)

    def link(self, name: str, place: Path, target: str, *, from_root: bool = False) -> None:
        """Note a link, to be written as a copy of what it leads to; refuse one that leads outside."""
        parts: list[str] = []
        for part in (PurePosixPath() if from_root else self._inside(place).parent).joinpath(target).parts:
            if part == ".." and parts:
                parts.pop()
            elif part == ".." or part == "/":
                raise self.refuse(name, f"is a link to {target!r} outside")
            elif part != ".":
                parts.append(part)
        # GNU tar writes a file that it was given twice as a file and a link to itself.
        if PurePosixPath(*parts) != self._inside(place) or not place.is_file():
            self._links[self._inside(place)] = PurePosixPath(*parts)

    def finish(self) -> None:
        """Write the links, and say which are left out. An archive of no file is refused."""
        left_out = dict(self._links)
        entries = self._limits[1] - self._files
        self._files = min(self._files, MAX_COPIES * entries + 1000)
        self._limits = (self._limits[0], entries + self._files)
        for link in self._in_order():
            if self._copy(self._root / self._links[link], self._root / link):
                del left_out[link]
        if not any(path.is_file() for path in self._root.rglob("*")):
            raise UserError(f"{self._archive}: holds no file; a whole copy of it is needed")
        if left_out:
            named = ", ".join(f"{str(link)!r} to {str(target)!r}" for link, target in list(left_out.items())[:5])
            more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
            print(
                f"{self._archive}: left out {len(left_out)} links, which lead to no file of it or back to themselves: "
                f"{named}{more}",
                file=sys.stderr,
            )

    def _in_order(self) -> Iterator[PurePosixPath]:
        """Yield the links, each after those that it leads to, through or past; none that leads back to itself."""
        order: graphlib.TopologicalSorter[PurePosixPath] = graphlib.TopologicalSorter()
        for link, target in self._links.items():
            if target == link or target in link.parents:
                continue
            order.add(link, target, *(parent for parent in target.parents if parent in self._links))
            # A folder is whole when the links in it are written.
            for parent in link.parents:
                order.add(parent, link)
        with contextlib.suppress(graphlib.CycleError):
            order.prepare()
        while ready := order.get_ready():
            yield from (path for path in ready if path in self._links)
            order.done(*ready)

    def _copy(self, source: Path, place: Path) -> bool:
        """Copy a file, or a folder's files, to ``place``; return whether there was one."""
        # Not Path.is_file, which raises where a link's text is no possible name.
        if os.path.isfile(source) and not place.is_dir():
            if source != place:
                with source.open("rb") as file:
                    self.write(place, file)
            return True
        found = [path for path in source.rglob("*") if path.is_file()] if os.path.isdir(source) else []
        for path in found:
            self._spend(0, 1)
            copy = place / path.relative_to(source)
            # What the archive itself has below the link's name stays.
            if not copy.is_file():
                with path.open("rb") as file:
                    self.write(copy, file)
        return len(found) > 0

    @contextlib.contextmanager
    def _writing(self, place: Path) -> Iterator[None]:
        """Name the entry that cannot be written: its name is too long here, or a file's and a folder's at once."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self._archive}: entry {str(self._inside(place))!r} cannot be written: {error.strerror}"
            ) from error

    def _inside(self, place: Path) -> PurePosixPath:
        return PurePosixPath(place.relative_to(self._root))

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
                    unpack.link(name, place, source.read(4096).decode())
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
                unpack.link(entry.name, place, entry.linkname, from_root=entry.islnk())
            else:
                raise unpack.refuse(entry.name, "is a device or a pipe")
        # Padding follows the last entry, and then the checksum of what was compressed.
        for _ in _blocks(bundle.fileobj):
            pass


def _blocks(source: Any) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block
