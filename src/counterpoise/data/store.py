"""Writing prepared data: one ``.npy`` file per array and split, and a manifest, published together or not at all.

Arrays are appended in batches, so memory stays bounded whatever the size of the dataset. Everything is
written to a hidden folder beside the destination, which is renamed at the end. Its journal says how far the
work got: a preparation that was killed goes on from there, and because arrays are only ever appended in
order, the bytes are the same as if it had never stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from counterpoise import files
from counterpoise.data.axes import CHANNELS_LAST, from_file, to_file
from counterpoise.errors import UserError
from counterpoise.identity import digest

SCHEMA = 2
ID_TYPE = np.dtype("S64")
MODALITY_TYPES = ("uint8", "int16", "float32")
HEADER_BYTES = 256
CONTENT = "content"
"""The extra that holds the digest of the files of each sample."""
GROUP = "group"
"""The extra that says which samples belong together; see :func:`group_numbers`."""


class ArrayStore:
    """The prepared data of one dataset while it is being written.

    Declare modalities and targets, then append to splits::

        with ArrayStore(destination, dataset="cg_digits", key="3f2a", settings={}) as store:
            store.modality("gray", shape=(1, 8, 8), dtype="uint8")
            store.target("digit", names=[str(n) for n in range(10)])
            store.append("train", ids, gray=images, digit=labels)

    Leaving the block without an error publishes the folder at ``destination``; an error keeps the partial
    folder, so that the next attempt resumes.
    """

    def __init__(self, destination: Path, *, dataset: str, key: str, settings: Mapping[str, Any]) -> None:
        self.destination = Path(destination)
        self.partial = self.destination.parent / f".{self.destination.name}.partial"
        self._identity = {"schema": SCHEMA, "dataset": dataset, "key": key, "settings": dict(settings)}
        self._modalities: dict[str, dict[str, Any]] = {}
        self._targets: dict[str, dict[str, Any]] = {}
        self._extras: dict[str, dict[str, Any]] = {}
        self._sources: list[dict[str, Any]] = []
        self._leaks: list[dict[str, Any]] = []
        self._departures: list[str] = []
        self._notes: dict[str, Any] = {}
        self._journal: dict[str, Any] = {}
        self._ids: dict[str, set[bytes]] = {}
        self._handles: dict[Path, BinaryIO] = {}
        self._lock: int | None = None

    # ---- life cycle ----

    def __enter__(self) -> ArrayStore:
        with self._disk_errors():
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.partial, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise UserError(f"{self.destination}: is being prepared by another process") from error
        except OSError as error:
            os.close(self._lock)
            self._lock = None
            raise UserError(
                f"{self.partial}: the file system has no locks ({error.strerror}); prepare on a local disk, then copy"
            ) from error
        self._journal = self._read_journal()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._publish()
        finally:
            for handle in self._handles.values():
                handle.close()
            self._handles.clear()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _read_journal(self) -> dict[str, Any]:
        """Return what an interrupted attempt had finished; one of other data or an unreadable one counts as none."""
        fresh = self._fresh_journal()
        path = self.partial / "journal.json"
        if path.exists():
            with contextlib.suppress(ValueError):
                found = json.loads(path.read_text(encoding="utf-8"))
                if found.get("identity") == fresh["identity"]:
                    return found
        return fresh

    def _fresh_journal(self) -> dict[str, Any]:
        return {"identity": self._canonical_identity(), "splits": {}, "dropped": [], "faults": [], "inputs": {}}

    def _canonical_identity(self) -> dict[str, Any]:
        return json.loads(json.dumps(self._identity))

    # ---- declarations ----

    def modality(
        self,
        name: str,
        *,
        shape: Sequence[int],
        dtype: str,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels_last: bool = False,
        **facts: Any,
    ) -> None:
        """Declare a modality of per-sample ``shape``.

        ``channels_last``: pictures (..., C, H, W) lie in the file as (..., H, W, C), the order in which 8-bit
        pictures are cropped and resized fastest; whoever writes or reads the array sees ``shape``.

        ``mean`` and ``std`` normalise it: one value, or one per channel (axis -3 of images and of frames (T,
        C, H, W), the last axis of sequences and vectors), after uint8 was divided by 255 and int16 by 32768.
        ``None`` leaves values as they are. ``facts`` (frame rate, front-end ...) are kept in the manifest.
        """
        if dtype not in MODALITY_TYPES:
            raise ValueError(f"modality {name}: dtype {dtype!r} is not one of {MODALITY_TYPES}")
        self._modalities[name] = {
            "shape": [int(size) for size in shape],
            "dtype": dtype,
            "mean": None if mean is None else [float(value) for value in mean],
            "std": None if std is None else [float(value) for value in std],
            **({"layout": CHANNELS_LAST} if channels_last else {}),
            **facts,
        }

    def normalise(self, name: str, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set what normalises a modality once its values are known (:func:`counterpoise.data.normalise.measure`)."""
        self._modalities[name]["mean"], self._modalities[name]["std"] = list(mean), list(std)

    def target(self, name: str, *, names: Sequence[str]) -> None:
        """Declare a classification target with these class ``names``; its array is int64 (N,)."""
        self._targets[name] = {"classes": len(names), "names": list(names), "kind": "classification"}

    def dense_target(self, name: str, *, kind: str, shape: Sequence[int], dtype: str, **facts: Any) -> None:
        """Declare a target of one value per pixel (``kind``: ``segmentation`` or ``depth``)."""
        self._targets[name] = {"kind": kind, "shape": [int(size) for size in shape], "dtype": dtype, **facts}

    def extra(self, name: str, *, shape: Sequence[int] = (), dtype: str = "int64") -> None:
        """Declare an array that is neither: ``<modality>_frames`` says how many of a clip's frames are real."""
        self._extras[name] = {"shape": [int(size) for size in shape], "dtype": dtype}

    def source(self, name: str, *, sha256: str, size: int, licence: str, published: bool | None = None) -> None:
        """Record a file that the arrays were made from, and whether it is the one that its publisher pins."""
        entry = {"name": name, "sha256": sha256, "bytes": size, "licence": licence, "published": published}
        self._sources.append(entry)

    def departure(self, what: str) -> None:
        """Record what makes this another data set than the published one (a list of the user's own)."""
        self._departures.append(what)

    def leak(self, kind: str, **facts: Any) -> None:
        """Record that splits share something (``kind``: ``same id``, ``same speaker`` ...)."""
        self._leaks.append({"kind": kind, **facts})

    def note(self, name: str, value: Any) -> None:
        """Keep a fact about this preparation (a library's version, a count) in the manifest."""
        self._notes[name] = value

    def array_names(self) -> list[str]:
        """Return every declared array but the ids."""
        return [*self._modalities, *self._targets, *self._extras]

    def is_label(self, name: str) -> bool:
        """Return whether an array holds classes of samples."""
        return self._targets.get(name, {}).get("kind") == "classification"

    def class_name(self, target: str, label: int) -> str:
        """Return the name of a target's class."""
        return self._targets[target]["names"][label]

    # ---- rows ----

    def consumed(self, split: str) -> int:
        """Return how many input items of ``split`` were already appended or dropped by an interrupted attempt."""
        return self._journal["splits"].get(split, {}).get("consumed", 0)

    def rows(self, split: str) -> int:
        """Return the number of samples written to ``split``."""
        return self._journal["splits"].get(split, {}).get("rows", 0)

    def dropped(self, split: str) -> int:
        """Return the number of items of ``split`` that were left out."""
        return len(self.dropped_items(split))

    def dropped_items(self, split: str) -> list[tuple[str, str]]:
        """Return id and reason of the items of ``split`` that were left out."""
        return [(entry["id"], entry["reason"]) for entry in self._journal["dropped"] if entry["split"] == split]

    def resume_from(self, inputs: Mapping[str, str]) -> None:
        """Go on with what an interrupted attempt appended, if it worked on the same ``inputs`` (digests of what
        each split is made from); else start over.
        """
        if self._journal["inputs"] != dict(inputs):
            self.start_over()
            self._journal["inputs"] = dict(inputs)

    def start_over(self) -> None:
        """Forget everything that was appended."""
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()
        self._ids.clear()
        self._journal = self._fresh_journal()
        with self._disk_errors():
            files.write_json(self.partial / "journal.json", self._journal)

    def append(
        self,
        split: str,
        ids: Sequence[str],
        *,
        dropped: Sequence[tuple[str, str] | tuple[str, str, int]] = (),
        faults: Sequence[tuple[str, str]] = (),
        consumed: int | None = None,
        **arrays: np.ndarray,
    ) -> None:
        """Append samples: ``ids`` and, for every declared modality, target and extra, an array with one row per id.

        ``dropped`` lists ``(id, reason)`` of items that are not there, with the digest of their files where they
        have any; ``faults`` lists ``(id, what is wrong)`` of samples that are there all the same. ``consumed``
        is the number of input items that this call settles (by default samples and dropped together); when the
        call returns they are on the disk.
        """
        expected = set(self.array_names())
        if set(arrays) != expected:
            raise ValueError(f"{split}: arrays {sorted(arrays)} given, {sorted(expected)} declared")
        progress = self._journal["splits"].setdefault(split, {"rows": 0, "consumed": 0})
        checked = {name: self._checked(split, name, array, ids) for name, array in arrays.items()}
        checked["id"] = self._checked_ids(split, ids)
        with self._disk_errors():
            for name, array in checked.items():
                handle = self._handle(split, name)
                handle.write(array.data.cast("B") if array.size > 0 else b"")
                handle.flush()
                os.fsync(handle.fileno())
            progress["rows"] += len(ids)
            progress["consumed"] += len(ids) + len(dropped) if consumed is None else consumed
            for name, reason, *content in dropped:
                entry = {"split": split, "id": name, "reason": reason}
                self._journal["dropped"].append(entry | ({"content": content[0]} if content else {}))
            self._journal["faults"].extend({"split": split, "id": name, "fault": fault} for name, fault in faults)
            files.write_json(self.partial / "journal.json", self._journal)

    def _checked(self, split: str, name: str, array: np.ndarray, ids: Sequence[str]) -> np.ndarray:
        shape, dtype = self.layout(name)
        array = np.asarray(array)
        if array.shape != (len(ids), *shape):
            raise ValueError(f"{split}/{name}: shape {array.shape} given, {(len(ids), *shape)} expected")
        if array.dtype != dtype and not (name not in self._modalities and np.issubdtype(array.dtype, np.integer)):
            raise ValueError(f"{split}/{name}: dtype {array.dtype} given, {dtype} expected")
        if array.dtype.kind == "f" and len(ids) > 0:
            finite = np.isfinite(array).reshape(len(ids), -1).all(axis=1)
            if not finite.all():
                raise UserError(f"{split}/{name}: sample {ids[int(np.argmin(finite))]} holds NaN or infinite values")
        classes = self._targets.get(name, {}).get("classes")
        if self.is_label(name) and len(ids) > 0:
            bad = (array < 0) | (array >= classes)
            if bad.any():
                row = int(np.argmax(bad))
                raise UserError(
                    f"{split}/{name}: sample {ids[row]} has label {array[row]}; allowed: 0 to {classes - 1}"
                )
        return np.ascontiguousarray(to_file(array, self._modalities.get(name)), dtype=dtype)

    def _checked_ids(self, split: str, ids: Sequence[str]) -> np.ndarray:
        encoded = [name.encode() for name in ids]
        seen = self._seen_ids(split)
        for name in encoded:
            if len(name) > ID_TYPE.itemsize or not name:
                raise UserError(f"{split}: id {name.decode()!r} must have 1 to {ID_TYPE.itemsize} bytes")
            if name in seen:
                raise UserError(f"{split}: id {name.decode()!r} occurs twice")
            seen.add(name)
        return np.array(encoded, dtype=ID_TYPE)

    def _seen_ids(self, split: str) -> set[bytes]:
        if split not in self._ids:
            rows = self.rows(split)
            self._ids[split] = set(self.read(split, "id").tolist()) if rows > 0 else set()
        return self._ids[split]

    def layout(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return the per-sample shape and the type of an array."""
        if name == "id":
            return (), ID_TYPE
        if name in self._modalities:
            entry = self._modalities[name]
            return tuple(entry["shape"]), np.dtype(entry["dtype"]).newbyteorder("<")
        entry = self._targets.get(name) or self._extras[name]
        return tuple(entry.get("shape", ())), np.dtype(entry.get("dtype", "int64")).newbyteorder("<")

    def _path(self, split: str, name: str) -> Path:
        return self.partial / split / f"{name}.npy"

    def _handle(self, split: str, name: str) -> BinaryIO:
        """Return the open file of an array, cut back to the rows that the journal vouches for."""
        path = self._path(split, name)
        if path not in self._handles:
            path.parent.mkdir(exist_ok=True)
            handle = path.open("r+b" if path.exists() else "x+b")
            handle.truncate(HEADER_BYTES + self.rows(split) * self._row_bytes(name))
            handle.seek(0, os.SEEK_END)
            if handle.tell() < HEADER_BYTES:
                handle.write(bytes(HEADER_BYTES - handle.tell()))
            self._handles[path] = handle
        return self._handles[path]

    def _row_bytes(self, name: str) -> int:
        shape, dtype = self.layout(name)
        return math.prod(shape) * dtype.itemsize

    def read(self, split: str, name: str) -> np.ndarray:
        """Return what is written of an array so far, memory-mapped."""
        shape, dtype = self.layout(name)
        rows = self.rows(split)
        if rows == 0:
            return np.empty((0, *shape), dtype)
        rows = np.memmap(
            self._path(split, name), dtype=dtype, mode="r", offset=HEADER_BYTES, shape=(rows, *self._file_shape(name))
        )
        return from_file(rows, self._modalities.get(name))

    def _file_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a sample has in the file."""
        sample = np.broadcast_to(np.uint8(0), self.layout(name)[0])
        return to_file(sample, self._modalities.get(name)).shape

    def read_rows(self, split: str, name: str, start: int, count: int) -> np.ndarray:
        """Return up to ``count`` rows from ``start`` as a copy: a memory map's pages would stay with the process."""
        shape, dtype = self._file_shape(name), self.layout(name)[1]
        count = min(count, self.rows(split) - start)
        with self._path(split, name).open("rb") as file:
            file.seek(HEADER_BYTES + start * self._row_bytes(name))
            rows = np.fromfile(file, dtype, count * math.prod(shape)).reshape(count, *shape)
        return from_file(rows, self._modalities.get(name))

    # ---- the end ----

    def _publish(self) -> None:
        splits = sorted(self._journal["splits"], key=_split_order)
        if not splits:
            raise UserError(f"{self.destination}: nothing was written")
        with self._disk_errors():
            for split in splits:
                for name in (*self.array_names(), "id"):
                    self._finish_file(split, name)
            manifest = {
                **self._canonical_identity(),
                "modalities": self._modalities,
                "targets": self._targets,
                "extras": self._extras,
                "splits": {split: self._split_entry(split) for split in splits},
                "dropped": self._sorted_entries("dropped", splits),
                "faults": self._sorted_entries("faults", splits),
                "leaks": self._leaks,
                "sources": sorted(self._sources, key=lambda entry: entry["name"]),
                "departures": self._departures,
                "raw": {"digest": self._raw_digest(splits)},
                "notes": self._notes,
            }
            text = json.dumps(manifest, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
            files.write_text(self.partial / "manifest.json", text)
            (self.partial / "journal.json").unlink(missing_ok=True)
            files.publish_directory(self.partial, self.destination)

    def _sorted_entries(self, kind: str, splits: Sequence[str]) -> list[dict[str, Any]]:
        """Return the journal's entries of a ``kind`` by split and id, whatever order they came in."""
        order = {split: place for place, split in enumerate(splits)}
        entries = sorted(self._journal[kind], key=lambda entry: (order[entry["split"]], entry["id"]))
        # A journal that was read back has its keys in another order.
        return [dict(sorted(entry.items())) for entry in entries]

    def _raw_digest(self, splits: Sequence[str]) -> str:
        """Return the digest of everything that the arrays were read from: lists, and the files of each item."""
        sources = sorted([entry["name"], entry["sha256"]] for entry in self._sources)
        items = []
        for split in splits:
            if CONTENT in self._extras:
                ids = [name.decode() for name in self.read(split, "id").tolist()]
                items += [[split, *pair] for pair in zip(ids, self.read(split, CONTENT).tolist(), strict=True)]
            entries = [entry for entry in self._journal["dropped"] if entry["split"] == split]
            items += [[split, entry["id"], entry.get("content", 0)] for entry in entries]
        return digest({"sources": sources, "items": sorted(items)})

    def _finish_file(self, split: str, name: str) -> None:
        handle = self._handle(split, name)
        handle.seek(0)
        handle.write(npy_header((self.rows(split), *self._file_shape(name)), self.layout(name)[1]))
        handle.flush()
        os.fsync(handle.fileno())

    def _split_entry(self, split: str) -> dict[str, Any]:
        arrays = {
            name: {"file": f"{split}/{name}.npy", "sha256": files.sha256_file(self._path(split, name))}
            for name in (*self.array_names(), "id")
        }
        counts = {
            name: np.bincount(self.read(split, name), minlength=entry["classes"]).tolist()
            for name, entry in self._targets.items()
            if entry["kind"] == "classification"
        }
        return {"size": self.rows(split), "arrays": arrays, "class_counts": counts}

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.partial}: {error.strerror or error} while preparing; "
                "what is finished is kept and the same command goes on from it"
            ) from error


def group_numbers(names: Iterable[str]) -> np.ndarray:
    """Return int64 (N,) for an extra :data:`GROUP`: equal numbers for samples of one video, speaker or actor.

    The errors of such samples are not independent: statistics over test examples take a group as one.
    """
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    return np.frombuffer(b"".join(digests), dtype="<i8").copy()


def npy_header(shape: Sequence[int], dtype: np.dtype) -> bytes:
    """Return a version 1.0 ``.npy`` header of exactly ``HEADER_BYTES`` bytes.

    The fixed length lets rows be appended before their number is known, and keeps the bytes independent of NumPy.
    """
    sizes = "(" + ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {sizes}, }}"
    body = text.ljust(HEADER_BYTES - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body.encode("ascii")


def _split_order(name: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(name) if name in order else len(order), name)
