"""Getting the raw files of a dataset: what is there is kept, the rest comes from a mirror or from its
publisher.
"""

from __future__ import annotations

import concurrent.futures
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise import files
from counterpoise.data import archives, mirrors
from counterpoise.data.download import download
from counterpoise.data.interface import Dataset
from counterpoise.data.prepare import make_dataset, raw_files
from counterpoise.data.progress import Progress, quiet
from counterpoise.data.sources import RawFiles, Source, check_file, is_there
from counterpoise.errors import UserError
from counterpoise.locks import alone

CONNECTIONS = 8


def fetch_dataset(
    component_name: str,
    settings: Mapping[str, Any],
    raw_root: Path,
    *,
    mirror: str | Path | None = None,
    data_roots: Mapping[str, Path] | None = None,
    verify: bool = False,
    progress: Progress = quiet,
) -> Path:
    """Bring every raw file of a dataset below ``raw_root`` and return the dataset's folder there.

    A file that is there and right is kept. A mirror that the caller names comes before the publisher's
    addresses, which are then tried in order. A folder of the user's own (``data_roots``) is searched first
    and never written to. ``verify`` compares the digest of large files and of media too. Raises ``UserError``
    naming the file, or what the user must do for a file that has no address.
    """
    data = make_dataset(component_name, settings)
    raw = raw_files(data, raw_root, data_roots)
    if mirror is not None and not mirrors.is_address(mirror) and not Path(mirror).is_dir():
        raise UserError(f"mirror: no folder {mirror}")
    with alone(raw.home):
        for source in data.sources():
            fetch_source(data, source, raw, mirror, verify, progress)
        # The lists that are now there may name further files, thousands of small ones.
        _fetch_many(data, data.listed_sources(raw), raw, mirror, verify, progress)
    return raw.home


def _fetch_many(
    data: Dataset, sources: Sequence[Source], raw: RawFiles, mirror: str | Path | None, verify: bool, progress: Progress
) -> None:
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        futures = [pool.submit(fetch_source, data, source, raw, mirror, verify, quiet) for source in sources]
        try:
            for done, future in enumerate(futures, start=1):
                future.result()
                progress(f"{data.info.name}: media", done, len(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def fetch_source(
    data: Dataset, source: Source, raw: RawFiles, mirror: str | Path | None, verify: bool, progress: Progress
) -> None:
    """Bring one file into place, check it, and unpack it where it is an archive."""
    path = raw / source.path
    if not is_there(source, raw):
        _bring(data, source, raw.home / source.path, mirror, progress)
        path = raw.home / source.path
    if not raw.is_own(path) or verify:
        check_file(path, source, always=verify)
    if source.unpack and path.is_file() and not (raw / source.unpack).is_dir():
        archives.extract(path, raw.home / source.unpack)


def _bring(data: Dataset, source: Source, path: Path, mirror: str | Path | None, progress: Progress) -> None:
    urls = list(source.urls)
    # A folder, which has no suffix, cannot come from an address.
    if mirror is not None and mirrors.is_address(mirror) and Path(source.path).suffix:
        urls.insert(0, mirrors.mirror_url(str(mirror), data.folder, source.path))
    elif (
        mirror is not None
        and not mirrors.is_address(mirror)
        and _copy(source, Path(mirror) / data.folder / source.path, path)
    ):
        return
    if urls:
        download(urls, path, size=source.size, sha256=source.sha256, optional=source.optional, progress=progress)
    elif not source.optional:
        raise UserError(f"{path}: is not there; {source.manual or 'it has no public address'}")


def _copy(source: Source, path: Path, destination: Path) -> bool:
    """Copy a file or a folder ``path`` of a mirror, checked and atomically; return whether it was there."""
    if path.is_file():
        check_file(path, source, always=True)
        with files.atomic_path(destination) as temporary:
            shutil.copyfile(path, temporary)
    elif path.is_dir():
        with files.atomic_directory(destination) as temporary:
            shutil.copytree(path, temporary, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        return False
    return True
