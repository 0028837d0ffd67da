"""Data of one's own: a folder with a file per modality and labels, described by one YAML and no code.

A file is ``.npy`` (an array whose first axis counts samples) or ``.csv`` (one line per sample, numbers only). Where
names contain ``{split}``, each split has files of its own; otherwise one column of the labels, or fractions, say which
sample is in which split. docs/guides/own-data.md goes through an example.
"""

from __future__ import annotations

import csv
import re
import tokenize
from pathlib import Path

import numpy as np

from counterpoise.data.interface import Dataset
from counterpoise.data.lists import read_text
from counterpoise.data.normalise import measure
from counterpoise.data.sources import RawFiles, Source
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import MODALITY_TYPES, ArrayStore
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError, suggest
from counterpoise.identity import digest

SPLIT = "{split}"
SPLITS = ("train", "val", "test")
# What the arrays beside the modalities are called, and the words of ArrayStore.append.
TAKEN = ("label", "id", "self", "split", "ids", "dropped", "faults", "consumed")
BLOCK = 4096  # samples that are copied at a time: files may be larger than memory


@dataset(
    name="folder",
    title="Files of one's own",
    task="multimodal",
    modalities=(),  # those of the setting
    targets=("label",),
)
class Folder(Dataset):
    """Arrays or tables in a folder of ``data/raw``, or anywhere else by its absolute path."""

    path: str = setting("", doc="the folder, below data/raw or absolute")
    modalities: dict[str, str] = setting({}, doc="modality -> its .npy or .csv file, as in audio_{split}.npy")
    labels: str = setting("labels.csv", doc="the .npy or .csv file with the labels")
    label_column: str = setting("label", doc="the column of a .csv that has them")
    id_column: str = setting("", doc="the column of the labels' .csv that names samples; default: numbered")
    split_column: str = setting("", doc="the column of the labels' .csv that says train, val or test")
    splits: list[str] = setting(["train", "test"], doc="the splits that have files, where names contain {split}")
    test_fraction: float = setting(0.2, above=0.0, below=1.0, doc="share of each class, without files or a column")
    val_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class, likewise")
    generation_seed: int = setting(0, minimum=0, doc="seed of that split; not the seed of a run")
    normalise: bool = setting(True, doc="subtract mean and divide by standard deviation of the training split")
    version: int = setting(1, minimum=1, doc="raise it when the files have changed, so that they are read again")

    @property
    def folder(self) -> str:
        """The folder of the raw files."""
        return self.path

    def sources(self) -> list[Source]:
        self._check()
        names = dict.fromkeys(
            name.replace(SPLIT, split)
            for name in (*self.modalities.values(), self.labels)
            for split in (self.splits if SPLIT in name else [""])
        )
        how = "put it there, or correct the name in the dataset's YAML"
        return [Source(path=name, manual=how) for name in names]

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        parts = self._by_file(raw) if SPLIT in self.labels else self._by_index(raw)
        values = [label for _, labels, _, _ in parts.values() for label in labels]
        classes = _in_order(set(values))
        seen = set(parts["train"][1])
        for split, (_, labels, _, path) in parts.items():
            new = [label for label in labels if label not in seen]
            if new:
                raise UserError(f"{path}: the class '{new[0]}' is in '{split}' and not in 'train'")
        for name, array in parts["train"][0].items():
            store.modality(name, shape=array.shape[1:], dtype=_stored_type(array))
        store.target("label", names=classes)
        # Rows that an interrupted attempt wrote from other files are not gone on from.
        states = [(raw / source.path).stat() for source in self.sources()]
        store.resume_from({"files": digest([[state.st_size, state.st_mtime_ns, state.st_ino] for state in states])})
        numbers = {label: number for number, label in enumerate(classes)}
        for split, (arrays, labels, rows, path) in parts.items():
            ids = self._ids(raw, path, split, rows)
            for start in range(store.consumed(split), len(rows), BLOCK):
                block = slice(start, start + BLOCK)
                taken = {
                    # Shape (n, ...): the rows of this split, in the type that is stored.
                    name: np.asarray(array[rows[block]], dtype=store.layout(name)[1])
                    for name, array in arrays.items()
                }
                coded = np.array([numbers[label] for label in labels[block]], dtype=np.int64)
                store.append(split, ids[block], label=coded, **taken)
        for name in self.modalities if self.normalise else ():
            measure(store, name)

    def _check(self) -> None:
        where = f"dataset folder '{self.path}'"
        if not self.path or not self.modalities:
            raise UserError(f"{where}: settings: 'path' and 'modalities' must be given")
        for name in self.modalities:
            # It becomes the name of a file.
            if name in TAKEN or not name or "/" in name or "\0" in name:
                raise UserError(f"{where}: settings: modalities: none can be called '{name}'; choose another name")
        mixed = {SPLIT in name for name in (*self.modalities.values(), self.labels)}
        if len(mixed) > 1:
            raise UserError(f"{where}: settings: either all of 'modalities' and 'labels' contain {SPLIT}, or none does")
        for split in self.splits:
            if split not in SPLITS:
                raise UserError(f"{where}: settings: splits: '{split}' is no split{suggest(split, SPLITS)}")
        if SPLIT in self.labels and not {"train", "test"} <= set(self.splits):
            raise UserError(f"{where}: settings: splits: must have 'train' and 'test'")

    def _by_file(self, raw: RawFiles) -> dict[str, tuple]:
        """Return, by split, its arrays (N, ...), labels, rows to take and the file of the labels."""
        parts = {}
        first: dict[str, tuple[tuple[int, ...], str]] = {}
        for split in sorted(self.splits, key=SPLITS.index):
            path = raw / self.labels.replace(SPLIT, split)
            labels = self._labels(path)
            arrays = {
                name: self._array(raw / file.replace(SPLIT, split), len(labels), path)
                for name, file in self.modalities.items()
            }
            for name, array in arrays.items():
                file = raw / self.modalities[name].replace(SPLIT, split)
                shape, kind = first.setdefault(name, (array.shape[1:], _stored_type(array)))
                if array.shape[1:] != shape:
                    raise UserError(f"{file}: a sample has shape {array.shape[1:]}, in the first split {shape}")
                # One type is stored for all splits: 0.7 or 300 would become 0 or 44 in uint8.
                if _stored_type(array) != kind:
                    raise UserError(f"{file}: its numbers are {array.dtype}, in the first split they are {kind}")
            parts[split] = (arrays, labels, np.arange(len(labels)), path)
        return parts

    def _by_index(self, raw: RawFiles) -> dict[str, tuple]:
        """Return the same where all splits are in one file."""
        path = raw / self.labels
        labels = self._labels(path)
        arrays = {name: self._array(raw / file, len(labels), path) for name, file in self.modalities.items()}
        if self.split_column:
            named = _column(path, self.split_column)
            for line, split in enumerate(named, start=2):
                if split not in SPLITS:
                    raise UserError(
                        f"{path}: line {line}: column '{self.split_column}': '{split}' is no split"
                        f"{suggest(split, SPLITS)}"
                    )
            for split in ("train", "test"):
                if split not in named:
                    raise UserError(f"{path}: column '{self.split_column}': no sample is in '{split}'")
            chosen = {split: np.flatnonzero(np.array(named) == split) for split in SPLITS if split in named}
        else:
            codes = np.unique(labels, return_inverse=True)[1]
            fractions = {"test": self.test_fraction, "val": self.val_fraction}
            chosen = stratified_split(codes, fractions, self.generation_seed)
        return {split: (arrays, [labels[row] for row in rows], rows, path) for split, rows in chosen.items()}

    def _labels(self, path: Path) -> list[str]:
        if path.suffix == ".csv":
            found = _column(path, self.label_column)
            for line, label in enumerate(found, start=2):
                if not label:
                    raise UserError(f"{path}: line {line}: column '{self.label_column}' is empty")
            return found
        array = _load_npy(path)
        if array.ndim != 1 or array.dtype.kind not in "iuUb":
            raise UserError(
                f"{path}: labels must be one whole number or word per sample, not {array.dtype} {array.shape}"
            )
        return [str(label) for label in array.tolist()]

    def _array(self, path: Path, samples: int, labels: Path) -> np.ndarray:
        """Return the samples (N, ...) of a modality's file."""
        if path.suffix == ".csv":
            array = _read_numbers(path, {self.label_column, self.id_column, self.split_column})
        else:
            array = _load_npy(path)
            if array.ndim < 2 or array.dtype.kind not in "iufb":
                raise UserError(f"{path}: must be numbers of shape (samples, ...), not {array.dtype} {array.shape}")
        if 0 in array.shape[1:]:
            raise UserError(f"{path}: has no numbers: a sample has shape {array.shape[1:]}")
        if len(array) != samples:
            raise UserError(f"{path}: has {len(array)} samples, {labels} has {samples}")
        for start in range(0, len(array) if array.dtype.kind == "f" else 0, BLOCK):
            finite = np.isfinite(array[start : start + BLOCK]).reshape(len(array[start : start + BLOCK]), -1)
            if not finite.all():
                row, column = np.argwhere(~finite)[0]
                raise UserError(f"{path}: row {start + row}, element {column} is not finite")
        return array

    def _ids(self, raw: RawFiles, path: Path, split: str, rows: np.ndarray) -> list[str]:
        if self.id_column and path.suffix == ".csv":
            names = _column(path, self.id_column)
            ids: dict[str, None] = {}
            for row in rows:
                if names[row] in ids:
                    raise UserError(
                        f"{path}: line {row + 2}: column '{self.id_column}': '{names[row]}' names a sample of "
                        f"'{split}' before it"
                    )
                ids[names[row]] = None
            return list(ids)
        return [f"{split}-{row:06d}" for row in rows]


