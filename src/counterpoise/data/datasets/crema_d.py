"""CREMA-D: 7,442 clips of 91 actors speaking 12 sentences with six emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from counterpoise.data import lists
from counterpoise.data.audiovisual import ClipDataset, ClipReader
from counterpoise.data.clips import Item
from counterpoise.data.sources import CLIPS, SOUND, RawFiles, Source
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

OGM = tuple(
    f"https://raw.githubusercontent.com/GeWu-Lab/OGM-GE_CVPR2022/{commit}/data/CREMAD/"
    for commit in ("65a8324464207f5efd41533cb362648c0cdee8a8", "main")
)
MLB = tuple(
    f"https://raw.githubusercontent.com/kkontras/MLB/{commit}/datasets/CREMAD/data_splits_VALV.json"
    for commit in ("357b5ce1bcb7eac41f9483095f861c1431173d6f", "main")
)
# The maintainer's mirror first: the repository on GitHub is over its budget for large files since March 2025 and then
# sends a page or a pointer in place of a file, which is noticed.
MEDIA = (
    "https://gitlab.com/cs-cooper-lab/crema-d-mirror/-/raw/main/",
    "https://gitlab.com/cs-cooper-lab/crema-d-mirror/-/raw/master/",
    "https://media.githubusercontent.com/media/CheyneyComputerScience/CREMA-D/master/",
)
LICENCE = "ODbL 1.0 (database), DbCL 1.0 (contents)"
MEDIA_LIST = "official_media_sha256.csv"
SPLIT_FILES = {
    "ogm_ge/train.csv": (140658, "68d0d3fd253830328fc92c68f3cf2e215db8c5b86757ad9c5112d2c76ba68bde"),
    "ogm_ge/test.csv": (15624, "14866c99301fd56fb4a16f8a7048a8a6372a47069aee9f216443bc718be45f1f"),
    "mlb/data_splits_VALV.json": (669485, "0f80cead69f479890c494daad58ff37d3a589fa31c30c93a03808f2f9f27f5bc"),
}
# MMPareto sorts the names; OGM-GE and MLB have the order of stat.csv. The order moves no accuracy.
EMOTIONS = {"ANG": 0, "DIS": 1, "FEA": 2, "HAP": 3, "NEU": 4, "SAD": 5}
NAMES = ["anger", "disgust", "fear", "happy", "neutral", "sad"]
HOW_TO_GET = (
    "run: counterpoise data fetch crema_d (7.5 GB), or clone gitlab.com/cs-cooper-lab/crema-d-mirror "
    "with git-lfs and name its folder in data_roots"
)


@dataset(
    name="crema_d",
    title="CREMA-D",
    task="multimodal",
    modalities=("audio", "visual"),
    targets=("emotion",),
    licence="ODbL 1.0",
    paper="Cao et al., IEEE Transactions on Affective Computing 2014",
)
class CremaD(ClipDataset):
    """CREMA-D with the split of OGM-GE (MMPareto) or the actor-disjoint folds of VAVL (MLB).

    The label is the emotion that the actor was asked for, as the file name says. In OGM-GE's split
    (6,698/744) every actor is in both halves, which the manifest flags; it has no validation split. A fold of
    MLB's has 63, 14 and 14 actors and 5,820 clips.
    """

    folder = "crema_d"
    group = "actor"
    how_to_get = HOW_TO_GET
    endings = (".flv", ".wav")
    listed_bytes = 7_500_000_000

    split: str = setting("ogm", choices=("ogm", "mlb"), doc="OGM-GE's lists, or a fold of MLB's")
    fold: int = setting(1, minimum=1, maximum=5, doc="mlb: which of the five folds; MLB uses 1 to 3")
    front_end: str = setting(
        "fbank", choices=("ogm", "fbank", "pmr", "pmr_raw", "stft16", "wave"), doc="audio front-end"
    )
    audio_seconds: float | None = setting(None, above=0.0, doc="length of the sound; None: the front-end's own")
    audio_normalisation: str = setting("none", choices=("none", "measured"), doc="mean and std of the audio")
    frames: int = setting(3, minimum=1, maximum=150, doc="stored frames per clip")
    fps: float = setting(1.0, above=0.0, maximum=30.0, doc="frames per second that they are taken at")
    sampling: str = setting("first", choices=("first", "even"), doc="which of them are kept")
    frame_size: list = setting([256, 342], doc="height and width of stored frames; the clips are 360 by 480")
    max_dropped: float = setting(0.001, minimum=0.0, maximum=1.0, doc="share of a split that may be unusable")

    def sources(self) -> list[Source]:
        names = ["ogm_ge/train.csv", "ogm_ge/test.csv"] if self.split == "ogm" else ["mlb/data_splits_VALV.json"]
        found = []
        for name in names:
            size, sha256 = SPLIT_FILES[name]
            urls = MLB if self.split == "mlb" else tuple(place + name.removeprefix("ogm_ge/") for place in OGM)
            licence = "MIT" if self.split == "ogm" else "not stated"
            found.append(Source(path=name, urls=urls, size=size, sha256=sha256, licence=licence))
        return [*found, Source(path=MEDIA_LIST, licence=LICENCE, optional=True)]

    def without_effect(self) -> dict[str, str]:
        return {"fold": "with split 'ogm', which has no folds"} if self.split == "ogm" else {}

    def listed_sources(self, raw: RawFiles) -> list[Source]:
        known = {}
        if (raw / MEDIA_LIST).is_file():
            path = raw / MEDIA_LIST
            for number, (name, sha256, size) in enumerate(lists.read_rows(path, 3, "list of official files")):
                if number > 0:
                    known[name] = (lists.whole_number(size, path, f"file {name}: size"), sha256)
        present = self._present(raw)
        found = []
        for name in sorted({item.id for items in self.listed_items(raw).values() for item in items}):
            for path in (f"AudioWAV/{name}.wav", f"VideoFlash/{name}.flv"):
                size, sha256 = known.get(path, (None, None))
                urls = tuple(address + path for address in MEDIA)
                instead = tuple(
                    raw.name(there) for there in filter(None, [present.get(Path(path).suffix + name.lower())])
                )
                found.append(Source(path=path, urls=urls, size=size, sha256=sha256, licence=LICENCE, instead=instead))
        return found

    def class_names(self) -> list[str]:
        return NAMES

    def reader(self) -> ClipReader:
        return self.clip_reader(sampling=self.sampling)

    def groups_overlap(self) -> bool:
        return self.split == "ogm"

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        present = self._present(raw)
        if self.split == "ogm":
            return {half: self._from_csv(raw, half, present) for half in ("train", "test")}
        path = raw / "mlb/data_splits_VALV.json"
        folds = lists.read_json(path, "list of folds")
        try:
            fold = folds[str(self.fold)]
            names = {split: [str(name) for name in fold[split]] for split in ("train", "val", "test")}
        except (LookupError, TypeError) as error:
            raise UserError(f"{path}: fold {self.fold} has no train, val and test") from error
        return {split: self._from_names(raw, path, members, present) for split, members in names.items()}

    @staticmethod
    def _present(raw: RawFiles) -> dict[str, Path]:
        """Return the media by published ending and name, wherever in the folder they are, whatever their ending is."""
        kinds = {".flv": CLIPS, ".wav": SOUND}
        found = {kind: raw.by_stem(kind, *others) for kind, others in kinds.items()}
        return {kind + stem: path for kind, files in found.items() for stem, path in files.items()}

    def _from_csv(self, raw: RawFiles, half: str, present: Mapping[str, Path]) -> list[Item]:
        path = raw / f"ogm_ge/{half}.csv"
        items = []
        for number, (name, emotion) in enumerate(lists.read_rows(path, 2, "split list"), start=1):
            label = lists.label(emotion, EMOTIONS, path, f"line {number}")
            items.append(self._item(raw, path, name, label, present))
        return items

    def _from_names(self, raw: RawFiles, path: object, names: Sequence[str], present: Mapping[str, Path]) -> list[Item]:
        # An entry may carry the raters' consensus behind a hyphen; MLB's label is the one in the file name.
        stems = [name.split("-")[0].removesuffix(".wav") for name in names]
        return [self._item(raw, path, stem, None, present) for stem in stems]

    def _item(self, raw: RawFiles, path: object, name: str, label: int | None, present: Mapping[str, Path]) -> Item:
        parts = name.split("_")
        if len(parts) != 4:
            raise UserError(f"{path}: '{name}' is not actor_sentence_EMOTION_level")
        own = lists.label(parts[2], EMOTIONS, path, f"clip {name}")
        if label is not None and label != own:
            raise UserError(f"{path}: clip {name} is labelled {NAMES[label]}, its name says {NAMES[own]}")
        media = (
            present.get(f".flv{name.lower()}", raw.home / f"VideoFlash/{name}.flv"),
            present.get(f".wav{name.lower()}", raw.home / f"AudioWAV/{name}.wav"),
        )
        return Item(name, {"emotion": own}, media, parts[0])
