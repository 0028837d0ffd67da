"""GRID, speaker s1: short spoken commands, truly synchronised sound and picture, small and public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.data import lists
from counterpoise.data.audiovisual import UNUSABLE, ClipDataset, ClipReader
from counterpoise.data.clips import Item
from counterpoise.data.sources import CLIPS, RawFiles, Source
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import ArrayStore
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

ZENODO = "https://zenodo.org/records/3625687/files/"
LICENCE = "CC BY 4.0"
RATE = 25000.0
# A clip's name spells its sentence: one character per word, in this order.
GRAMMAR = {
    "command": {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    "colour": {"b": "blue", "g": "green", "r": "red", "w": "white"},
    "preposition": {"a": "at", "b": "by", "i": "in", "w": "with"},
    "letter": {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    "digit": {
        "z": "zero",
        "1": "one",
        "2": "two",
        "3": "three",
        "4": "four",
        "5": "five",
        "6": "six",
        "7": "seven",
        "8": "eight",
        "9": "nine",
    },
    "adverb": {"a": "again", "n": "now", "p": "please", "s": "soon"},
}
WORDS = list(GRAMMAR)


@dataset(
    name="grid",
    title="GRID, speaker s1",
    task="multimodal",
    modalities=("audio", "visual"),
    targets=("word",),
    licence="CC BY 4.0",
    paper="Cooke et al., JASA 2006",
)
class Grid(ClipDataset):
    """1,000 clips of 3 s of one speaker, ``command colour preposition letter digit adverb``.

    The label is one of the words, by default the digit. ``window: word`` shows and plays just that word, by
    the corpus's own alignment.
    """

    folder = "grid"
    group = "speaker"
    endings = (".mpg",)
    how_to_get = (
        "run: counterpoise data fetch grid, which unpacks s1.zip where no clip is there yet, "
        "or set clips: present (dataset grid_sample) to use those that are there"
    )

    word: str = setting(
        "digit",
        choices=("command", "colour", "preposition", "letter", "digit", "adverb"),
        doc="which word of the sentence is the label",
    )
    window: str = setting("utterance", choices=("utterance", "word"), doc="the whole clip, or the labelled word")
    clips: str = setting("all", choices=("all", "present"), doc="every aligned clip, or those that are there")
    front_end: str = setting("ogm", choices=("ogm", "fbank", "pmr", "pmr_raw", "stft16", "wave"), doc="audio front-end")
    audio_seconds: float | None = setting(None, above=0.0, doc="length of the sound; None: the front-end's own")
    audio_normalisation: str = setting("measured", choices=("none", "measured"), doc="mean and std of the audio")
    frames: int = setting(3, minimum=1, maximum=75, doc="stored frames per clip")
    fps: float = setting(1.0, above=0.0, maximum=25.0, doc="frames per second that they are taken at")
    sampling: str = setting("even", choices=("first", "even"), doc="which of them are kept")
    frame_size: list = setting([288, 360], doc="height and width of stored frames")
    test_fraction: float = setting(0.3, above=0.0, below=1.0, doc="share of each class in the test split")
    val_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class in the validation split")
    split_seed: int = setting(0, minimum=0, doc="seed of the split; not the seed of a run")
    max_dropped: float = setting(0.0, minimum=0.0, maximum=1.0, doc="share of clips that may be unusable")

    def sources(self) -> list[Source]:
        return [
            Source(path="alignments.csv", licence=LICENCE, optional=True),
            Source(path="s1.zip", urls=(f"{ZENODO}s1.zip?download=1",), licence=LICENCE, unpack="s1", holds=CLIPS),
            Source(
                path="alignments.zip",
                urls=(f"{ZENODO}alignments.zip?download=1",),
                licence=LICENCE,
                unpack="alignments",
                instead=("alignments.csv",),
                holds=(".align",),
            ),
        ]

    def departures(self) -> list[str]:
        return ["only the clips that were at hand (clips: present)"] if self.clips == "present" else []

    def class_names(self) -> list[str]:
        return list(GRAMMAR[self.word].values())

    def reader(self) -> ClipReader:
        return self.clip_reader(sampling=self.sampling)

    def groups_overlap(self) -> bool:
        return True

    def take_notes(self, raw: RawFiles, splits: Mapping[str, Sequence[Item]], store: ArrayStore) -> None:
        store.note("clips", sum(len(items) for items in splits.values()))

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        items = self._items(raw)
        labels = np.array([item.targets["word"] for item in items])
        fractions = {"test": self.test_fraction, "val": self.val_fraction}
        rows = stratified_split(labels, fractions, self.split_seed)
        return {split: [items[row] for row in members] for split, members in rows.items()}

    def _items(self, raw: RawFiles) -> list[Item]:
        present = raw.by_stem(".mpg", *CLIPS, within="s1")
        times = self._times(raw)
        names = sorted(present if self.clips == "present" else times or present)
        names = [name for name in names if _is_sentence(name)]
        if not names:
            raise UserError(f"{raw.home}: no clips of speaker s1; run: counterpoise data fetch grid")
        return [self._item(present.get(name, raw.home / f"s1/{name}.mpg"), name, times.get(name, {})) for name in names]

    def _item(self, path: Path, name: str, times: dict[str, tuple[float, float]]) -> Item:
        key = name[WORDS.index(self.word)]
        names = GRAMMAR[self.word]
        facts: dict[str, Any] = {}
        if self.window == "word" and names[key] in times:
            facts = dict(zip(("start", "end"), times[names[key]], strict=True))
            if facts["start"] == facts["end"]:
                facts = {UNUSABLE: f"the alignments give its word '{names[key]}' no length"}
        elif self.window == "word":
            facts = {UNUSABLE: f"the alignments say nothing of its word '{names[key]}'"}
        return Item(name, {"word": list(names).index(key)}, (path,), "s1", facts)

    def _times(self, raw: RawFiles) -> dict[str, dict[str, tuple[float, float]]]:
        """Return start and end in seconds of each clip's words, from the table or from the corpus's own files."""
        table = raw / "alignments.csv"
        found: dict[str, dict[str, tuple[float, float]]] = {}
        if table.is_file():
            for number, row in lists.read_table(table, ("clip", "start_25k", "end_25k", "word"), "alignments"):
                span = _span(row["start_25k"], row["end_25k"], table, number)
                found.setdefault(row["clip"].lower(), {})[row["word"]] = span
            return found
        for name, path in raw.by_stem(".align", within="s1").items():
            try:
                found[name] = _words(path)
            except UserError:
                # A clip whose words are not known is named where they are needed.
                found[name] = {}
        return found


def _is_sentence(name: str) -> bool:
    """Return whether a file's name spells a sentence; other clips that lie beside them are none of the corpus."""
    return len(name) == len(WORDS) and all(key in GRAMMAR[word] for word, key in zip(WORDS, name, strict=True))


def _words(path: Path) -> dict[str, tuple[float, float]]:
    """Return start and end in seconds of the words of an alignment file: start, end and word on each line."""
    found = {}
    for number, line in lists.read_lines(path, "alignment"):
        row = line.split()
        if len(row) != 3:
            raise UserError(f"{path}: line {number} has {len(row)} fields, 3 expected (alignment)")
        found[row[2]] = _span(row[0], row[1], path, number)
    return found


def _span(start: str, end: str, path: Path, number: int) -> tuple[float, float]:
    """Return the seconds from ``start`` to ``end`` of a line."""
    first, last = (lists.number(value, path, f"line {number}") / RATE for value in (start, end))
    if not 0 <= first <= last:
        raise UserError(f"{path}: line {number}: from {start} to {end}")
    return first, last
