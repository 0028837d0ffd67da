"""What of a dataset's raw files is there: lists, and the media that they name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from counterpoise.data.interface import Dataset
from counterpoise.data.sources import RawFiles, Source, files_below, is_there, may_be_folder, place
from counterpoise.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inventory:
    """The files that preparing a dataset reads, by their names below its folder, and what is missing.

    ``listed`` items are named by the lists, 0 where a list is missing or a dataset has none; of
    ``items_there`` all files are there. ``missing`` are sources that are not optional.
    """

    files: dict[str, Path]
    missing: tuple[Source, ...]
    listed: int
    items_there: int

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


def take_inventory(data: Dataset, raw: RawFiles) -> Inventory:
    """Look for the files of ``data``. Raises ``UserError`` where a list is there and cannot be read."""
    sources = data.sources()
    missing = tuple(source for source in sources if not source.optional and not is_there(source, raw))
    # Archives and folders of media do not name items, so lists can be read without them.
    readable = not any(not source.unpack and not source.holds for source in missing)
    try:
        items = [item for split in data.listed_items(raw).values() for item in split] if readable else []
    except UserError:
        # Some datasets list the files themselves. That those are missing is said already.
        if not missing:
            raise
        items = []
    found: dict[str, Path] = {}
    for item in items:
        found.update({raw.name(path): path for path in item.files if path.is_file()})
    for source in sources:
        if not (items and (source.unpack or source.holds)):
            found.update(_files_of(source, raw))
    there = sum(all(path.is_file() for path in item.files) for item in items)
    return Inventory(files=found, missing=missing, listed=len(items), items_there=there)


def _files_of(source: Source, raw: RawFiles) -> dict[str, Path]:
    path = place(source, raw)
    if path is None:
        return {}
    if not path.is_file() and not may_be_folder(source):
        raise UserError(f"{path}: is not a regular file; put the file itself there")
    inside = [path] if path.is_file() else files_below(path, source.holds)
    return {raw.name(file): file for file in inside}
