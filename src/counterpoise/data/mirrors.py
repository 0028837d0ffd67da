"""Mirrors: a folder or an address that holds the raw files of datasets, laid out ``<folder>/<file>``."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from counterpoise import files
from counterpoise.data.clips import too_many
from counterpoise.data.download import download
from counterpoise.data.interface import Dataset
from counterpoise.data.inventory import take_inventory
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, files_below, not_there
from counterpoise.errors import UserError

SUMS = "SHA256SUMS"


def is_address(mirror: str | Path) -> bool:
    """Return whether ``mirror`` is a URL and not a folder."""
    return "://" in str(mirror)


def mirror_url(mirror: str, folder: str, path: str) -> str:
    """Return the address of a dataset's file on a mirror that is a URL."""
    return f"{mirror.rstrip('/')}/{urllib.parse.quote(f'{folder}/{path}')}"


@dataclasses.dataclass(frozen=True)
class MirrorReport:
    """What :func:`verify` found: how many files are as listed, and the names of those that are not."""

    good: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unlisted: tuple[str, ...]


def pack(datasets: Iterable[tuple[Dataset, RawFiles]], mirror: Path, progress: Progress = quiet) -> int:
    """Copy what preparing ``datasets`` reads (each with where its raw files are) into ``mirror``; return how
    many files that are.

    They keep the layout that they have. Files are copied once; ``SHA256SUMS`` then covers every file of the
    mirror. Missing lists, or so many missing media that preparation would fail, are an error.
    """
    mirror = Path(mirror)
    wanted: dict[str, Path] = {}
    for data, raw in datasets:
        wanted.update(_packed(data, raw))
    sums = read_sums(mirror) if (mirror / SUMS).is_file() else {}
    for done, (name, path) in enumerate(sorted(wanted.items()), start=1):
        digest = files.sha256_file(path)
        if sums.get(name) != digest or not (mirror / name).is_file():
            with files.atomic_path(mirror / name) as temporary:
                shutil.copyfile(path, temporary)
        sums[name] = digest
        progress("packing", done, len(wanted))
    lines = [f"{digest}  ./{name}\n" for name, digest in sorted(sums.items())]
    files.write_text(mirror / SUMS, "".join(lines))
    return len(wanted)


def _packed(data: Dataset, raw: RawFiles) -> dict[str, Path]:
    """Return the files of a dataset by their names in a mirror."""
    found = take_inventory(data, raw)
    for source in found.missing:
        raise not_there(source, raw, data.info.name)
    gone, allowed = found.listed - found.items_there, getattr(data, "max_dropped", 0.0)
    if gone > allowed * found.listed:
        names = [
            (item.id, "the file is missing")
            for items in data.listed_items(raw).values()
            for item in items
            if not all(path.is_file() for path in item.files)
        ]
        raise too_many(data.info.name, names, found.listed, allowed, "Nothing was packed.")
    return {f"{data.folder}/{name}": path for name, path in found.files.items()}


def verify(mirror: Path, progress: Progress = quiet) -> MirrorReport:
    """Compare every file of a mirror folder with its ``SHA256SUMS``."""
    mirror = Path(mirror)
    sums = read_sums(mirror)
    missing, changed = [], []
    for done, (name, digest) in enumerate(sorted(sums.items()), start=1):
        path = mirror / name
        if not path.is_file():
            missing.append(name)
        elif files.sha256_file(path) != digest:
            changed.append(name)
        progress("verifying", done, len(sums))
    present = {path.relative_to(mirror).as_posix() for path in files_below(mirror)}
    unlisted = sorted(present - set(sums) - {SUMS, "README.md"})
    good = len(sums) - len(missing) - len(changed)
    return MirrorReport(good, tuple(missing), tuple(changed), tuple(unlisted))


def read_sums(mirror: Path) -> dict[str, str]:
    """Return the digest of each file that a mirror folder lists in ``SHA256SUMS``."""
    path = Path(mirror) / SUMS
    return _parsed(files.read_text(path, "list of digests"), str(path))


def fetch_sums(mirror: str) -> dict[str, str]:
    """Return the digest of each file that a mirror at an address lists; empty where it lists nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SUMS
        download([f"{mirror.rstrip('/')}/{SUMS}"], path, optional=True)
        return _parsed(path.read_text(encoding="utf-8", errors="replace"), mirror) if path.is_file() else {}


def _parsed(text: str, where: str) -> dict[str, str]:
    sums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        # Behind the digest and a space stands a second space, or the star of 'sha256sum --binary'.
        digest, _, name = line.removeprefix("\ufeff").partition(" ")
        digest, name = digest.lower(), name[1:].removeprefix("*").removeprefix("./") if name[:1] in (" ", "*") else ""
        if len(digest) != 64 or not name:
            raise UserError(f"{where}: line {number} is not '<sha256>  <file>'")
        # The names become paths below the folder of raw data.
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise UserError(f"{where}: line {number} names a file outside: {name!r}")
        sums[name] = digest
    return sums
