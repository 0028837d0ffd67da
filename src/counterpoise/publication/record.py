"""A published record: the results of a benchmark with what they rest on, as a folder that stands on its own.

``results/published/<name>/`` has the files of a benchmark's results (:mod:`counterpoise.results.table`) and all that
is derived of them, each run's record, predictions and series below ``runs``, and the papers' data that was judged
against. A record may come from anybody: nothing in it is trusted before it is checked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.errors import UserError, suggest
from counterpoise.files import read_json, sha256_file, write_json
from counterpoise.identity import source_digest
from counterpoise.papers.paper import Paper
from counterpoise.path_names import RelativePath, Sha256, is_relative_path, printable
from counterpoise.publication.readme import NOTES
from counterpoise.results.papers import papers_of
from counterpoise.results.result_set import PUBLISHED, find_folder
from counterpoise.results.table import Results, read_results
from counterpoise.validation import validate

SCHEMA = 2
MANIFEST, README, BENCHMARK = "manifest.json", "README.md", "benchmark.yaml"
MOST_FILES, LARGEST_FILE, LARGEST_RECORD = 200_000, 200 * 2**20, 2**31
JUDGING = (
    "counterpoise.judging.compare",
    "counterpoise.publication.readme",
    "counterpoise.reporting.explain",
    "counterpoise.reporting.tables.formats",
)


class Manifest(BaseModel):
    """The content of ``manifest.json``.

    ``files``: the SHA-256 of each file of the record but the manifest and ``notes.md``, which is a person's to change.
    ``source``: the digest of the source that judged and wrote it. ``commit`` is that of the project, ``changed``
    whether files differed from it. ``compact``: predictions are classes and confidences, for their size.
    ``left_out`` names the kinds of run files that are not in the record, for their size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = Field(2, alias="schema")
    source: Sha256
    commit: str | None = None
    changed: bool | None = None
    compact: bool = False
    left_out: tuple[str, ...] = ()
    files: dict[RelativePath, Sha256]


@dataclass(frozen=True, kw_only=True)
class PublishedRecord:
    """A published record that was read and checked."""

    folder: Path
    manifest: Manifest
    results: Results

    @cached_property
    def papers(self) -> Mapping[str, Paper]:
        """The record's own copy of its papers, read when it is asked for: a record is judged anew without it.

        Raises:
            UserError: a file is missing, or says what today's schema does not allow.
        """
        return papers_of(self.results.layout, self.folder)

    @property
    def same_source(self) -> bool:
        """Whether the source that judges and writes is the one that wrote this record."""
        return self.manifest.source == judging_source()


def judging_source() -> str:
    """Return the digest of the source that judges, and writes tables and README."""
    return source_digest(JUDGING)


def is_record(folder: Path) -> bool:
    """Return whether a folder claims to be a published record."""
    return os.path.lexists(Path(folder) / MANIFEST)


def find_record(root: Path, name: str) -> Path:
    """Return the folder of a published record, given by its path or by its name.

    Raises:
        UserError: there is no such record.
    """
    folder = find_folder(name, root)
    if folder is None or not is_record(folder):
        known = sorted(path.parent.name for path in (Path(root) / PUBLISHED).glob(f"*/{MANIFEST}"))
        raise UserError(f"{printable(name)}: no published record (a folder with {MANIFEST}){suggest(name, known)}")
    return folder


def read_published(folder: Path) -> PublishedRecord:
    """Read a published record: its manifest and results. Digests are not compared here.

    Raises:
        UserError: it has anything in it that is no regular file or is too large, or a file is missing, torn or does
            not fit the others.
    """
    folder = Path(folder)
    check_tree(folder)
    manifest = read_manifest(folder)
    results = read_results(folder, folder / "runs")
    return PublishedRecord(folder=folder, manifest=manifest, results=results)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a published record.

    Raises:
        UserError: it is missing, torn, or of another schema.
    """
    where = Path(folder) / MANIFEST
    return validate(Manifest, read_json(where, "manifest of a published record"), str(where))


def write_manifest(folder: Path, *, commit: str | None, changed: bool | None, compact: bool, left_out: tuple) -> None:
    """Write the manifest of the record in ``folder``."""
    digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in record_files(folder)}
    manifest = Manifest(
        schema=SCHEMA,
        source=judging_source(),
        commit=commit,
        changed=changed,
        compact=compact,
        left_out=left_out,
        files=digests,
    )
    write_json(Path(folder) / MANIFEST, manifest.model_dump(mode="json", by_alias=True))


def record_files(folder: Path) -> Iterator[Path]:
    """Yield the files that a record's manifest lists, sorted."""
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in (MANIFEST, NOTES):
            yield path


def check_tree(folder: Path) -> None:
    """Refuse a folder from elsewhere in which anything is not a plain file or folder, or is of unlikely size.

    A link could lead out of the folder, a pipe would be waited for, and a sparse file costs nothing to send.

    Raises:
        UserError: names the first such file.
    """
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise UserError(f"{folder}: must be a folder")
    files = size = 0
    waiting = [Path(folder)]
    while waiting:
        for entry in sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name):
            path = Path(entry.path)
            name = path.relative_to(folder).as_posix()
            if entry.is_symlink():
                raise UserError(f"{folder}: '{printable(name)}' is a link; a record has plain files and folders only")
            if not is_relative_path(name):
                raise UserError(f"{folder}: '{printable(name)[:200]}' is no name of a record's file")
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
                continue
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{folder}: '{name}' is a pipe, socket or device; a record has plain files only")
            files, size = files + 1, size + status.st_size
            if status.st_size > LARGEST_FILE or files > MOST_FILES or size > LARGEST_RECORD:
                raise UserError(
                    f"{folder}: too large at '{name}': a record has at most {MOST_FILES:,} files of {LARGEST_FILE:,} "
                    f"bytes, {LARGEST_RECORD:,} in all"
                )
