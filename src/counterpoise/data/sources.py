"""Raw files: what there is to fetch, where it is found, and whether it is what the publisher published."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from counterpoise import files
from counterpoise.errors import UserError

# Files up to this size are hashed each time they are used; larger ones when they arrive and when asked for.
ALWAYS_HASHED = 1 << 26
# Lists are text of some hundred kB; only files of such size are compared without their line ends.
TEXT_BYTES = 1 << 23
# Endings of clips, and of their sound alone, that people convert published ones to. Not .mp3: CREMA-D is published with
# such files beside its .wav, which do not take their place.
CLIPS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".mpg", ".mpeg", ".wmv")
SOUND = (".wav", ".flac")
# What other systems leave beside the files that somebody packed or copied, and what only root may read on a disk.
LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "lost+found", "$RECYCLE.BIN", "System Volume Information")

# What stands under a list's name after somebody has saved or packed it with another program, by its first bytes.
_NO_TEXT = {
    b"\xff\xfe": "in UTF-16, as Excel and PowerShell write text; save it as UTF-8",
    b"\xfe\xff": "in UTF-16; save it as UTF-8",
    b"\x1f\x8b": "packed with gzip; unpack it (gunzip)",
    b"BZh91AY&SY": "packed with bzip2; unpack it (bunzip2)",
    b"\xfd7zXZ": "packed with xz; unpack it (unxz)",
    b"PK\x03\x04": "a zip archive or a workbook of Excel; unpack it, or save it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel; save it as CSV in UTF-8",
    b"%PDF-": "a PDF; the text file itself is needed",
    b"{\\rtf": "in RTF, as TextEdit and WordPad write it; save it as plain text",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One file to fetch, or a folder that the user provides.

    ``path`` is relative to the dataset's folder, in ``data/raw`` as in a mirror. ``urls`` are tried in order.
    ``size`` (bytes) and ``sha256`` are ``None`` where the publisher's bytes are not pinned; the digest found
    is then recorded in the manifest instead of checked. ``unpack`` is the folder that an archive is extracted
    to. ``manual`` says what the user must do where there is no address. ``optional``: preparation can do
    without it. ``instead`` are paths that take its place, and ``holds`` endings of files that do: where the
    user has the files that an archive holds, however sorted, the archive is not needed.
    """

    path: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    licence: str = ""
    unpack: str = ""
    manual: str = ""
    optional: bool = False
    instead: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RawFiles:
    """The raw files of one dataset: folders that are searched in order.

    The user's own folder, if there is one, comes first and is never written to; fetched files go to the last.
    """

    folders: tuple[Path, ...]

    @property
    def home(self) -> Path:
        """The folder that fetched files go to."""
        return self.folders[-1]

    def __truediv__(self, path: str) -> Path:
        """Return where ``path`` is: in the first folder that has it, else where it would be fetched to."""
        for folder in self.folders:
            if (folder / path).exists():
                return folder / path
        return self.home / path

    def first(self, *paths: str) -> Path:
        """Return the first of ``paths`` that exists anywhere, else where the first would be."""
        for path in paths:
            if (self / path).exists():
                return self / path
        return self / paths[0]

    def is_own(self, path: Path) -> bool:
        """Return whether ``path`` lies in a folder of the user's own."""
        return any(path.is_relative_to(folder) for folder in self.folders[:-1])

    def name(self, path: Path) -> str:
        """Return a file's name relative to the folder that it is in, as a mirror has it."""
        for folder in self.folders:
            if path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return path.name

    def below(self, *endings: str) -> Iterator[Path]:
        """Yield every file with one of ``endings`` (in small letters; with their dot), folder by folder."""
        for folder in self.folders:
            yield from files_below(folder, endings)

    def by_stem(self, *endings: str, fold: bool = True, within: str = "") -> dict[str, Path]:
        """Return every file with one of ``endings`` by its name without ending, however files are sorted.

        ``fold``: names are in small letters, for lists and folders that spell them differently. Accents are composed
        (NFC), whichever way a disk writes them. ``within``: where there is a folder of that name, only files
        somewhere below such a one count. Of several files of one name the user's own counts, and of those that with
        the earliest of ``endings``.
        """
        every = list(self.below(*endings))
        if within:
            every = [path for path in every if within in self.name(path).lower().split("/")[:-1]] or every
        found: dict[str, Path] = {}
        for path in sorted(every, key=lambda path: (not self.is_own(path), endings.index(path.suffix.lower()))):
            stem = unicodedata.normalize("NFC", path.stem)
            found.setdefault(stem.lower() if fold else stem, path)
        return found


