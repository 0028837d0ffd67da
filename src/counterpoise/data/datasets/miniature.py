"""Made-up data in the shape of the papers' datasets, a few samples of it: what ``scale: tiny`` runs on.

It shows that everything works from data to report. It says nothing about any method.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from counterpoise.data.interface import Dataset
from counterpoise.data.sources import RawFiles
from counterpoise.data.store import ArrayStore
from counterpoise.data.streams import stream
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting

Shape = Sequence[int]


class _Labelled(Dataset):
    """Samples of several modalities with one label: each class is a fixed pattern, under noise."""

    classes: int
    train: int
    val: int
    test: int
    noise: float

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of each modality."""
        raise NotImplementedError

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        shapes = self.shapes()
        for name, shape in shapes.items():
            store.modality(name, shape=shape, dtype="float32")
        store.target("label", names=[f"class {number}" for number in range(self.classes)])
        patterns = {
            name: stream(0, "pattern", name).normal(size=(self.classes, *shape)) for name, shape in shapes.items()
        }
        for split, count in (("train", self.train), ("val", self.val), ("test", self.test)):
            if count > 0:
                labels = np.arange(count, dtype=np.int64) % self.classes
                arrays = {
                    # Modalities differ in difficulty, so that there is something to balance.
                    name: _noisy(pattern[labels], self.noise * (1 + place), split, name)
                    for place, (name, pattern) in enumerate(patterns.items())
                }
                store.append(split, [f"{split}-{row:05d}" for row in range(count)], label=labels, **arrays)


def _noisy(values: np.ndarray, noise: float, split: str, name: str) -> np.ndarray:
    random = stream(0, "noise", split, name)
    return (values + noise * random.normal(size=values.shape)).astype(np.float32)


@dataset(
    name="miniature_clips", title="Made-up clips", task="multimodal", modalities=("audio", "visual"), targets=("label",)
)
class MiniatureClips(_Labelled):
    """Sound (a spectrogram, or a wave with one number as shape) and frames."""

    classes: int = setting(6, minimum=2, doc="classes")
    train: int = setting(48, minimum=1, doc="training samples")
    val: int = setting(12, minimum=0, doc="validation samples; 0: no such split")
    test: int = setting(24, minimum=1, doc="test samples")
    noise: float = setting(1.0, minimum=0.0, doc="noise of the first modality against the pattern; more for others")
    audio: list[int] = setting([1, 33, 24], doc="shape of the sound: (1, bins, frames), or (samples,)")
    visual: list[int] = setting([2, 3, 32, 32], doc="shape of the frames")

    def shapes(self) -> dict[str, Shape]:
        return {"audio": self.audio, "visual": self.visual}


@dataset(
    name="miniature_views", title="Made-up views", task="multimodal", modalities=("front", "back"), targets=("label",)
)
class MiniatureViews(_Labelled):
    """Two images."""

    classes: int = setting(6, minimum=2, doc="classes")
    train: int = setting(48, minimum=1, doc="training samples")
    val: int = setting(12, minimum=0, doc="validation samples; 0: no such split")
    test: int = setting(24, minimum=1, doc="test samples")
    noise: float = setting(1.0, minimum=0.0, doc="noise of the first modality against the pattern; more for others")
    size: int = setting(32, minimum=8, doc="height and width")

    def shapes(self) -> dict[str, Shape]:
        return {"front": (3, self.size, self.size), "back": (3, self.size, self.size)}


@dataset(
    name="miniature_utterances",
    title="Made-up utterances",
    task="multimodal",
    modalities=("text", "audio", "visual"),
    targets=("label",),
)
class MiniatureUtterances(_Labelled):
    """Three feature vectors."""

    classes: int = setting(2, minimum=2, doc="classes")
    train: int = setting(48, minimum=1, doc="training samples")
    val: int = setting(12, minimum=0, doc="validation samples; 0: no such split")
    test: int = setting(24, minimum=1, doc="test samples")
    noise: float = setting(2.0, minimum=0.0, doc="noise of the first modality against the pattern; more for others")
    widths: list[int] = setting([20, 12, 16], doc="length of the three vectors")

    def shapes(self) -> dict[str, Shape]:
        return {name: (width,) for name, width in zip(("text", "audio", "visual"), self.widths, strict=True)}


@dataset(
    name="miniature_rooms",
    title="Made-up rooms",
    task="multitask",
    modalities=("image",),
    targets=("segmentation", "depth"),
)
class MiniatureRooms(Dataset):
    """Images of stripes, one class each, that lie deeper the further down they are; some pixels unknown."""

    classes: int = setting(4, minimum=2, doc="classes")
    train: int = setting(12, minimum=1, doc="training samples")
    test: int = setting(6, minimum=1, doc="test samples")
    size: int = setting(32, minimum=32, doc="height and width, a multiple of 32")

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        size = self.size
        names = [f"class {number}" for number in range(self.classes)]
        store.modality("image", shape=(3, size, size), dtype="float32")
        store.dense_target(
            "segmentation",
            kind="segmentation",
            shape=(size, size),
            dtype="int8",
            classes=self.classes,
            names=names,
            ignore=-1,
        )
        store.dense_target("depth", kind="depth", shape=(1, size, size), dtype="float32", invalid=0.0)
        colours = stream(0, "colours").uniform(size=(self.classes, 3))
        for split, count in (("train", self.train), ("test", self.test)):
            random = stream(0, "rooms", split)
            starts = random.randint(0, size, size=(count, 1, 1))
            rows = (np.arange(size)[None, :, None] + starts) % size
            rows = np.broadcast_to(rows, (count, size, size))
            labels = (rows * self.classes // size).astype(np.int8)
            image = colours[labels].transpose(0, 3, 1, 2) + 0.1 * random.normal(size=(count, 3, size, size))
            unknown = random.uniform(size=labels.shape) < 0.05
            depth = np.where(unknown, 0.0, 1.0 + 4.0 * rows / size)[:, None]
            store.append(
                split,
                [f"{split}-{row:05d}" for row in range(count)],
                image=image.astype(np.float32),
                segmentation=np.where(unknown, -1, labels).astype(np.int8),
                depth=depth.astype(np.float32),
            )
