"""Reading prepared data. Needs NumPy only."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from counterpoise import files
from counterpoise.data.axes import from_file
from counterpoise.errors import UserError, suggest
from counterpoise.planning.manifest import MANIFEST, data_again, read_manifest

SCHEMA = 2
HASHING_THREADS = 4


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """One folder ``data/prepared/<dataset>.<key>``: a validated manifest and memory-mapped arrays."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the manifest of ``path`` and check it against the folder's name and the files in it.

        Raises ``UserError`` naming the file where the manifest is missing, truncated, of another schema or
        key, or where an array is missing, has another size, shape or type, or other bytes than were written.
        Bytes are read once per process and file.
        """
        path = Path(path)
        where = path / MANIFEST
        try:
            data = cls(path, read_manifest(path))
            data._check()
            data.verify()
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{where}: not a manifest of prepared data: {error!r}; {data_again(path)}") from error
        return data

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.manifest["dataset"]

    @property
    def key(self) -> str:
        """Digest of settings and source that made this data."""
        return self.manifest["key"]

    @property
    def raw_digest(self) -> str:
        """Digest of everything that the arrays were read from."""
        return self.manifest["raw"]["digest"]

    @property
    def modalities(self) -> dict[str, dict[str, Any]]:
        """Shape, dtype, mean and std of each modality, in the dataset's order."""
        return self.manifest["modalities"]

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """Kind, number and names of classes of each target."""
        return self.manifest["targets"]

    @property
    def extras(self) -> dict[str, dict[str, Any]]:
        """Arrays that are neither modality nor target, by name: ``<modality>_frames`` counts a clip's real frames."""
        return self.manifest.get("extras", {})

    @property
    def splits(self) -> list[str]:
        """Names of the splits that exist: ``train``, ``test`` and, where there is one, ``val``."""
        return list(self.manifest["splits"])

    def size(self, split: str) -> int:
        """Return the number of samples of a split."""
        return self._split(split)["size"]

    def class_counts(self, split: str, target: str) -> list[int]:
        """Return how many samples of a split each class has."""
        return self._split(split)["class_counts"][target]

    def array(self, split: str, name: str, mode: Literal["r", "c"] = "r") -> np.ndarray:
        """Return a modality, target or ``"id"`` (N, ...) as a memory map: read-only (``"r"``), or one that
        may be written to without changing the file (``"c"``).
        """
        arrays = self._split(split)["arrays"]
        if name not in arrays:
            raise UserError(f"{self.path}: {split} has no array '{name}'{suggest(name, arrays)}")
        path = self.path / arrays[name]["file"]
        try:
            return from_file(np.load(path, mmap_mode=mode, allow_pickle=False), self.modalities.get(name))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}); {data_again(self.path)}") from error

    def ids(self, split: str) -> list[str]:
        """Return the names of the samples of a split, in the order of its arrays."""
        return [name.decode() for name in self.array(split, "id").tolist()]

    def verify(self, *names: str) -> None:
        """Compare the files of the arrays ``names``, or of all, with their digests.

        Raises:
            UserError: a file differs; it names the first.
        """
        arrays = [self._split(split)["arrays"] for split in self.splits]
        entries = [entry for found in arrays for name, entry in found.items() if name in names or not names]
        with concurrent.futures.ThreadPoolExecutor(HASHING_THREADS) as pool:
            found = pool.map(_file_digest, [self.path / entry["file"] for entry in entries])
            for entry, digest in zip(entries, found, strict=True):
                if digest != entry["sha256"]:
                    path = self.path / entry["file"]
                    raise UserError(
                        f"{path}: its bytes are not those that were prepared (sha256 {digest[:12]}..., the manifest "
                        f"says {entry['sha256'][:12]}...); {data_again(self.path)}"
                    )

    def _split(self, split: str) -> dict[str, Any]:
        splits = self.manifest["splits"]
        if split not in splits:
            raise UserError(f"{self.path}: no split '{split}'{suggest(split, splits)}")
        return splits[split]

    def _check(self) -> None:
        where = self.path / MANIFEST
        _ = self.raw_digest, self.manifest["sources"], self.manifest["dropped"]
        if self.manifest["schema"] != SCHEMA:
            raise UserError(
                f"{where}: schema {self.manifest['schema']}, this version reads {SCHEMA}; {data_again(self.path)}"
            )
        expected = f"{self.dataset}.{self.key}"
        if self.path.name != expected:
            raise UserError(f"{where}: holds '{expected}', but its folder is named '{self.path.name}'")
        for split in self.splits:
            names = set(self._split(split)["arrays"])
            if names != {*self.modalities, *self.targets, *self.extras, "id"}:
                raise UserError(f"{where}: {split} lists the arrays {sorted(names)}")
            for name in names:
                self._check_array(split, name)

    def _check_array(self, split: str, name: str) -> None:
        array = self.array(split, name)
        entry = self.modalities.get(name) or self.targets.get(name) or self.extras.get(name) or {}
        shape = (self.size(split), *entry.get("shape", ()))
        dtype = array.dtype if name == "id" else np.dtype(entry.get("dtype", "int64"))
        if array.shape != shape or array.dtype != dtype:
            path = self.path / self._split(split)["arrays"][name]["file"]
            raise UserError(
                f"{path}: holds {array.dtype} {array.shape}, the manifest says {dtype} {shape}; {data_again(self.path)}"
            )


def _file_digest(path: Path) -> str:
    status = path.stat()
    return _known_digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=4096)
def _known_digest(path: Path, *version: int) -> str:
    """Return a file's digest; ``version`` are its size, time and number, so that a new file is read anew."""
    return files.sha256_file(path)
