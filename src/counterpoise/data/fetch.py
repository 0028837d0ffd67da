"""Getting the raw files of a dataset: what is there is kept, the rest comes from a mirror or from its publisher."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self

from counterpoise import files
from counterpoise.data import archives, mirrors
from counterpoise.data.download import download
from counterpoise.data.interface import Dataset
from counterpoise.data.prepare import make_dataset, raw_files
from counterpoise.data.progress import FILES, Progress, quiet
from counterpoise.data.sources import RawFiles, Source, check_file, files_below, holds_files, is_there, not_there
from counterpoise.errors import UserError, reason
from counterpoise.locks import one_at_a_time

CONNECTIONS = 8
MOST_ODD = 20
WRONG_IN_MIRROR = "mend the mirror, or name another; what is used as it is goes into a folder of data_roots"


def fetch_dataset(
    component_name: str,
    settings: Mapping[str, Any],
    raw_root: Path,
    *,
    name: str = "",
    mirror: str | Path | None = None,
    data_roots: Mapping[str, Path] | None = None,
    verify: bool = False,
    progress: Progress = quiet,
) -> Path:
    """Bring every raw file of a dataset below ``raw_root`` and return the dataset's folder there.

    A file that is there and right is kept. A mirror that the caller names comes before the publisher's addresses, which
    are then tried in order. A folder of the user's own (``data_roots``, by the configuration's ``name`` or the
    dataset's) is searched first and never written to. ``verify`` compares the digest of large files and of media too.
    Raises ``UserError`` naming the file, or what the user must do for a file that has no address.
    """
    data = make_dataset(component_name, settings)
    raw = raw_files(data, raw_root, data_roots, name)
    found = _Mirror(mirror, data.folder) if mirror is not None and data.folder else None
    fetching = _Fetching(data, raw, found, verify)
    with one_at_a_time(raw.home):
        for source in data.sources():
            fetching.bring(source, progress)
        # The lists that are now there may name further files, thousands of small ones.
        fetching.bring_many(data.listed_sources(raw), progress)
    return raw.home


class _Mirror:
    """A dataset's folder in a mirror: a folder, or on a server that lists its files in ``SHA256SUMS``.

    ``sums`` are the digests that a server lists, by the files' names below the dataset's folder.
    """

    def __init__(self, place: str | Path, folder: str) -> None:
        self._folder = folder
        self._address = str(place) if mirrors.is_address(place) else None
        # Not Path.expanduser, which raises where '~someone' is nobody.
        self._root = Path(os.path.expanduser(place)) / folder
        self.sums: dict[str, str] = {}
        if self._address is not None:
            sums, start = mirrors.fetch_sums(self._address), f"{folder}/"
            self.sums = {name.removeprefix(start): sums[name] for name in sums if name.startswith(start)}
            self.names = sorted(self.sums)
        elif self._root.parent.is_dir():
            self.names = [path.relative_to(self._root).as_posix() for path in files_below(self._root)]
            if not self.names:
                print(
                    f"mirror {place}: has nothing in a folder {folder!r}; the publishers are asked for what is missing",
                    file=sys.stderr,
                )
        else:
            raise UserError(f"mirror: no folder {place}")
        self.files = set(self.names)
        self.folders = {parent.as_posix() for name in self.names for parent in PurePosixPath(name).parents}

    def url(self, name: str) -> str | None:
        """Return where a server has a file; ``None`` for a folder."""
        return None if self._address is None else mirrors.mirror_url(self._address, self._folder, name)

    def copy(self, name: str, destination: Path, source: Source, progress: Progress) -> None:
        """Bring a file to ``destination``, checked and atomically. Where it is optional, a server may have none."""
        url = self.url(name)
        if url is not None:
            download([url], destination, sha256=self.sums.get(name), progress=progress, optional=source.optional)
            return
        if name == source.path:
            check_file(self._root / name, source, always=True, advice=WRONG_IN_MIRROR)
        try:
            with files.atomic_path(destination) as temporary:
                shutil.copyfile(self._root / name, temporary)
        except OSError as error:
            raise UserError(f"{destination}: cannot be copied from {self._root / name}: {error.strerror}") from error


class _OddOnes:
    """Bringing many files, of which odd ones do not keep the others from coming: they are named in the end.

    :data:`MOST_ODD` are no odd ones any more: the network, the disk or the whole mirror is at fault.
    """

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def __enter__(self) -> Self:
        return self

    def bring(self, how: Callable[[], None]) -> None:
        """Call ``how``, which brings a file, and remember why that fails."""
        try:
            how()
        except (UserError, OSError) as error:
            self._reasons.append(reason(error))
            if len(self._reasons) == MOST_ODD:
                self._refuse("and the rest was not tried", shown=1)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is None and self._reasons:
            self._refuse("the others are kept", shown=3)

    def _refuse(self, rest: str, shown: int) -> None:
        if len(self._reasons) == 1:
            raise UserError(self._reasons[0])
        more = f"; and {len(self._reasons) - shown} more" if len(self._reasons) > shown else ""
        raise UserError(f"{len(self._reasons)} files cannot be had, {rest}: {'; '.join(self._reasons[:shown])}{more}")


@dataclasses.dataclass(frozen=True)
class _Fetching:
    """Bringing the files of one dataset into place."""

    data: Dataset
    raw: RawFiles
    mirror: _Mirror | None
    verify: bool

    def bring_many(self, sources: Sequence[Source], progress: Progress) -> None:
        """Bring many small files, several at a time.

        Some that no address has any more are left to preparation, which counts and names what is missing; more than
        it may leave out are an error here, which names the addresses.
        """
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            lenient = [dataclasses.replace(source, optional=True) for source in sources]
            futures = [pool.submit(self.bring, source, quiet) for source in lenient]
            try:
                with _OddOnes() as odd:
                    for done, future in enumerate(futures, start=1):
                        odd.bring(future.result)
                        progress(f"{FILES} {self.data.info.name}", done, len(futures))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        gone = [source for source in sources if not is_there(source, self.raw)]
        if len(gone) > getattr(self.data, "max_dropped", 0.0) * len(sources):
            self.bring(gone[0], progress)

    def bring(self, source: Source, progress: Progress) -> None:
        """Bring one file into place, check it, and unpack it where it is an archive."""
        raw = self.raw
        if not is_there(source, raw) and not self._from_mirror(source, progress):
            self._download(source, raw.home / source.path, progress)
        path = raw / source.path
        if not raw.is_own(path) or self.verify:
            check_file(path, source, always=self.verify)
        if source.unpack and path.is_file() and not self._is_unpacked(source):
            archives.extract(path, raw.home / source.unpack)

    def _is_unpacked(self, source: Source) -> bool:
        return any(holds_files(folder / source.unpack, source) for folder in self.raw.folders)

    def _from_mirror(self, source: Source, progress: Progress) -> bool:
        """Copy from the mirror the file, or what takes its place there; return whether there was any."""
        if self.mirror is None:
            return False
        names = self.mirror.names
        for path in (source.path, *([source.unpack] if source.unpack else []), *source.instead):
            if path in self.mirror.files:
                self.mirror.copy(path, self.raw.home / path, source, progress)
                return (self.raw.home / path).is_file()
            if path in self.mirror.folders:
                inside = [name for name in names if name.startswith(f"{path}/")]
                self._copy_folder(path, inside, source, progress)
                return True
        held = [name for name in names if source.holds and name.lower().endswith(source.holds)]
        with _OddOnes() as odd:
            for done, name in enumerate(held, start=1):
                if not (self.raw.home / name).is_file():
                    odd.bring(functools.partial(self.mirror.copy, name, self.raw.home / name, source, quiet))
                progress(f"{FILES} {self.data.info.name}", done, len(held))
        return len(held) > 0

    def _copy_folder(self, path: str, names: Sequence[str], source: Source, progress: Progress) -> None:
        """Copy a whole folder: it appears at once, and what an interrupted attempt copied is kept."""
        place = self.raw.home / path
        partial = place.with_name(f".{place.name}.partial")
        with _OddOnes() as odd:
            for done, name in enumerate(names, start=1):
                destination = partial / name.removeprefix(f"{path}/")
                if not destination.is_file():
                    odd.bring(functools.partial(self.mirror.copy, name, destination, source, quiet))
                progress(f"{FILES} {self.data.info.name}/{path}", done, len(names))
        files.publish_directory(partial, place)

    def _download(self, source: Source, path: Path, progress: Progress) -> None:
        urls = list(source.urls)
        # A mirror without a list of its files is asked for each of them. A folder, which has no suffix, cannot
        # come from an address.
        if self.mirror is not None and not self.mirror.names and Path(source.path).suffix:
            urls[:0] = filter(None, [self.mirror.url(source.path)])
        if urls:
            download(urls, path, size=source.size, sha256=source.sha256, optional=source.optional, progress=progress)
        elif not source.optional:
            raise not_there(source, self.raw, self.data.info.name)
