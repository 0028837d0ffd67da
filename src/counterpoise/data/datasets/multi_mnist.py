"""MultiMNIST (MMPareto Table 5): two different digits in one image, salt-and-pepper noise on the right part."""

from __future__ import annotations

import numpy as np

from counterpoise.data import mnist, pairs
from counterpoise.data.interface import Dataset
from counterpoise.data.normalise import measure
from counterpoise.data.sources import RawFiles, Source
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import ArrayStore
from counterpoise.data.streams import stream
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

DIGITS = [str(digit) for digit in range(10)]
ROWS = 10_000
SIDE = 28


@dataset(
    name="multi_mnist",
    title="MultiMNIST, noise on the right part",
    task="multitask",
    modalities=("image",),
    targets=("left", "right"),
    licence="CC BY-SA 3.0",
    paper="Sener and Koltun, NeurIPS 2018; noise as in MMPareto, ICML 2024, appendix C",
)
class MultiMnist(Dataset):
    """MNIST digits laid over one another on a canvas, a little apart, as Sener and Koltun do; then noise.

    Both digits of an image come from the same split. What the papers leave open (how much noise, where,
    before or after resizing) is a setting.
    """

    folder = "mnist"

    canvas: int = setting(36, minimum=28, maximum=84, doc="side of the square canvas, in pixels")
    offset: list = setting([6, 6], doc="rows and columns by which the right digit lies below and right of the left one")
    size: int = setting(28, minimum=8, maximum=84, doc="side to which the canvas is resized (nearest pixel)")
    noise: float = setting(0.5, minimum=0.0, maximum=1.0, doc="share of the right part's pixels that are replaced")
    noise_region: str = setting(
        "right_half",
        choices=("right_half", "right_digit"),
        doc="which part: half of the image, or the right digit's box",
    )
    partners: int = setting(1, minimum=1, doc="images made of each left digit in train; val and test have one")
    val_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class taken from train")
    normalisation: str = setting(
        "released", choices=("released", "measured"), doc="mean and std: Sener and Koltun's, or of the train split"
    )
    generation_seed: int = setting(0, minimum=0, doc="seed of split, pairs and noise; not the seed of a run")

    def sources(self) -> list[Source]:
        return mnist.sources()

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        row, column = self._offset()
        released = self.normalisation == "released"
        store.modality(
            "image",
            shape=(1, self.size, self.size),
            dtype="uint8",
            mean=[0.1307] if released else None,
            std=[0.3081] if released else None,
        )
        store.target("left", names=DIGITS)
        store.target("right", names=DIGITS)
        for half in ("train", "test"):
            images, labels = mnist.load(raw, half)
            fractions = {"val": self.val_fraction}
            splits = stratified_split(labels, fractions, self.generation_seed) if half == "train" else None
            for split, rows in (splits or {"test": np.arange(len(labels))}).items():
                self._add_split(store, half, split, rows, images, labels, (row, column))
        if not released:
            measure(store, "image")

    def _offset(self) -> tuple[int, int]:
        room = self.canvas - SIDE
        offset = self.offset
        if len(offset) != 2 or not all(isinstance(value, int) and 0 <= value <= room for value in offset):
            raise UserError(f"multi_mnist: offset {offset}: must be two whole numbers of 0 to {room} (canvas - {SIDE})")
        return offset[0], offset[1]

    def _add_split(
        self,
        store: ArrayStore,
        half: str,
        split: str,
        rows: np.ndarray,
        images: np.ndarray,
        labels: np.ndarray,
        offset: tuple[int, int],
    ) -> None:
        count = self.partners if split == "train" else 1
        partners = pairs.different_partners(labels[rows], count, stream(self.generation_seed, "pairs", split))
        left, right = np.repeat(rows, count), rows[partners].reshape(-1)
        random = stream(self.generation_seed, "noise", split)
        for start in range(0, len(left), ROWS):
            a, b = left[start : start + ROWS], right[start : start + ROWS]
            pictures = pairs.overlaid(images[a], images[b], self.canvas, offset)
            pictures = pairs.nearest(pictures, self.size)
            self._add_noise(pictures, offset, random)
            ids = [f"{half}/{i:05d}-{j:05d}-{(start + n) % count}" for n, (i, j) in enumerate(zip(a, b, strict=True))]
            store.append(split, ids, image=pictures[:, None], left=labels[a], right=labels[b])

    def _add_noise(self, pictures: np.ndarray, offset: tuple[int, int], random: np.random.RandomState) -> None:
        """Replace pixels of the right part of ``pictures`` (N, size, size) in place."""
        if self.noise_region == "right_half":
            part = pictures[:, :, self.size // 2 :]
        else:
            scale = self.size / self.canvas
            top, left = (round(value * scale) for value in offset)
            bottom, right = (round((value + SIDE) * scale) for value in offset)
            part = pictures[:, top:bottom, left:right]
        part[...] = pairs.salt_and_pepper(part, self.noise, random)
