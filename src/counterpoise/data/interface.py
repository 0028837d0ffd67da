"""What a dataset is: the files that it comes from and how they become arrays.

One dataset is one class in one module, declared with :func:`counterpoise.declare.dataset`, and one file
``configs/datasets/<name>.yaml``. It writes arrays into an :class:`~counterpoise.data.store.ArrayStore` and
knows nothing of models, methods or training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from counterpoise.data.sources import RawFiles, Source
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.declare import DatasetInfo

if TYPE_CHECKING:
    # Only where clips are decoded does a dataset rest on how: its own module imports that.
    from counterpoise.data.clips import Item


class Dataset:
    """Base of every dataset. Settings are fields declared with :func:`counterpoise.declare.setting`.

    Two names mean the same in every dataset that has them: the setting ``max_dropped``, the share of a split's
    items that may be missing or unusable (none, where there is no such setting), and the text ``how_to_get``, what
    the user does where items are missing that no command brings.
    """

    info: ClassVar[DatasetInfo]
    folder: ClassVar[str] = ""
    """Folder of the raw files below ``data/raw`` and below a mirror; empty where nothing is fetched."""
    listed_bytes: ClassVar[int] = 0
    """About how much :meth:`listed_sources` comes to, for who asks before the lists are there."""

    def check(self) -> None:
        """Raise ``UserError`` where settings contradict each other; by default nothing."""

    def without_effect(self) -> dict[str, str]:
        """Return the settings that change nothing as the others are, each with the reason.

        Such a setting must have its default: it would name the same data differently.
        """
        return {}

    def departures(self) -> list[str]:
        """Return what in these settings makes the data another than the published set."""
        return []

    def sources(self) -> list[Source]:
        """Return the files that these settings need, in the order in which they are fetched."""
        return []

    def listed_sources(self, raw: RawFiles) -> list[Source]:
        """Return further files, which files of :meth:`sources` that are now there name one by one."""
        return []

    def all_sources(self, raw: RawFiles) -> list[Source]:
        """Return every file that belongs to the dataset, as far as what is there tells."""
        return [*self.sources(), *self.listed_sources(raw)]

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        """Return the items of each split that the dataset's lists name, whether their files are there or not.

        Empty for datasets that are not made of listed files.
        """
        return {}

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        """Read the files of ``raw`` and write every split to ``store``.

        ``work`` spreads items over processes (:func:`counterpoise.data.clips.prepare_items`) and shows progress.

        The result must depend on the settings and the raw bytes alone: no clock, no global random state, no order in
        which a file system lists files. Raises ``UserError`` naming the file where the raw data is not as it should be.
        """
        raise NotImplementedError
