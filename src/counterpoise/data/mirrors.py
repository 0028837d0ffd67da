"""Mirrors: a folder or an address that holds the raw files of datasets, laid out ``<folder>/<file>``."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from counterpoise import files
from counterpoise.data.clips import too_many
from counterpoise.data.download import first_of
from counterpoise.data.interface import Dataset
from counterpoise.data.inventory import take_inventory
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, files_below, not_there
from counterpoise.errors import UserError, reason

SUMS = "SHA256SUMS"
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"))


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
    unreadable: tuple[str, ...]


def pack(datasets: Iterable[tuple[Dataset, RawFiles]], mirror: Path, progress: Progress = quiet) -> int:
    """Copy what preparing ``datasets`` reads (each with where its raw files are) into ``mirror``; return how
    many files that are.

    They keep the layout that they have. Files are copied once; ``SHA256SUMS`` then covers every file of the
    mirror. Missing lists, or so many missing media that preparation would fail, are an error, and so is a file that
    cannot be read: it is raised when all else is packed.
    """
    mirror = Path(mirror)
    wanted: dict[str, Path] = {}
    problems = []
    for data, raw in datasets:
        try:
            wanted.update(_packed(data, raw))
        except (UserError, OSError) as error:
            problems.append(reason(error))
    if problems and not wanted:
        raise UserError("; ".join(problems))
    sums = read_sums(mirror) if (mirror / SUMS).is_file() else {}
    count = 0
    try:
        for done, (name, path) in enumerate(sorted(wanted.items()), start=1):
            try:
                name.encode()
                digest = files.sha256_file(path)
            except (UserError, OSError) as error:
                problems.append(reason(error))
            except UnicodeEncodeError:
                problems.append(f"{name!r}: its name is not UTF-8; rename it")
            else:
                _pack_file(path, mirror / name, digest)
                sums[name] = digest
                count += 1
            progress("packing", done, len(wanted))
    finally:
        # Also where this was stopped: what is packed can be used, and is not packed again.
        if sums:
            files.write_text(mirror / SUMS, "".join(_line(name, digest) for name, digest in sorted(sums.items())))
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(f"{mirror}: {count} files are packed, but not all: {'; '.join(problems[:5])}{more}")
    return count


def _pack_file(path: Path, place: Path, digest: str) -> None:
    try:
        if not (place.is_file() and files.sha256_file(place) == digest):
            with files.atomic_path(place) as temporary:
                shutil.copyfile(path, temporary)
    except OSError as error:
        raise UserError(f"{place}: cannot be copied from {path}: {error.strerror}") from error


def _line(name: str, digest: str) -> str:
    """Return a line of ``SHA256SUMS``; a line end in a name is written as ``sha256sum`` does, and marked in front."""
    escaped = name
    for character, code in _ESCAPES:
        escaped = escaped.replace(character, code)
    return f"{'' if escaped == name else chr(92)}{digest}  ./{escaped}\n"


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
        raise too_many(data.info.name, names, found.listed, allowed, "Nothing of it was packed.")
    return {f"{data.folder}/{name}": path for name, path in found.files.items()}


def verify(mirror: Path, progress: Progress = quiet) -> MirrorReport:
    """Compare every file of a mirror folder with its ``SHA256SUMS``."""
    mirror = Path(mirror)
    sums = read_sums(mirror)
    good, missing, changed, unlisted, unreadable = 0, [], [], [], []
    for done, (name, digest) in enumerate(sorted(sums.items()), start=1):
        path = mirror / name
        try:
            if not path.is_file():
                missing.append(name)
            elif files.sha256_file(path) != digest:
                changed.append(name)
            else:
                good += 1
        except OSError as error:
            unreadable.append(f"{name}: {error.strerror}")
        progress("verifying", done, len(sums))
    try:
        present = {path.relative_to(mirror).as_posix() for path in files_below(mirror)}
        unlisted = sorted(present - set(sums) - {SUMS, "README.md"})
    except UserError as error:
        unreadable.append(str(error))
    return MirrorReport(good, tuple(missing), tuple(changed), tuple(unlisted), tuple(unreadable))


def read_sums(mirror: Path) -> dict[str, str]:
    """Return the digest of each file that a mirror folder lists in ``SHA256SUMS``."""
    path = Path(mirror) / SUMS
    return _parsed(files.read_text(path, "list of digests"), str(path))


def fetch_sums(mirror: str) -> dict[str, str]:
    """Return the digest of each file that a mirror at an address lists; empty where it lists nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SUMS
        address = f"{mirror.rstrip('/')}/{SUMS}"
        reasons, refused = first_of([address], path)
        if reasons and not refused:
            raise UserError(f"mirror {mirror}: cannot be asked for what it has: {'; '.join(reasons)}")
        return _parsed(path.read_text(encoding="utf-8", errors="replace"), address) if path.is_file() else {}


def _parsed(text: str, where: str) -> dict[str, str]:
    sums = {}
    # Not splitlines, which also cuts at characters that names may have.
    for number, whole in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = whole.removesuffix("\r")
        if not line:
            continue
        # Behind the digest and a space stands a second space, or the star of 'sha256sum --binary'.
        digest, _, name = line.removeprefix("\\").partition(" ")
        digest, name = digest.lower(), name[1:].removeprefix("*").removeprefix("./") if name[:1] in (" ", "*") else ""
        if len(digest) != 64 or not name:
            raise UserError(
                f"{where}: line {number} is not '<sha256>  <file>'; is the list torn? "
                "Without it, 'mirror pack' makes a new one"
            )
        if line.startswith("\\"):
            name = re.sub(r"\\([\\nr])", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), name)
        # The names become paths below the folder of raw data.
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise UserError(f"{where}: line {number} names a file outside: {name!r}")
        sums[name] = digest
    return sums
