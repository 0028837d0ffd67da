"""Getting pretrained weights: from a mirror, a cache that another program filled, or their publisher."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from counterpoise import files
from counterpoise.data import mirrors
from counterpoise.data.download import download
from counterpoise.data.sources import check_delivered
from counterpoise.errors import UserError
from counterpoise.weights import WeightsFile, check_digest

FOLDER = "weights"
"""The folder of the files in a mirror."""


def fetch_weights(
    weights: WeightsFile, folder: Path, *, mirror: str | Path | None = None, caches: Sequence[Path] = ()
) -> Path:
    """Bring a file of weights into ``folder``, checked, and return it.

    What is there is kept. A mirror comes first, then the folders ``caches``, then the publisher. Where the
    publisher names no checksum, the one found is written beside the file, and holds from then on.

    Raises:
        UserError: it is nowhere, or is not the published file.
    """
    path = Path(folder) / weights.file
    if not path.is_file():
        _bring(weights, path, mirror, caches)
    noted = path.with_name(f"{path.name}.sha256")
    if not weights.sha256 and not noted.is_file():
        # Whatever is noted holds from then on.
        _check(path, weights, "delete it and fetch it again")
        files.write_text(noted, f"{files.sha256_file(path)}  {path.name}\n")
    check_digest(path, weights)
    return path


def _bring(weights: WeightsFile, path: Path, mirror: str | Path | None, caches: Sequence[Path]) -> None:
    urls = [weights.url]
    if mirror is not None and mirrors.is_address(mirror):
        urls.insert(0, mirrors.mirror_url(str(mirror), FOLDER, weights.file))
    elif mirror is not None:
        # Not Path.expanduser, which raises where '~someone' is nobody.
        home = Path(os.path.expanduser(mirror))
        if not home.is_dir():
            raise UserError(f"mirror: no folder {mirror}")
        caches = (home / FOLDER, *caches)
    for cache in caches:
        if (cache / weights.file).is_file():
            _check(cache / weights.file, weights, "delete it there, or name a mirror")
            with files.atomic_path(path) as temporary:
                shutil.copyfile(cache / weights.file, temporary)
            return
    download(urls, path)


def _check(path: Path, weights: WeightsFile, advice: str) -> None:
    """Raise ``UserError``, with ``advice``, where a file that somebody or another program put there is not the one."""
    found = files.sha256_file(path)
    if not found.startswith(weights.sha256):
        raise UserError(f"{path}: sha256 is {found}, must begin with {weights.sha256}; {advice}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty; {advice}")
    check_delivered(path, advice)
