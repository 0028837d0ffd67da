"""From a dataset's name and settings to prepared arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterpoise import files
from counterpoise.components import component
from counterpoise.data.interface import Dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, check_file, is_there
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work, available_cores
from counterpoise.errors import UserError
from counterpoise.identity import check_loaded, check_unchanged
from counterpoise.locks import alone


def make_dataset(component_name: str, settings: Mapping[str, Any]) -> Dataset:
    """Return the dataset ``component_name`` with ``settings`` over its defaults, both checked."""
    found = component("dataset", component_name)
    return found.load()(**found.resolve(dict(settings), f"dataset {component_name}"))


def raw_files(data: Dataset, raw_root: Path, data_roots: Mapping[str, Path] | None = None) -> RawFiles:
    """Return where the raw files of ``data`` are: a folder of the user's own, named by the dataset, then
    ``raw_root``.
    """
    home = Path(raw_root) / data.folder
    for name in (data.info.name, data.folder):
        if data_roots and name in data_roots:
            own = Path(data_roots[name])
            if not own.is_dir():
                raise UserError(f"data_roots: {name}: no folder {own}")
            return RawFiles((own, home))
    return RawFiles((home,))


def prepare_dataset(
    component_name: str,
    settings: Mapping[str, Any],
    raw_root: Path,
    destination: Path,
    key: str,
    *,
    source: str | None = None,
    data_roots: Mapping[str, Path] | None = None,
    workers: int | None = None,
    progress: Progress = quiet,
) -> PreparedData:
    """Make the prepared data of a dataset at ``destination`` (``.../<component_name>.<key>``) and return it.

    ``source`` is the digest of the preparing source that ``key`` was made of: it must be the one that is loaded, and
    still be on the disk at the end, because worker processes load it themselves.

    Media are decoded by ``workers`` processes (by default one per core); their number never changes a byte.
    Data that is already there and whole is returned as it is. A preparation that was interrupted goes on
    where it stopped. Raises ``UserError`` naming the raw file at fault; nothing half-made is ever at
    ``destination``.
    """
    data = make_dataset(component_name, settings)
    destination = Path(destination)
    if _is_prepared(destination, key):
        return PreparedData.open(destination)
    resolved = component("dataset", component_name).resolve(dict(settings), f"dataset {component_name}")
    name = destination.name.removesuffix(f".{key}")
    if name == destination.name:
        raise UserError(f"{destination}: prepared data of key {key} must be in a folder named <dataset>.{key}")
    work = Work(workers=available_cores() if workers is None else workers, progress=progress)
    raw = raw_files(data, raw_root, data_roots)
    # A process whose workflow was killed may still be at it: its work is taken over, not doubled.
    modules = (component("dataset", component_name).module,)
    with alone(destination):
        if not _is_prepared(destination, key):
            if source is not None:
                check_loaded(modules, source)
            check_sources(data, raw)
            with ArrayStore(destination, dataset=name, key=key, settings=resolved) as store:
                data.prepare(raw, store, work)
                record_sources(data, raw, store)
                check_unchanged(modules)
    return PreparedData.open(destination)


def _is_prepared(destination: Path, key: str) -> bool:
    if not (destination / "manifest.json").exists():
        return False
    found = files.read_json(destination / "manifest.json", "manifest of prepared data")
    return isinstance(found, dict) and found.get("key") == key


def check_sources(data: Dataset, raw: RawFiles) -> None:
    """Raise ``UserError`` where a file that is needed is missing, or a fetched one is not the published one.

    Files in the user's own folder are taken as they are; the manifest says what they were.
    """
    for source in data.sources():
        path = raw / source.path
        if not is_there(source, raw) and not source.optional:
            how = source.manual or f"run: counterpoise data fetch {data.info.name}"
            raise UserError(f"{path}: is not there; {how}")
        if not raw.is_own(path):
            check_file(path, source)


def record_sources(data: Dataset, raw: RawFiles, store: ArrayStore) -> None:
    """Record in the manifest the digest of every raw file that is not media, and whether it is the published
    one.
    """
    for source in data.sources():
        path = raw / source.path
        if path.is_file():
            digest = files.sha256_file(path)
            store.source(
                source.path,
                sha256=digest,
                size=path.stat().st_size,
                licence=source.licence,
                published=None if source.sha256 is None else digest == source.sha256,
            )
