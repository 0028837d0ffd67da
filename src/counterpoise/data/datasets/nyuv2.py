"""NYUv2 as MTAN's arrays: indoor images with 13 semantic classes and depth (MMPareto Table 4)."""

from __future__ import annotations

import dataclasses
import tokenize
from pathlib import Path

import numpy as np

from counterpoise.data.clips import Item, prepare_items, report_leaks
from counterpoise.data.interface import Dataset
from counterpoise.data.media import MediaError
from counterpoise.data.sources import RawFiles, Source, impostor
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting

ADDRESS = "https://www.dropbox.com/sh/86nssgwm6hm3vkb/AACrnUQ4GxpdrBbLjb6n-mWNa?dl=1"
HEIGHT, WIDTH, CLASSES = 288, 384, 13
COUNTS = {"train": 795, "val": 654}
# No room of NYUv2 is deeper: its sensor reaches 10 m.
MAX_METRES = 100.0
NAMES = [
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "television",
    "wall",
    "window",
]
HOW_TO_GET = (
    "run: counterpoise data fetch nyuv2, which unpacks the archive where no array is there yet, "
    "or name MTAN's whole folder (train/ and val/) in data_roots"
)


@dataset(
    name="nyuv2",
    title="NYUv2 (MTAN's arrays)",
    task="multitask",
    modalities=("image",),
    targets=("segmentation", "depth"),
    licence="research",
    paper="Silberman et al., ECCV 2012; Liu et al. (MTAN), CVPR 2019",
)
class NyuV2(Dataset):
    """795 training and 654 test images of 288 by 384 with a semantic label and a depth for every pixel.

    The masks are kept: label -1 and depth 0 mean unknown, and count in no loss and no metric. MTAN's ``val``
    half is the test split here; there is no other.
    """

    folder = "nyuv2"
    how_to_get = HOW_TO_GET

    train_images: int = setting(795, minimum=1, doc="images that the train half must have")
    test_images: int = setting(654, minimum=1, doc="images that MTAN's val half, the test split, must have")
    max_dropped: float = setting(0.0, minimum=0.0, maximum=1.0, doc="share of a split that may be unusable")

    def sources(self) -> list[Source]:
        return [Source(path="nyuv2.zip", urls=(ADDRESS,), licence="research", unpack="nyuv2", holds=(".npy",))]

    def departures(self) -> list[str]:
        own = (self.train_images, self.test_images)
        return [] if own == tuple(COUNTS.values()) else [f"{own[0]} and {own[1]} images in place of 795 and 654"]

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        # Stored as published, floats on [0, 1], and not normalised further: MTAN trains on them so.
        store.modality("image", shape=(3, HEIGHT, WIDTH), dtype="float32")
        store.dense_target(
            "segmentation",
            kind="segmentation",
            shape=(HEIGHT, WIDTH),
            dtype="int8",
            classes=CLASSES,
            names=NAMES,
            ignore=-1,
        )
        store.dense_target("depth", kind="depth", shape=(1, HEIGHT, WIDTH), dtype="float32", invalid=0.0)
        splits = self.listed_items(raw)
        prepare_items(store, splits, SceneReader(), work, max_dropped=self.max_dropped, how_to_get=self.how_to_get)
        report_leaks(store, splits, group="scene")

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        return {
            "train": self._items(raw, "train", self.train_images),
            "test": self._items(raw, "val", self.test_images),
        }

    def _items(self, raw: RawFiles, half: str, count: int) -> list[Item]:
        # MTAN numbers the scenes of a half from 0.
        arrays = (path for path in raw.below(".npy") if [part.lower() for part in path.parts[-3:-1]] == [half, "image"])
        folder = next((path.parent.parent for path in arrays), raw.home / half)
        there = {path.name.lower(): path for path in folder.iterdir()} if folder.is_dir() else {}
        kinds = [there.get(kind, folder / kind) for kind in ("image", "label", "depth")]
        return [Item(f"{half}/{n}", {}, tuple(kind / f"{n}.npy" for kind in kinds)) for n in range(count)]


@dataclasses.dataclass(frozen=True)
class SceneReader:
    """Read image, labels and depth of one scene."""

    def __call__(self, item: Item) -> dict[str, np.ndarray]:
        image, label, depth = (self._load(path) for path in item.files)
        image = self._channels_first(image, 3, "image")
        depth = self._channels_first(depth, 1, "depth")
        if label.shape != (HEIGHT, WIDTH):
            raise MediaError(f"its labels are {label.shape}, expected {(HEIGHT, WIDTH)}")
        if not np.isin(np.unique(label), np.arange(-1, CLASSES)).all():
            raise MediaError(f"its labels go from {label.min():g} to {label.max():g}, allowed are -1 to {CLASSES - 1}")
        if image.min() < -0.01 or image.max() > 1.01:
            raise MediaError(f"its image goes from {image.min():g} to {image.max():g}, expected 0 to 1 (MTAN's arrays)")
        if depth.min() < 0 or depth.max() > MAX_METRES:
            raise MediaError(f"its depth goes from {depth.min():g} to {depth.max():g}, expected metres, 0 for unknown")
        return {
            "image": image.astype(np.float32),
            "segmentation": label.astype(np.int8),
            "depth": depth.astype(np.float32),
        }

    @staticmethod
    def _load(path: Path) -> np.ndarray:
        name = f"{path.parent.name}/{path.name}"
        if not path.is_file():
            raise MediaError(f"{name} is missing")
        other = impostor(path)
        if other is not None:
            raise MediaError(f"{name} is {other}")
        try:
            # Mapped first: a header that claims a terabyte takes no memory. Not np.load, which takes a file for a zip
            # or a pickle where its first bytes say so.
            array = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, OSError, SyntaxError, tokenize.TokenError) as error:
            raise MediaError(f"{name} is not an array ({error})") from error
        if array.dtype.kind not in "biuf":
            raise MediaError(f"{name} is an array of {array.dtype}, not of numbers")
        if array.size > 4 * HEIGHT * WIDTH:
            raise MediaError(f"{name} is {array.shape}")
        if not np.isfinite(array).all():
            raise MediaError(f"{name} holds NaN or infinite values")
        return np.array(array)

    @staticmethod
    def _channels_first(array: np.ndarray, channels: int, what: str) -> np.ndarray:
        if array.shape == (HEIGHT, WIDTH, channels):
            return np.ascontiguousarray(np.moveaxis(array, -1, 0))
        if array.shape == (HEIGHT, WIDTH) and channels == 1:
            return array[None]
        raise MediaError(f"its {what} is {array.shape}, expected {(HEIGHT, WIDTH, channels)}")