def files_below(folder: Path, endings: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the files below ``folder`` with one of ``endings`` (none: all), sorted, links followed.

    A folder that several links lead to is visited once, so that a link back up ends the search there. Hidden
    files and what other systems leave (``__MACOSX``, ``._x``) do not count. Raises ``UserError`` for a folder that
    cannot be read: its files are not missing.
    """
    seen: set[tuple[int, int]] = set()
    for place, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not is_litter(name))
        for name in sorted(names):
            if not is_litter(name) and (not endings or name.lower().endswith(endings)):
                yield Path(place, name)


def spelled_otherwise(path: Path) -> str:
    """Return what is to be said of a ``path`` that is not there where one is whose name is spelled otherwise: in other
    capitals, or with accents in the other of their two forms, which look the same. Empty where there is none.
    """
    try:
        while not path.parent.exists():
            path = path.parent
        names = sorted(os.listdir(path.parent))
    except OSError:
        return ""
    same = next((name for name in names if name != path.name and _plain(name) == _plain(path.name)), None)
    if same is None:
        return ""
    what = "capitals" if same.lower() == path.name.lower() else "the form of its accents (Unicode)"
    return f"; {path.parent / same} is there, which differs in {what}"


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _refuse(error: OSError) -> None:
    # Folders that are not there have no files.
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UserError(f"{error.filename}: the folder cannot be read: {error.strerror}") from error


def is_litter(name: str) -> bool:
    """Return whether a file or folder is hidden or left by another system, and so none of a dataset's."""
    return name.startswith(".") or name in LITTER


def impostor(path: Path) -> str | None:
    """Return what stands in the place of a file that was not really delivered, by its first bytes.

    ``None`` where it may be the file itself.
    """
    with path.open("rb") as file:
        start = file.read(512)
    return placeholder_of(start)


def impostor_of(start: bytes) -> str | None:
    """Return what a list is, by its first bytes, where it is none that can be read as text; else ``None``."""
    other = placeholder_of(start)
    if other is None:
        other = next((what for magic, what in _NO_TEXT.items() if start.startswith(magic)), None)
    if other is None and b"\0" in start:
        return "no UTF-8 text: it holds zero bytes, as binary files and UTF-16 do; save it as UTF-8"
    return other


def placeholder_of(start: bytes) -> str | None:
    """See :func:`impostor`; ``start`` are a file's first bytes."""
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a git-lfs pointer in place of the file (git lfs pull brings the file, where its budget allows)"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page in place of the file (a log-in, a quota or an error)"
    if text.startswith((b"ffconcat version", b"#extm3u", b"[playlist]", b"v=0\n", b"v=0\r\n")):
        return "a playlist in place of the file; what it names is not opened"
    return None


def place(source: Source, raw: RawFiles) -> Path | None:
    """Return where a source's file is, or the folder that it unpacks to, or what takes its place; else ``None``.

    A folder without any of the files that a source holds is none of these.
    """
    for path in (source.path, *([source.unpack] if source.unpack else []), *source.instead):
        found = raw / path
        if found.exists() and not (source.holds and found.is_dir() and not holds_files(found, source)):
            return found
    if source.holds:
        return next((path.parent for path in raw.below(*source.holds)), None)
    return None


def holds_files(folder: Path, source: Source) -> bool:
    """Return whether there is a file below ``folder`` that the archive ``source`` holds such files of."""
    return next(files_below(folder, source.holds), None) is not None


def is_there(source: Source, raw: RawFiles) -> bool:
    """Return whether a source, or what can take its place, is there."""
    return place(source, raw) is not None


def how_to_get(source: Source, dataset: str) -> str:
    """Return what the user does about a source that is missing."""
    return source.manual or (f"run: counterpoise data fetch {dataset}" if source.urls else "it has no public address")


def not_there(source: Source, raw: RawFiles, dataset: str) -> UserError:
    """Return the error for a source that is missing: where it belongs, what is there instead, and what to do."""
    places = [folder / name for name in (source.path, *source.instead) for folder in raw.folders]
    near = next(filter(None, map(spelled_otherwise, places)), "")
    return UserError(f"{raw / source.path}: is not there{near}; {how_to_get(source, dataset)}")


def check_file(
    path: Path, source: Source, *, always: bool = False, advice: str = "delete it and fetch it again"
) -> None:
    """Raise ``UserError``, with ``advice``, where the file ``path`` is not the published one.

    The size is always compared; the digest for files of up to 64 MiB, or for all with ``always``. Line ends
    of lists do not count.
    """
    if not path.exists() or (path.is_dir() and may_be_folder(source)):
        return
    check_delivered(path, advice)
    found = path.stat().st_size
    if source.size is not None and found != source.size and (found > TEXT_BYTES or not is_published(path, source)):
        raise UserError(f"{path}: has {found} bytes, the published file has {source.size}; {advice}")
    if source.sha256 is not None and (always or found <= ALWAYS_HASHED) and not is_published(path, source):
        digest = files.sha256_file(path)
        raise UserError(f"{path}: sha256 is {digest}, the published file's is {source.sha256}; {advice}")


def may_be_folder(source: Source) -> bool:
    """Return whether a folder of files can stand in a source's place."""
    return bool(source.unpack or source.holds)


def check_delivered(path: Path, advice: str) -> None:
    """Raise ``UserError``, with ``advice``, where something else stands in the place of the file ``path``."""
    if not path.is_file():
        raise UserError(f"{path}: is not a regular file; {advice}")
    other = impostor(path)
    if other is not None and not path.name.endswith((".html", ".htm")):
        raise UserError(f"{path}: is {other}; {advice}")


def is_published(path: Path, source: Source) -> bool | None:
    """Return whether a file is the one that its publisher pins, line ends aside; ``None``: nothing is pinned."""
    if source.sha256 is None:
        return None
    if path.stat().st_size > TEXT_BYTES:
        return files.sha256_file(path) == source.sha256
    content = path.read_bytes()
    return source.sha256 in {hashlib.sha256(text).hexdigest() for text in (content, *_line_ends(content))}


def _line_ends(content: bytes) -> Iterator[bytes]:
    """Yield a text with the line ends of other systems, with and without a mark and a last line end."""
    text = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")
    for mark in (b"", b"\xef\xbb\xbf"):
        for last in (b"\n", b""):
            plain = text + last
            yield mark + plain
            yield mark + plain.replace(b"\n", b"\r\n")
