"""From a dataset's name and settings to prepared arrays."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from counterpoise import files
from counterpoise.components import component, components
from counterpoise.data.clips import Item, content_digest
from counterpoise.data.interface import Dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import (
    RawFiles,
    check_delivered,
    check_file,
    files_below,
    is_published,
    is_there,
    may_be_folder,
    not_there,
    spelled_otherwise,
)
from counterpoise.data.store import CONTENT, ArrayStore
from counterpoise.data.work import Work, available_cores
from counterpoise.errors import UserError, suggest
from counterpoise.identity import check_loaded, check_unchanged
from counterpoise.locks import one_at_a_time
from counterpoise.planning.manifest import MANIFEST, data_again


def make_dataset(component_name: str, settings: Mapping[str, Any]) -> Dataset:
    """Return the dataset ``component_name`` with ``settings`` over its defaults, all of them checked."""
    found = component("dataset", component_name)
    where = f"dataset {component_name}"
    data = found.load()(**found.resolve(dict(settings), where))
    for name, why in data.without_effect().items():
        if getattr(data, name) != found.settings[name].default:
            raise UserError(f"{where}: {name}: has no effect {why}; leave it out")
    try:
        data.check()
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return data


def read_data_roots(
    given: Mapping[str, str | Path], configurations: Collection[str], home: Path = Path()
) -> dict[str, Path]:
    """Return the user's own folders by name, ``~`` expanded; relative ones are below ``home``.

    A name is that of a configuration, of a dataset (then it holds for all configurations of it), or of the folder that
    several datasets share. Raises ``UserError`` for an unknown name or a folder that is not there.
    """
    if not given:
        return {}
    known = components("dataset")
    # A dataset of one's own folder names that folder by a setting, so its class has none.
    folders = [found.load().folder for found in known.values()]
    allowed = {*configurations, *known, *(name for name in folders if isinstance(name, str) and name)}
    roots = {}
    for name, folder in given.items():
        if name not in allowed:
            raise UserError(f"data_roots: unknown dataset '{name}'{suggest(name, allowed)}")
        # Not Path.expanduser, which raises where '~someone' is nobody.
        path = home / os.path.expanduser(folder)
        # YAML takes what follows ' #' for a comment: a path that has it must be in quotes.
        cut = sorted(path.parent.glob(f"{glob.escape(path.name)} #*")) if path.name else []
        if cut:
            raise UserError(f"data_roots: {name}: {path} or {cut[0]}? Put a path that contains ' #' in quotes")
        if not path.is_dir():
            raise UserError(f"data_roots: {name}: no folder {path}{spelled_otherwise(path)}")
        roots[name] = path
    return roots


def raw_files(data: Dataset, raw_root: Path, data_roots: Mapping[str, Path] | None = None, name: str = "") -> RawFiles:
    """Return where the raw files of ``data`` are: a folder of the user's own, then ``raw_root``.

    ``data_roots`` may name that folder by the configuration (``name``), by the dataset or by its folder.
    """
    home = Path(raw_root) / data.folder
    for known in (name, data.info.name, data.folder):
        if data_roots and known in data_roots:
            own = Path(os.path.expanduser(data_roots[known]))
            if not own.is_dir():
                raise UserError(f"data_roots: {known}: no folder {own}{spelled_otherwise(own)}")
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
    """Make the prepared data of a dataset at ``destination`` (``.../<configuration>.<key>``) and return it.

    ``source`` is the digest of the preparing source that ``key`` was made of: it must be the one that is loaded, and
    still be on the disk at the end, because worker processes load it themselves.

    Media are decoded by ``workers`` processes (by default one per core); their number never changes a byte.
    Data that is already there and whole is returned as it is, if it was made from the raw files that are
    there now. A preparation that was interrupted goes on where it stopped. Raises ``UserError`` naming the
    raw file at fault; nothing half-made is ever at ``destination``.
    """
    data = make_dataset(component_name, settings)
    destination = Path(destination)
    resolved = component("dataset", component_name).resolve(dict(settings), f"dataset {component_name}")
    name = destination.name.removesuffix(f".{key}")
    if name == destination.name:
        raise UserError(f"{destination}: prepared data of key {key} must be in a folder named <dataset>.{key}")
    if is_prepared(destination):
        return _unchanged(data, raw_root, data_roots, destination)
    work = Work(workers=available_cores() if workers is None else workers, progress=progress)
    raw = raw_files(data, raw_root, data_roots, name)
    # A process whose workflow was killed may still be at it: its work is taken over, not doubled.
    modules = (component("dataset", component_name).module,)
    with one_at_a_time(destination):
        if is_prepared(destination):
            return _unchanged(data, raw_root, data_roots, destination)
        _refuse_to_replace(destination)
        if source is not None:
            check_loaded(modules, source)
        check_sources(data, raw)
        with ArrayStore(destination, dataset=name, key=key, settings=resolved) as store:
            _prepare(data, raw, store, work)
            record_sources(data, raw, store)
            check_unchanged(modules)
    return PreparedData.open(destination)


def is_prepared(folder: Path) -> bool:
    """Return whether a folder holds the prepared data that it is named after."""
    if not (folder / MANIFEST).is_file():
        return False
    found = files.read_json(folder / MANIFEST, "manifest of prepared data")
    return isinstance(found, dict) and f"{found.get('dataset')}.{found.get('key')}" == folder.name


def _prepare(data: Dataset, raw: RawFiles, store: ArrayStore, work: Work) -> None:
    """Make the data; what a dataset does not foresee in files that are not the published ones is said of those."""
    try:
        data.prepare(raw, store, work)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        paths = [(raw / source.path, source) for source in data.sources()]
        others = [path for path, source in paths if path.is_file() and is_published(path, source) is False]
        if not others:
            raise
        raise UserError(
            f"{', '.join(map(str, others))}: not as published, and {data.info.name} cannot be made of such files "
            f"({type(error).__name__}: {error})"
        ) from error


def _refuse_to_replace(destination: Path) -> None:
    """Raise ``UserError`` where making ``destination`` anew would delete a file that is none of prepared data's."""
    found = [destination] if destination.is_file() else files_below(destination)
    other = next((path for path in found if path.suffix != ".npy" and path.name != MANIFEST), None)
    if other is not None:
        raise UserError(f"{other}: is no file of prepared data, whose place this is; move it away")


