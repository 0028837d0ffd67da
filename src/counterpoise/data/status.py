"""What of every dataset is here: files that are there, missing or wrong, their size and licence, what is
prepared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from counterpoise import files
from counterpoise.components import component
from counterpoise.data.interface import Dataset
from counterpoise.data.prepare import make_dataset, raw_files
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, Source, check_file, is_there, place
from counterpoise.errors import UserError
from counterpoise.identity import short_key, source_digest
from counterpoise.planning.configs import Configs, DatasetConfig

PREPARATION = "counterpoise.data.prepare"


@dataclasses.dataclass(frozen=True)
class DatasetStatus:
    """One dataset configuration: how many raw files there are, which are missing or wrong, and what it would
    take.

    ``pinned`` counts the files that are there of which the publisher's digest is known; ``verified`` says
    whether all of them were compared with it. ``size`` is the bytes of files that are there. ``prepared`` is
    the folder of prepared data that fits the configuration as it is now, where there is one.
    """

    name: str
    title: str
    licence: str
    there: int
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    pinned: int
    verified: bool
    size: int
    prepared: Path | None
    command: str

    @property
    def complete(self) -> bool:
        """Whether everything that is needed is there and nothing is wrong."""
        return not self.missing and not self.wrong


def dataset_names(root: Path) -> list[str]:
    """Return the dataset configurations of the project at ``root``."""
    return sorted(path.stem for path in (root / "configs/datasets").glob("*.yaml"))


def prepared_key(config: DatasetConfig, where: str) -> str:
    """Return the key of prepared data: a digest of its component, settings and source (docs/design.md)."""
    found = component("dataset", config.component, where)
    settings = found.resolve(config.settings, f"{where}: settings")
    source = source_digest((found.module, PREPARATION))
    return short_key({"component": found.name, "settings": settings, "source": source})


def prepared_folder(root: Path, name: str) -> Path:
    """Return where the prepared data of a dataset configuration is or would be."""
    configs = Configs(root / "configs")
    key = prepared_key(configs.dataset(name), str(configs.path("datasets", name)))
    return root / "data/prepared" / f"{name}.{key}"


def dataset_status(
    root: Path,
    name: str,
    *,
    data_roots: Mapping[str, Path] | None = None,
    verify: bool = False,
    progress: Progress = quiet,
) -> DatasetStatus:
    """Look at the raw and prepared data of the configuration ``name`` of the project at ``root``.

    ``verify`` compares the digests of large files and of media too, which reads all of them.
    """
    config = Configs(root / "configs").dataset(name)
    data = make_dataset(config.component, config.settings)
    raw = raw_files(data, root / "data/raw", data_roots)
    sources = _known_sources(data, raw)
    there, missing, wrong = set(), [], []
    for done, source in enumerate(sources, start=1):
        progress(name, done, len(sources))
        path = place(source, raw)
        if path is not None:
            there.add(path)
            wrong += _wrong(raw / source.path, source, verify)
        elif not source.optional:
            missing.append(source.path)
    prepared = prepared_folder(root, name)
    return DatasetStatus(
        name=name,
        title=config.title,
        licence=data.info.licence,
        there=len(there),
        missing=tuple(missing),
        wrong=tuple(wrong),
        pinned=sum(source.sha256 is not None and place(source, raw) is not None for source in sources),
        verified=verify,
        size=sum(_size(path) for path in there),
        prepared=prepared if _is_prepared(prepared) else None,
        command=f"counterpoise data {'prepare' if not missing else 'fetch'} {name}",
    )


def to_fetch(
    component_name: str, settings: Mapping[str, object], raw_root: Path, data_roots: Mapping[str, Path]
) -> tuple[int, int, int]:
    """Return of a dataset's files that are not there yet: how many, their bytes, and how many of unknown
    size.
    """
    data = make_dataset(component_name, dict(settings))
    raw = raw_files(data, raw_root, data_roots)
    missing = [source for source in _known_sources(data, raw) if not source.optional]
    missing = [source for source in missing if place(source, raw) is None]
    sizes = [source.size for source in missing]
    return len(sizes), sum(size for size in sizes if size is not None), sizes.count(None)


def _known_sources(data: Dataset, raw: RawFiles) -> list[Source]:
    """Return the dataset's files as far as the lists that are there name them."""
    sources = data.sources()
    if all(source.optional or is_there(source, raw) for source in sources):
        return data.all_sources(raw)
    return sources


def _wrong(path: Path, source: Source, verify: bool) -> list[str]:
    try:
        check_file(path, source, always=verify)
    except UserError as error:
        return [str(error)]
    return []


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _is_prepared(folder: Path) -> bool:
    if not (folder / "manifest.json").is_file():
        return False
    found = files.read_json(folder / "manifest.json", "manifest of prepared data")
    return isinstance(found, dict) and f"{found.get('dataset')}.{found.get('key')}" == folder.name
