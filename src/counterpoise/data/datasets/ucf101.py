"""UCF101, the 51 classes whose clips carry sound (MLB)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from counterpoise.data import lists
from counterpoise.data.audiovisual import ClipDataset, ClipReader
from counterpoise.data.clips import Item
from counterpoise.data.sources import CLIPS, RawFiles, Source
from counterpoise.data.splits import stratified_split
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

SITE = "https://www.crcv.ucf.edu/data/UCF101/"
# Of the lists in UCF101TrainTestSplits-RecognitionTask.zip, with single line ends. Copies of fold 1 go round that spell
# HandstandPushups as the class, not as its files are spelled.
PUBLISHED = {
    "trainlist01.txt": (385627, "ed1720ddd9fcbcbb270711a4a4ea3bc85facba70786af8888c0f424b478c2a2f"),
    "trainlist02.txt": (388024, "a1a6788d2c80587b66e52003057d66230008e193b29d750420be9dde35170293"),
    "trainlist03.txt": (389181, "7091b3f22293c2cee86e1851787f47cea3a2ac32a07c45eb2470034b2b902edc"),
    "testlist01.txt": (141952, "ef9f6cd3fa26e969d61b8dd72c1ebdcb3f477cdece02ef6c3a92f674c75fb040"),
    "testlist02.txt": (139696, "b6ed340ecdb2011c48372f056fda103de9c4c0f39fd7cd8f5014e5ffc8d2a31a"),
    "testlist03.txt": (138664, "dbd0f0d521146d2cb53e2aa764e53e5b6415c7fd24d977ef0d26019c33b96fb5"),
}
# The classes that UCF101 added to UCF50: the clips of these were published with their sound.
CLASSES = (
    "ApplyEyeMakeup",
    "ApplyLipstick",
    "Archery",
    "BabyCrawling",
    "BalanceBeam",
    "BandMarching",
    "BasketballDunk",
    "BlowDryHair",
    "BlowingCandles",
    "BodyWeightSquats",
    "Bowling",
    "BoxingPunchingBag",
    "BoxingSpeedBag",
    "BrushingTeeth",
    "CliffDiving",
    "CricketBowling",
    "CricketShot",
    "CuttingInKitchen",
    "FieldHockeyPenalty",
    "FloorGymnastics",
    "FrisbeeCatch",
    "FrontCrawl",
    "Haircut",
    "Hammering",
    "HammerThrow",
    "HandstandPushups",
    "HandstandWalking",
    "HeadMassage",
    "IceDancing",
    "Knitting",
    "LongJump",
    "MoppingFloor",
    "ParallelBars",
    "PlayingCello",
    "PlayingDaf",
    "PlayingDhol",
    "PlayingFlute",
    "PlayingSitar",
    "Rafting",
    "ShavingBeard",
    "Shotput",
    "SkyDiving",
    "SoccerPenalty",
    "StillRings",
    "SumoWrestling",
    "Surfing",
    "TableTennisShot",
    "Typing",
    "UnevenBars",
    "WallPushups",
    "WritingOnBoard",
)
HOW_TO_GET = (
    "unpack UCF101.rar (www.crcv.ucf.edu/data/UCF101.php) so that UCF-101/<class>/v_*.avi is there, "
    "or name its folder in data_roots"
)


@dataset(
    name="ucf101",
    title="UCF101 (51 classes with sound)",
    task="multimodal",
    modalities=("audio", "visual"),
    targets=("action",),
    licence="research; videos belong to their uploaders",
    paper="Soomro et al., 2012; MLB, BMVC 2024",
)
class Ucf101(ClipDataset):
    """The classes with sound of an official fold; clips without sound or with under four frames are dropped.

    ``val`` takes whole groups (clips cut from one video) of the training list, so that no video is on both
    sides. MLB's code feeds BGR pixels on the scale of 0 to 255 to a normalisation meant for RGB on [0, 1];
    here they are RGB on [0, 1].
    """

    folder = "ucf101"
    group = "group"
    how_to_get = HOW_TO_GET
    endings = (".avi",)

    fold: int = setting(1, minimum=1, maximum=3, doc="official fold")
    front_end: str = setting(
        "stft16", choices=("ogm", "fbank", "pmr", "pmr_raw", "stft16", "wave"), doc="audio front-end"
    )
    audio_seconds: float | None = setting(None, above=0.0, doc="length of the sound; None: the front-end's own")
    audio_normalisation: str = setting("none", choices=("none", "measured"), doc="mean and std of the audio")
    frames: int = setting(4, minimum=1, maximum=10, doc="stored frames per clip")
    fps: float = setting(1.0, above=0.0, maximum=30.0, doc="frames per second that they are taken at")
    min_frames: int = setting(4, minimum=1, doc="clips with fewer frames at fps are dropped")
    frame_size: list = setting([240, 320], doc="height and width of stored frames; the clips are 240 by 320")
    val_fraction: float = setting(0.1, minimum=0.0, below=1.0, doc="share of each class's groups taken from train")
    split_seed: int = setting(0, minimum=0, doc="seed of the validation split; not the seed of a run")
    max_dropped: float = setting(0.2, minimum=0.0, maximum=1.0, doc="share of a split that may be unusable")

    def sources(self) -> list[Source]:
        found = []
        for name in (f"trainlist0{self.fold}.txt", f"testlist0{self.fold}.txt"):
            size, sha256 = PUBLISHED[name]
            found.append(
                Source(
                    path=name,
                    size=size,
                    sha256=sha256,
                    licence="research",
                    manual=f"take {name} from UCF101TrainTestSplits-RecognitionTask.zip ({SITE})",
                    instead=(f"ucfTrainTestlist/{name}",),
                )
            )
        return [*found, Source(path="UCF-101", manual=HOW_TO_GET, licence=self.info.licence, holds=CLIPS)]

    def without_effect(self) -> dict[str, str]:
        return {"split_seed": "without val_fraction"} if self.val_fraction == 0 else {}

    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def reader(self) -> ClipReader:
        return self.clip_reader(sampling="first", channel="first", min_frames=self.min_frames)

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        present = raw.by_stem(".avi", *CLIPS)
        train = self._items(raw, f"trainlist0{self.fold}.txt", present)
        test = self._items(raw, f"testlist0{self.fold}.txt", present)
        groups = {item.group: item.targets["action"] for item in train}
        names = sorted(groups)
        labels = np.array([groups[name] for name in names])
        rows = stratified_split(labels, {"val": self.val_fraction}, self.split_seed)
        chosen = {split: {names[row] for row in members} for split, members in rows.items()}
        parts = {split: [item for item in train if item.group in members] for split, members in chosen.items()}
        return {**parts, "test": test}

    def _items(self, raw: RawFiles, name: str, present: Mapping[str, Path]) -> list[Item]:
        path = raw.first(name, f"ucfTrainTestlist/{name}")
        # Lists, folders and files spell HandStandPushups differently.
        classes = {label.lower(): number for number, label in enumerate(CLASSES)}
        items = []
        for number, line in lists.read_lines(path, "split list"):
            clip = line.split()[0]
            label, _, file = clip.partition("/")
            # v_<class>_g08_c01.avi
            stem = file.removesuffix(".avi")
            parts = stem.split("_")
            if len(parts) != 4 or stem == file:
                raise UserError(f"{path}: line {number}: '{clip}' is not Class/v_Class_g00_c00.avi")
            if label.lower() in classes:
                target = classes[label.lower()]
                media = present.get(stem.lower(), raw.home / f"UCF-101/{clip}")
                items.append(Item(f"{label}/{stem}", {"action": target}, (media,), f"{CLASSES[target]}_{parts[2]}"))
        if not items:
            raise UserError(f"{path}: the split list names no clip of the {len(CLASSES)} classes with sound")
        return items
