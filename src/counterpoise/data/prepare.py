"""From a dataset's name and settings to fetched files and prepared arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterpoise import files
from counterpoise.data.interface import Dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.errors import UserError
from counterpoise.spec.components import component


def make_dataset(component_name: str, settings: Mapping[str, Any]) -> Dataset:
    """Return the dataset ``component_name`` with ``settings`` over its defaults, both checked."""
    found = component("dataset", component_name)
    return found.load()(**found.resolve(dict(settings), f"dataset {component_name}"))


def raw_folder(data: Dataset, raw_root: Path, data_roots: Mapping[str, Path] | None = None) -> Path:
    """Return where the raw files of ``data`` are: the user's own folder where one is named, else below
    ``raw_root``.
    """
    roots = data_roots or {}
    for name in (data.info.name, data.folder):
        if name in roots:
            return Path(roots[name])
    return Path(raw_root) / data.folder


def prepare_dataset(
    component_name: str,
    settings: Mapping[str, Any],
    raw_root: Path,
    destination: Path,
    key: str,
    *,
    data_roots: Mapping[str, Path] | None = None,
) -> PreparedData:
    """Make the prepared data of a dataset at ``destination`` (``.../<component_name>.<key>``) and return it.

    Data that is already there and whole is returned as it is. A preparation that was interrupted goes on
    where it stopped. Raises ``UserError`` naming the raw file at fault; nothing half-made is ever at
    ``destination``.
    """
    data = make_dataset(component_name, settings)
    destination = Path(destination)
    if (destination / "manifest.json").exists():
        found = files.read_json(destination / "manifest.json", "manifest of prepared data")
        if isinstance(found, dict) and found.get("key") == key:
            return PreparedData.open(destination)
    resolved = component("dataset", component_name).resolve(dict(settings), f"dataset {component_name}")
    name = destination.name.removesuffix(f".{key}")
    if name == destination.name:
        raise UserError(
            f"{destination}: prepared data of key {key} must be in a folder named <dataset>.{key}"
        )
    with ArrayStore(destination, dataset=name, key=key, settings=resolved) as store:
        data.prepare(raw_folder(data, raw_root, data_roots), store)
    return PreparedData.open(destination)


def fetch_dataset(component_name: str, settings: Mapping[str, Any], raw_root: Path) -> list[Path]:
    """Fetch the raw files of a dataset below ``raw_root`` and return their paths; those already there are
    kept.
    """
    data = make_dataset(component_name, settings)
    if data.sources():
        raise UserError(f"dataset {component_name}: fetching is not there yet")
    return []