def _unchanged(data: Dataset, raw_root: Path, data_roots: Mapping[str, Path] | None, destination: Path) -> PreparedData:
    """Return the prepared data; UserError where the raw files that are there are not those it was made from."""
    prepared = PreparedData.open(destination)
    changes = raw_changes(data, raw_files(data, raw_root, data_roots, prepared.dataset), prepared)
    if changes:
        raise UserError(f"{destination}: {changes_text(changes)}; to use them, {data_again(destination)}")
    return prepared


def changes_text(changes: list[str]) -> str:
    """Return one line of what :func:`raw_changes` returned."""
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return f"was made from other raw files than are there now ({', '.join(changes[:3])}{more})"


def raw_changes(data: Dataset, raw: RawFiles, prepared: PreparedData) -> list[str]:
    """Return which raw files are new or have changed since data was prepared from them.

    Files that are gone are no change: prepared data does without. Only files that were touched since the
    manifest was written are read, so this takes a look at each file's time.
    """
    since = (prepared.path / "manifest.json").stat().st_mtime_ns

    def touched(path: Path) -> bool:
        status = path.stat()
        return max(status.st_mtime_ns, status.st_ctime_ns) > since

    changes = []
    for entry in prepared.manifest["sources"]:
        path = raw / entry["name"]
        try:
            if path.is_file() and touched(path) and files.sha256_file(path) != entry["sha256"]:
                changes.append(f"{entry['name']} has changed")
        except OSError as error:
            changes.append(f"{entry['name']} cannot be read ({error.strerror})")
    if CONTENT not in prepared.extras or not all(source.optional or is_there(source, raw) for source in data.sources()):
        return changes
    for split, items in data.listed_items(raw).items():
        known = dict(zip(prepared.ids(split), prepared.array(split, CONTENT).tolist(), strict=True))
        dropped = [entry for entry in prepared.manifest["dropped"] if entry["split"] == split]
        known |= {entry["id"]: entry.get("content", 0) for entry in dropped}
        for item in items:
            before = known.get(item.id, 0)
            if all(path.is_file() for path in item.files) and (not before or any(map(touched, item.files))):
                changes += _item_changes(item, before)
    return changes


def _item_changes(item: Item, before: int) -> list[str]:
    """Return what has changed in an item's files since their digest was ``before``, 0 where they could not be read."""
    try:
        now = content_digest(item.files)
    except OSError as error:
        return [f"{item.id} cannot be read ({error.strerror})"] if before else []
    if now == before:
        return []
    return [f"{item.id} has changed" if before else f"{item.id} is new"]


def check_sources(data: Dataset, raw: RawFiles) -> None:
    """Raise ``UserError`` where a file that is needed is missing, or a fetched one is not the published one.

    Files in the user's own folder are taken as they are, if they are files; the manifest says what they were.
    """
    for source in data.sources():
        path = raw / source.path
        if not is_there(source, raw) and not source.optional:
            raise not_there(source, raw, data.info.name)
        if not raw.is_own(path):
            check_file(path, source)
        elif path.exists() and not may_be_folder(source):
            check_delivered(path, "put the file itself there")


def record_sources(data: Dataset, raw: RawFiles, store: ArrayStore) -> None:
    """Record in the manifest the digest of every raw file that is not media, whether it is the published one,
    and what makes this another set than the published one.
    """
    for what in data.departures():
        store.departure(what)
    for source in data.sources():
        path = next((raw / name for name in (source.path, *source.instead) if (raw / name).is_file()), None)
        # What is unpacked or decoded is recorded item by item, not as the archive that it came in.
        if path is None or source.unpack:
            continue
        published = is_published(path, source)
        name = raw.name(path)
        if published is False:
            store.departure(f"{name} is not the published file")
        store.source(
            name, sha256=files.sha256_file(path), size=path.stat().st_size, licence=source.licence, published=published
        )
