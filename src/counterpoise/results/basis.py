"""What a benchmark's derived folder rests on, and whether it still does.

``results/<benchmark>/`` is written as a whole from the runs. ``basis.json`` in it names, by digest, what was asked for
(the layout, the papers, the source that judges and writes), every file of every run that was read, and every file that
was written. The folder is up to date when all of these are still so.

Sizes are always compared. A digest is taken of what may have been changed since: files whose time of change (of the
content or of the entry in its folder, whichever is later) is not before the moment that the basis names. That moment is
read from the file system that has the files, so clocks of other machines do not matter.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import counterpoise
from counterpoise.errors import UserError
from counterpoise.files import read_json, sha256_file, write_json

BASIS = "basis.json"
SCHEMA = 1
RESERVED = ("runs", "data", "explain", "published", "performance", "audit")
"""Folders of ``results/`` that no benchmark can be called by."""

# The source that derives: what it says enters the digest byte for byte, templates too. A changed comment makes a report
# again, which costs seconds; that no trained run depends on it is the run's key's business.
_DERIVING = ("judging", "papers", "reporting", "results", "metrics.py", "runs/collect.py", "runs/layout.py")

Stamp = tuple[int, str]
"""Size in bytes and SHA-256 of a file."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a derived folder rests on.

    ``planned`` and ``finished`` count runs; ``partial``: some are missing. ``read_at`` and ``written_at`` are times of
    the file system in nanoseconds, before the first run was read and after the last file was written. ``runs`` maps a
    run's folder (below ``results/runs``) to its files; ``explanations`` (below ``results/explain/<benchmark>``) and
    ``files`` (below the derived folder) map names to stamps.
    """

    asked: str
    planned: int
    finished: int
    read_at: int
    written_at: int = 0
    runs: Mapping[str, Mapping[str, Stamp]] = field(default_factory=dict)
    explanations: Mapping[str, Stamp] = field(default_factory=dict)
    files: Mapping[str, Stamp] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether runs are missing or failed."""
        return self.finished < self.planned


def results_folder(root: Path, benchmark: str) -> Path:
    """Return the folder with everything derived of a benchmark.

    Raises:
        UserError: the name is that of another folder of ``results/``.
    """
    if benchmark in RESERVED:
        raise UserError(f"name: a benchmark cannot be called '{benchmark}': results/{benchmark} holds something else")
    return Path(root) / "results" / benchmark


def write_basis(folder: Path, basis: Basis) -> None:
    """Stamp every file of ``folder`` and write ``basis.json`` beside them, last."""
    names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    files = {name: stamp(folder / name) for name in names if name != BASIS}
    content = asdict(basis) | {"schema": SCHEMA, "partial": basis.partial, "files": files, "written_at": now(folder)}
    write_json(folder / BASIS, content)


def read_basis(folder: Path) -> Basis | None:
    """Return a folder's basis, None where there is none that can be read: the folder is then made again."""
    path = Path(folder) / BASIS
    try:
        content: dict[str, Any] = read_json(path, "basis of results")
        if content.pop("schema") != SCHEMA:
            return None
        content.pop("partial")
        basis = Basis(**content)
        numbers = (basis.planned, basis.finished, basis.read_at, basis.written_at)
        maps: tuple[Mapping[str, Any], ...] = (basis.runs, basis.explanations, basis.files, *basis.runs.values())
        stamps = [stamp for kind in maps[1:] for stamp in kind.values()]
        whole = all(type(n) is int for n in numbers) and all(isinstance(kind, dict) for kind in maps)
        return basis if whole and all(len(s) == 2 and type(s[0]) is int for s in stamps) else None
    except (UserError, KeyError, TypeError, AttributeError):
        return None


def what_is_asked(root: Path, layout: str, papers: Iterable[str]) -> str:
    """Return the digest of all that a derived folder rests on besides runs.

    Args:
        layout: the text of ``layout.json``.
        papers: names of the papers that are judged against; their folders of ``configs/papers`` enter whole.
    """
    digest = hashlib.sha256(layout.encode())
    package = Path(counterpoise.__file__).parent
    sources = [path for name in _DERIVING for path in files_below(package / name) if path.suffix != ".pyc"]
    data = [path for name in sorted(papers) for path in files_below(Path(root) / "configs" / "papers" / name)]
    for home, paths in ((package, sources), (Path(root), data)):
        for path in paths:
            digest.update(f"{path.relative_to(home).as_posix()}\n{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def derived_problem(folder: Path, basis: Basis | None, asked: str, explanations: Path) -> str:
    """Return why a derived folder must be made again, empty where it need not: a reason in words, for the log."""
    if basis is None:
        return f"{folder} is not there, or was not written to its end"
    if basis.asked != asked:
        return "the benchmark, a paper's data or the source that judges and writes was changed"
    for name, expected in basis.files.items():
        problem = file_problem(folder / name, expected, basis.written_at)
        if problem:
            return problem
    there = {path.name for path in files_below(explanations)}
    if there != set(basis.explanations):
        return f"{explanations} has other explanations"
    for name, expected in basis.explanations.items():
        problem = file_problem(explanations / name, expected, basis.read_at)
        if problem:
            return problem
    return ""


def file_problem(path: Path, expected: Stamp, since: int) -> str:
    """Return in what a file is not as stamped, or nothing; ``since`` is when it was as stamped."""
    try:
        status = path.stat()
    except OSError:
        return f"{path} is not there"
    size, digest = expected
    if status.st_size != size:
        return f"{path} has another size"
    if max(status.st_mtime_ns, status.st_ctime_ns) >= since and sha256_file(path) != digest:
        return f"{path} was changed"
    return ""


def stamp(path: Path) -> Stamp:
    """Return a file's size and digest."""
    return path.stat().st_size, sha256_file(path)


def files_below(path: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, or the file itself, sorted; hidden and compiled ones are left out."""
    if path.is_file():
        yield path
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def now(folder: Path) -> int:
    """Return the time of the file system that ``folder`` is on, in nanoseconds.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as file:
            return os.stat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise UserError(f"{folder}: cannot be written, results are not up to date: {error.strerror}") from error
