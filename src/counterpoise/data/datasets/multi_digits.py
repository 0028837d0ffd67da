"""Two digits in one picture: a small real stand-in for MultiMNIST (MMPareto Table 5)."""

from __future__ import annotations

import numpy as np

from counterpoise.data import digits, pairs
from counterpoise.data.interface import Dataset
from counterpoise.data.normalise import measure
from counterpoise.data.sources import RawFiles
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import ArrayStore
from counterpoise.data.streams import stream
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

DIGITS = [str(digit) for digit in range(10)]


@dataset(
    name="multi_digits",
    title="Two digits, the right one noisy (8x8)",
    task="multitask",
    modalities=("image",),
    targets=("left", "right"),
    licence="CC BY 4.0",
    paper="after MultiMNIST (Sener & Koltun, NeurIPS 2018), noise as in MMPareto (ICML 2024) appendix C",
)
class MultiDigits(Dataset):
    """scikit-learn's digits, two different ones side by side; the right part carries salt-and-pepper noise.

    Both digits of a picture come from the same split, so no test image is ever seen in training.
    """

    noise: float = setting(0.5, minimum=0.0, maximum=1.0, doc="share of the right part's pixels that are replaced")
    overlap: int = setting(2, minimum=0, maximum=7, doc="columns that the two 8-wide digits share, before upscaling")
    upscale: int = setting(2, minimum=1, maximum=8, doc="each pixel is repeated this many times both ways")
    partners: int = setting(4, minimum=1, doc="pictures made of each left digit in train; val and test have one")
    test_fraction: float = setting(0.3, above=0.0, below=1.0, doc="share of each class in the test split")
    val_fraction: float = setting(0.1, minimum=0.0, below=1.0, doc="share of each class in the validation split")
    generation_seed: int = setting(0, minimum=0, doc="seed of split, pairs and noise; not the seed of a run")

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        images, labels = digits.load_digits()
        bright = digits.to_uint8(images, self.upscale)
        size, overlap = bright.shape[-1], self.overlap * self.upscale
        store.modality("image", shape=(1, size, 2 * size - overlap), dtype="uint8")
        store.target("left", names=DIGITS)
        store.target("right", names=DIGITS)
        digits.record_source(store)
        fractions = {"test": self.test_fraction, "val": self.val_fraction}
        for split, rows in stratified_split(labels, fractions, self.generation_seed).items():
            count = self.partners if split == "train" else 1
            random = stream(self.generation_seed, "pairs", split)
            left = np.repeat(rows, count)
            right = rows[pairs.different_partners(labels[rows], count, random)].reshape(-1)
            if (labels[left] == labels[right]).any():
                raise UserError(f"multi_digits: {split}: a picture holds the same digit twice")
            picture = pairs.side_by_side(bright[left], bright[right], overlap)
            self._add_noise(picture, stream(self.generation_seed, "noise", split))
            ids = [f"{a:04d}-{b:04d}-{place % count}" for place, (a, b) in enumerate(zip(left, right, strict=True))]
            store.append(split, ids, image=picture[:, None], left=labels[left], right=labels[right])
        measure(store, "image")

    def _add_noise(self, picture: np.ndarray, random: np.random.RandomState) -> None:
        """Replace pixels of the right half of ``picture`` (N, H, W) in place."""
        half = picture.shape[2] // 2
        picture[:, :, half:] = pairs.salt_and_pepper(picture[:, :, half:], self.noise, random)
