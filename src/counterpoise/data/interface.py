"""What a dataset is: the files that it comes from and how they become arrays.

One dataset is one class in one module, declared with :func:`counterpoise.declare.dataset`, and one file
``configs/datasets/<name>.yaml``. It writes arrays into an :class:`~counterpoise.data.store.ArrayStore` and
knows nothing of models, methods or training.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from counterpoise.data.store import ArrayStore
from counterpoise.declare import DatasetInfo


@dataclasses.dataclass(frozen=True)
class Source:
    """One file to fetch.

    ``path`` is relative to the dataset's folder, in ``data/raw`` as in a mirror. ``urls`` are tried in order.
    ``size`` (bytes) and ``sha256`` are ``None`` where the publisher's bytes are not pinned; the digest found
    is then recorded in the manifest instead of checked. ``manual`` says what the user must do when there is
    no URL.
    """

    path: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    licence: str = ""
    manual: str = ""


class Dataset:
    """Base of every dataset. Settings are fields declared with :func:`counterpoise.declare.setting`."""

    info: ClassVar[DatasetInfo]
    folder: ClassVar[str] = ""
    """Folder of the raw files below ``data/raw`` and below a mirror; empty where nothing is fetched."""

    def sources(self) -> list[Source]:
        """Return the files that these settings need, in the order in which they are fetched."""
        return []

    def prepare(self, raw: Path, store: ArrayStore) -> None:
        """Read the raw files below ``raw`` (this dataset's own folder) and write every split to ``store``.

        The result must depend on the settings and the raw bytes alone: no clock, no global random state, no
        order in which a file system lists files. Raises ``UserError`` naming the file where the raw data is
        not as it should be.
        """
        raise NotImplementedError
