"""Mirrors: a folder or an address that holds the raw files of datasets, laid out ``<folder>/<file>``."""

from __future__ import annotations

import dataclasses
import shutil
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from counterpoise import files
from counterpoise.data.interface import Dataset
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, Source, check_file
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
    """Copy the raw files of ``datasets`` (each with where they are) into ``mirror``; return how
    many.

    Files are copied once; ``SHA256SUMS`` then covers every file of the mirror. A source that is not there is
    an error that names the command to fetch it.
    """
    mirror = Path(mirror)
    wanted: dict[str, Path] = {}
    for data, raw in datasets:
        for source in data.all_sources(raw):
            wanted.update(_files_of(data, source, raw))
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


def _files_of(data: Dataset, source: Source, raw: RawFiles) -> dict[str, Path]:
    """Return the files of a source by their names in a mirror."""
    path = raw / source.path
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return {f"{data.folder}/{source.path}/{file.relative_to(path).as_posix()}": file for file in inside}
    if path.is_file():
        check_file(path, source, always=True)
        return {f"{data.folder}/{source.path}": path}
    if source.optional:
        return {}
    raise UserError(f"{path}: is not there; run: counterpoise data fetch {data.info.name}")


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
    present = {str(path.relative_to(mirror)) for path in mirror.rglob("*") if path.is_file()}
    unlisted = sorted(present - set(sums) - {SUMS, "README.md"})
    good = len(sums) - len(missing) - len(changed)
    return MirrorReport(good, tuple(missing), tuple(changed), tuple(unlisted))


def read_sums(mirror: Path) -> dict[str, str]:
    """Return the digest of each file that a mirror folder lists in ``SHA256SUMS``."""
    path = Path(mirror) / SUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    sums = {}
    for number, line in enumerate(lines, start=1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise UserError(f"{path}: line {number} is not '<sha256>  <file>'")
        sums[name.removeprefix("*").removeprefix("./")] = digest
    return sums
