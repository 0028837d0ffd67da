"""AVE: 4,143 ten-second clips with one audio-visual event each, 28 classes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from counterpoise.data import lists
from counterpoise.data.audiovisual import ClipDataset, ClipReader
from counterpoise.data.clips import Item
from counterpoise.data.sources import CLIPS, RawFiles, Source
from counterpoise.data.store import ArrayStore
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

# The lists in MLB's repository are the published ones. DI-MML's have one line less.
LISTS = (
    "https://raw.githubusercontent.com/kkontras/MLB/357b5ce1bcb7eac41f9483095f861c1431173d6f/datasets/AVE/",
    "https://raw.githubusercontent.com/kkontras/MLB/main/datasets/AVE/",
)
ARCHIVE = "https://drive.usercontent.google.com/download?id=1FjKwe79e0u96vdjIVwfRQ1V6SoDHe7kK&export=download&confirm=t"
PUBLISHED = {
    "trainSet.txt": (116313, "4f6c37aff56d4a3407f8beff47ca59dcefb8e94b3e02bbc34b0c89b5cdad6945"),
    "valSet.txt": (13991, "76c3c51b67aacbbacd5708e17aab491638a5e9032f786adad1a13be55d9cb3ca"),
    "testSet.txt": (13983, "e73c25a509bb38a691c1e08064af66d0512554f2fbc883cddd6d2a51ede8449d"),
}
CLASSES = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Truck",
    "Shofar",
    "Motorcycle",
    "Acoustic guitar",
    "Train horn",
    "Clock",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Bus",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Rodents, rats, mice",
    "Accordion",
    "Mandolin",
)
HOW_TO_GET = (
    "run: counterpoise data fetch ave, which unpacks AVE_Dataset.zip where no clip is there yet, "
    "or name the whole AVE_Dataset folder in data_roots"
)


@dataset(
    name="ave",
    title="AVE",
    task="multimodal",
    modalities=("audio", "visual"),
    targets=("event",),
    licence="CC BY 4.0 (annotations); videos belong to their uploaders",
    paper="Tian et al., ECCV 2018",
)
class Ave(ClipDataset):
    """AVE's event segments: frames and sound of the annotated seconds only.

    A clip listed twice in one split counts once (its first event), as in MLB; an event without length is
    dropped; clips that are in two splits are reported as leaks, and left out of train with ``remove_leaks``.
    """

    folder = "ave"
    group = "video"
    how_to_get = HOW_TO_GET
    endings = (".mp4",)

    front_end: str = setting(
        "pmr_raw", choices=("ogm", "fbank", "pmr", "pmr_raw", "stft16", "wave"), doc="audio front-end"
    )
    audio_seconds: float | None = setting(None, above=0.0, doc="length of the sound; None: the front-end's own")
    audio_normalisation: str = setting("none", choices=("none", "measured"), doc="mean and std of the audio")
    frames: int = setting(4, minimum=1, maximum=10, doc="stored frames per clip")
    fps: float = setting(1.0, above=0.0, maximum=30.0, doc="frames per second that they are taken at")
    sampling: str = setting("first", choices=("first", "even"), doc="which of them are kept")
    frame_size: list = setting([256, 340], doc="height and width of stored frames")
    remove_leaks: bool = setting(False, doc="leave clips that are also in val or test out of train")
    max_dropped: float = setting(0.01, minimum=0.0, maximum=1.0, doc="share of a split that may be unusable")

    def sources(self) -> list[Source]:
        found = [
            Source(
                path=name,
                urls=tuple(place + name for place in LISTS),
                size=size,
                sha256=sha256,
                licence="CC BY 4.0",
                instead=(f"AVE_Dataset/{name}",),
            )
            for name, (size, sha256) in PUBLISHED.items()
        ]
        return [*found, Source(path="AVE_Dataset.zip", urls=(ARCHIVE,), unpack="AVE_Dataset", holds=CLIPS)]

    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def reader(self) -> ClipReader:
        return self.clip_reader(sampling=self.sampling)

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        present = raw.by_stem(*CLIPS, fold=False)
        splits = {split: self._items(raw, split, present) for split in ("train", "val", "test")}
        if self.remove_leaks:
            elsewhere = {item.id for split in ("val", "test") for item in splits[split]}
            splits["train"] = [item for item in splits["train"] if item.id not in elsewhere]
        return splits

    def _items(self, raw: RawFiles, split: str, present: Mapping[str, Path]) -> list[Item]:
        path = self._list(raw, split)
        classes = {name: number for number, name in enumerate(CLASSES)}
        items: dict[str, Item] = {}
        for number, row in self._rows(path):
            label, name, start, end = self._parse(row, path, number, classes)
            if end > start and name not in items:
                facts = {"start": float(start), "end": float(end)}
                media = present.get(unicodedata.normalize("NFC", name), raw.home / f"AVE_Dataset/AVE/{name}.mp4")
                items[name] = Item(name, {"event": label}, (media,), name, facts)
        return list(items.values())

    @staticmethod
    def _list(raw: RawFiles, split: str) -> Path:
        return raw.first(f"{split}Set.txt", f"AVE_Dataset/{split}Set.txt")

    @staticmethod
    def _rows(path: Path) -> list[tuple[int, list[str]]]:
        """Return the number and the fields of each line."""
        rows = [(number, line.split("&")) for number, line in lists.read_lines(path, "split list")]
        for number, row in rows:
            if len(row) != 5:
                raise UserError(f"{path}: line {number} is not class&id&quality&start&end")
        return rows

    def take_notes(self, raw: RawFiles, splits: Mapping[str, Sequence[Item]], store: ArrayStore) -> None:
        """Say in the manifest which ids a list repeats and which of its events have no length."""
        for split in splits:
            self._note_oddities(raw, split, store)

    def _note_oddities(self, raw: RawFiles, split: str, store: ArrayStore) -> None:
        path = self._list(raw, split)
        rows = [row for _, row in self._rows(path)]
        repeated = sorted(name for name, count in Counter(row[1] for row in rows).items() if count > 1)
        store.note(f"{split}: listed", len(rows))
        store.note(f"{split}: events without length", [row[1] for row in rows if float(row[4]) <= float(row[3])])
        store.note(f"{split}: listed more than once", repeated)

    @staticmethod
    def _parse(row: list[str], path: Path, number: int, classes: dict[str, int]) -> tuple[int, str, int, int]:
        line = f"line {number}"
        start = lists.whole_number(row[3], path, f"{line}: start", maximum=10)
        end = lists.whole_number(row[4], path, f"{line}: end", maximum=10)
        return lists.label(row[0], classes, path, line), row[1], start, end
