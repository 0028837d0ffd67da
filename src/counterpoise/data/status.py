"""What of every dataset is here: files and media that are there, missing or wrong, and what is prepared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterpoise.data.interface import Dataset
from counterpoise.data.inventory import Inventory, take_inventory
from counterpoise.data.prepare import changes_text, is_prepared, make_dataset, raw_changes, raw_files
from counterpoise.data.prepared import PreparedData
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, Source, check_file, is_published, is_there, place
from counterpoise.errors import UserError, reason


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    """One dataset configuration: which raw files there are, which are missing or wrong, and what to do next.

    ``files`` counts what preparation would read, ``size`` are its bytes. Of the ``listed`` items (clips, shapes,
    scenes; 0 where no list names any) ``items`` have all their files. ``pinned`` counts the files that are there of
    which the publisher's digest is known. ``remarks`` are about files of the user's own, which are used as they are.
    ``prepared`` is the folder of prepared data that fits the configuration as it is now, where there is one; ``stale``
    says what has changed since it was made.
    """

    licence: str
    files: int
    size: int
    listed: int
    items: int
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    remarks: tuple[str, ...]
    pinned: int
    prepared: Path | None
    stale: str
    next_step: str

    @property
    def complete(self) -> bool:
        """Whether everything that is needed is there and nothing is wrong."""
        return not self.missing and not self.wrong and self.items == self.listed


def dataset_status(
    name: str,
    component_name: str,
    settings: Mapping[str, Any],
    *,
    raw_root: Path,
    prepared: Path,
    data_roots: Mapping[str, Path] | None = None,
    verify: bool = False,
    progress: Progress = quiet,
) -> DatasetStatus:
    """Look at the raw and prepared data of the configuration ``name``.

    ``prepared`` is where its prepared data is or would be. ``verify`` compares the digests of large files and
    of media too, which reads all of them.
    """
    data = make_dataset(component_name, settings)
    raw = raw_files(data, raw_root, data_roots, name)
    wrong: list[str] = []
    remarks: list[str] = []
    try:
        found = take_inventory(data, raw)
    except UserError as error:
        # A list that cannot be read is said; the other files are looked at all the same.
        wrong.append(str(error))
        found = Inventory(files={}, missing=(), listed=0, items_there=0)
    readable = not wrong
    sources = [*data.sources(), *(data.listed_sources(raw) if readable and not found.missing else [])]
    pinned = 0
    for done, source in enumerate(sources, start=1):
        progress(name, done, len(sources))
        path = place(source, raw)
        if path is not None and path.is_file():
            pinned += source.sha256 is not None
            if raw.is_own(path):
                remarks += _remark(path, source)
            else:
                wrong += _wrong(path, source, verify)
    ready = is_prepared(prepared)
    return DatasetStatus(
        licence=data.info.licence,
        files=len(found.files),
        size=found.size,
        listed=found.listed,
        items=found.items_there,
        missing=tuple(source.path for source in found.missing),
        wrong=tuple(wrong),
        remarks=tuple(remarks),
        pinned=pinned,
        prepared=prepared if ready else None,
        stale=_stale(data, raw, prepared) if ready and readable else "",
        next_step="" if ready or wrong else _next_step(name, data, raw, found),
    )


def to_fetch(
    component_name: str, settings: Mapping[str, object], raw_root: Path, data_roots: Mapping[str, Path], name: str = ""
) -> tuple[int, int, int, int, int]:
    """Return of a dataset's files that are not there yet: how many, their bytes, how many of unknown size, how many
    no address has (they are got by hand), and about how many bytes the lists among them name besides.
    """
    data = make_dataset(component_name, dict(settings))
    raw = raw_files(data, raw_root, data_roots, name)
    lists = [source for source in data.sources() if not source.optional and place(source, raw) is None]
    more = data.listed_sources(raw) if not lists else []
    missing = lists + [source for source in more if place(source, raw) is None]
    size = sum(source.size for source in missing if source.size is not None)
    unknown = sum(source.size is None for source in missing)
    by_hand = sum(not source.urls for source in missing)
    return len(missing), size, unknown, by_hand, data.listed_bytes if lists else 0


def _next_step(name: str, data: Dataset, raw: RawFiles, found: Inventory) -> str:
    """Return the command that goes on, or what to do by hand where no command can."""
    by_hand = [source.manual for source in found.missing if not source.urls]
    if by_hand:
        return by_hand[0]
    lacking = found.listed - found.items_there > getattr(data, "max_dropped", 0.0) * found.listed
    fetched = found.missing or (lacking and any(not is_there(source, raw) for source in data.listed_sources(raw)))
    if lacking and not fetched:
        return getattr(data, "how_to_get", f"put the files that are missing below {raw.folders[0]}")
    return f"counterpoise data {'fetch' if fetched else 'prepare'} {name}"


def _stale(data: Dataset, raw: RawFiles, prepared: Path) -> str:
    try:
        changes = raw_changes(data, raw, PreparedData.open(prepared))
    except UserError as error:
        return str(error)
    return changes_text(changes) if changes else ""


def _wrong(path: Path, source: Source, verify: bool) -> list[str]:
    try:
        check_file(path, source, always=verify)
    except (UserError, OSError) as error:
        return [reason(error)]
    return []


def _remark(path: Path, source: Source) -> list[str]:
    """Return what there is to say of a file of the user's own, which nobody else shall delete or replace."""
    try:
        if is_published(path, source) is False:
            return [f"{path}: is not the published file; it is used as it is, and results say so"]
    except (UserError, OSError) as error:
        return [reason(error)]
    return []