def _in_order(labels: set[str]) -> list[str]:
    """Return class names by their number where all are whole numbers, else by the alphabet."""
    numbers = all(re.fullmatch(r"-?\d{1,18}", label) for label in labels)
    return sorted(labels, key=int) if numbers else sorted(labels)


def _stored_type(array: np.ndarray) -> str:
    return array.dtype.name if array.dtype.name in MODALITY_TYPES else "float32"


def _load_npy(path: Path) -> np.ndarray:
    if path.suffix != ".npy":
        raise UserError(f"{path}: must be a .npy or a .csv file")
    try:
        # Not np.load, which takes a file for a zip or a pickle where its first bytes say so.
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, SyntaxError, tokenize.TokenError) as error:
        raise UserError(f"{path}: is no array that can be read: {' '.join(str(error).split())}") from error


def _rows(path: Path) -> list[list[str]]:
    reader = csv.reader(read_text(path, "table").splitlines())
    try:
        rows = [[field.strip() for field in row] for row in reader if row]
    except csv.Error as error:  # a quote that nothing closes makes one field of all that follows
        raise UserError(f"{path}: line {reader.line_num} is not a line of fields ({error})") from error
    if not rows:
        raise UserError(f"{path}: the table is empty")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise UserError(f"{path}: line {line} has {len(row)} fields, the first line {len(rows[0])}")
    return rows


def _column(path: Path, name: str) -> list[str]:
    header, *rows = _rows(path)
    if name not in header:
        raise UserError(f"{path}: has no column '{name}'{suggest(name, header)}")
    if not rows:
        raise UserError(f"{path}: has a heading and no lines below it")
    place = header.index(name)
    return [row[place] for row in rows]


def _read_numbers(path: Path, others: set[str]) -> np.ndarray:
    """Return a table of numbers float32 (N, F); a first line with a word in it is a header.

    Columns that the header calls by a name in ``others`` are left out.
    """
    rows = _rows(path)
    header = None if all(map(_is_number, rows[0])) else rows[0]
    names = header or [str(number) for number in range(1, len(rows[0]) + 1)]
    places = [place for place, name in enumerate(names) if header is None or name not in others]
    first = 1 if header is None else 2
    body = rows[first - 1 :]
    for line, row in enumerate(body, start=first):
        for place in places:
            if not _is_number(row[place]):
                raise UserError(f"{path}: line {line}: column '{names[place]}': '{row[place]}' is not a finite number")
    return np.array([[float(row[place]) for place in places] for row in body], dtype=np.float32)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
