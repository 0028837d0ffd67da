"""Raw files: what there is to fetch, where it is found, and whether it is what the publisher published."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from counterpoise import files
from counterpoise.errors import UserError

# Files up to this size are hashed each time they are used; larger ones when they arrive and when asked for.
ALWAYS_HASHED = 1 << 26


@dataclasses.dataclass(frozen=True)
class Source:
    """One file to fetch, or a folder that the user provides.

    ``path`` is relative to the dataset's folder, in ``data/raw`` as in a mirror. ``urls`` are tried in order.
    ``size`` (bytes) and ``sha256`` are ``None`` where the publisher's bytes are not pinned; the digest found
    is then recorded in the manifest instead of checked. ``unpack`` is the folder that an archive is extracted
    to. ``manual`` says what the user must do where there is no address. ``optional``: preparation can do
    without it.
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


def place(source: Source, raw: RawFiles) -> Path | None:
    """Return where a source's file is, or the folder that it unpacks to, or what takes its place; else
    ``None``.
    """
    for path in (source.path, *([source.unpack] if source.unpack else []), *source.instead):
        if (raw / path).exists():
            return raw / path
    return None


def is_there(source: Source, raw: RawFiles) -> bool:
    """Return whether a source, or what can take its place, is there."""
    return place(source, raw) is not None


def check_file(path: Path, source: Source, *, always: bool = False) -> None:
    """Raise ``UserError`` where the file ``path`` is not the published one.

    The size is always compared; the digest for files of up to 64 MiB, or for all with ``always``.
    """
    if path.is_dir() or not path.exists():
        return
    found = path.stat().st_size
    again = "delete it and fetch it again"
    if source.size is not None and found != source.size:
        raise UserError(f"{path}: has {found} bytes, the published file has {source.size}; {again}")
    if source.sha256 is not None and (always or found <= ALWAYS_HASHED):
        digest = files.sha256_file(path)
        if digest != source.sha256:
            raise UserError(f"{path}: sha256 is {digest}, the published file's is {source.sha256}; {again}")
