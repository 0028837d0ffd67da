"""Kinetics-Sounds: the 31 classes of Kinetics-400 that can be seen and heard."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from counterpoise.data import lists
from counterpoise.data.audiovisual import ClipDataset, ClipReader
from counterpoise.data.clips import Item
from counterpoise.data.sources import CLIPS, RawFiles, Source
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import ArrayStore
from counterpoise.declare import dataset, setting

OGM = tuple(
    f"https://raw.githubusercontent.com/GeWu-Lab/OGM-GE_CVPR2022/{commit}/data/KineticSound/"
    for commit in ("149c68e5987f92484dd30cd468d444f6d98f57bd", "main")
)
LISTS = {
    "my_train.txt": (483173, "e75bb596c30bf839adb3c2dc73b4a4617add66b36c2f416f96ac2e56a251751f"),
    "my_test.txt": (56016, "3bb1fee2c9d30919cec6887a3e2fa27b7936cc3f46dff447d85ea21892a80a58"),
}
CLASSES = (
    "blowing nose",
    "blowing out candles",
    "bowling",
    "chopping wood",
    "dribbling basketball",
    "laughing",
    "mowing lawn",
    "playing accordion",
    "playing bagpipes",
    "playing bass guitar",
    "playing clarinet",
    "playing drums",
    "playing guitar",
    "playing harmonica",
    "playing keyboard",
    "playing organ",
    "playing piano",
    "playing saxophone",
    "playing trombone",
    "playing trumpet",
    "playing violin",
    "playing xylophone",
    "ripping paper",
    "shoveling snow",
    "shuffling cards",
    "singing",
    "stomping grapes",
    "tap dancing",
    "tapping guitar",
    "tapping pen",
    "tickling",
)
HOW_TO_GET = (
    "name a folder with the train and test parts of Kinetics-400 in data_roots "
    "(github.com/cvdfoundation/kinetics-dataset; docs/datasets.md); where clips are gone for good, raise max_dropped "
    "to go on with the others, which the manifest counts per class"
)


@dataset(
    name="kinetics_sounds",
    title="Kinetics-Sounds (31 classes)",
    task="multimodal",
    modalities=("audio", "visual"),
    targets=("action",),
    licence="CC BY 4.0 (annotations); videos belong to their uploaders",
    paper="Arandjelovic and Zisserman, ICCV 2017; Kay et al., 2017",
)
class KineticsSounds(ClipDataset):
    """Ten-second clips from a user's Kinetics-400 folder, chosen by OGM-GE's lists (14,799/2,597) or by any list.

    MMPareto's own numbers fit a test list of 1,376 clips that is not published: results differ for that alone.
    """

    folder = "kinetics_sounds"
    group = "video"
    how_to_get = HOW_TO_GET

    train_list: str = setting("my_train.txt", doc="list of training clips: id,seconds,class (0 to 30) per line")
    test_list: str = setting("my_test.txt", doc="list of test clips")
    front_end: str = setting(
        "fbank", choices=("ogm", "fbank", "pmr", "pmr_raw", "stft16", "wave"), doc="audio front-end"
    )
    audio_seconds: float | None = setting(None, above=0.0, doc="length of the sound; None: the front-end's own")
    audio_normalisation: str = setting("none", choices=("none", "measured"), doc="mean and std of the audio")
    frames: int = setting(3, minimum=1, maximum=10, doc="stored frames per clip")
    fps: float = setting(1.0, above=0.0, maximum=30.0, doc="frames per second that they are taken at")
    sampling: str = setting("even", choices=("first", "even"), doc="which of them are kept")
    min_frames: int = setting(4, minimum=1, doc="clips with fewer frames at fps are dropped, as the authors do")
    frame_size: list = setting([256, 340], doc="height and width of stored frames")
    val_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class taken from the training list")
    split_seed: int = setting(0, minimum=0, doc="seed of the validation split; not the seed of a run")
    max_dropped: float = setting(0.05, minimum=0.0, maximum=1.0, doc="share of a split that may be unusable")

    def sources(self) -> list[Source]:
        found = []
        for name in (self.train_list, self.test_list):
            if name in LISTS:
                size, sha256 = LISTS[name]
                urls = tuple(place + name for place in OGM)
                found.append(Source(path=name, urls=urls, size=size, sha256=sha256, licence="MIT"))
            else:
                found.append(Source(path=name, manual="put your own list, which the settings name, there"))
        return [*found, Source(path="clips", manual=HOW_TO_GET, licence=self.info.licence, holds=CLIPS)]

    def departures(self) -> list[str]:
        own = [name for name in (self.train_list, self.test_list) if name not in LISTS]
        return [f"{name} is a list of one's own" for name in own]

    def without_effect(self) -> dict[str, str]:
        return {"split_seed": "without val_fraction"} if self.val_fraction == 0 else {}

    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def reader(self) -> ClipReader:
        return self.clip_reader(sampling=self.sampling, min_frames=self.min_frames)

    def take_notes(self, raw: RawFiles, splits: Mapping[str, Sequence[Item]], store: ArrayStore) -> None:
        store.note("listed", {split: self._per_class(items) for split, items in splits.items()})

    @staticmethod
    def _per_class(items: Sequence[Item]) -> list[int]:
        labels = [item.targets["action"] for item in items]
        return np.bincount(labels, minlength=len(CLASSES)).tolist()

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        present = raw.by_stem(*CLIPS, fold=False)
        train = self._items(raw / self.train_list, present)
        test = self._items(raw / self.test_list, present)
        labels = np.array([item.targets["action"] for item in train])
        rows = stratified_split(labels, {"val": self.val_fraction}, self.split_seed)
        return {**{split: [train[row] for row in members] for split, members in rows.items()}, "test": test}

    def _items(self, path: Path, present: dict[str, Path]) -> list[Item]:
        items = []
        for number, (name, _, label) in enumerate(lists.read_rows(path, 3, "split list"), start=1):
            action = lists.whole_number(label, path, f"line {number}: class", maximum=len(CLASSES) - 1)
            stems = possible_stems(unicodedata.normalize("NFC", name))
            found = next((present[stem] for stem in stems if stem in present), None)
            media = path.parent / f"clips/{name}.mp4" if found is None else found
            items.append(Item(name, {"action": action}, (media,), name[:11]))
        return items


def possible_stems(name: str) -> list[str]:
    """Return the file names, without suffix, that a clip of the lists may have in a Kinetics folder.

    Training ids are complete, ``<video>_000058_000068``; test ids are ``<video>_<start>`` of a clip of ten seconds.
    """
    video, _, start = name.rpartition("_")
    if len(video) == 11 and start.isdecimal() and len(start) <= 6:
        return [name, f"{video}_{int(start):06d}_{int(start) + 10:06d}", video]
    return [name, name[:11]]
