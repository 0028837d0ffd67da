"""Coloured-and-gray digits: a small real stand-in for Colored-and-gray MNIST (MMPareto Table 3)."""

from __future__ import annotations

import numpy as np

from counterpoise.data import colour, digits
from counterpoise.data.interface import Dataset
from counterpoise.data.normalise import measure
from counterpoise.data.sources import RawFiles
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import GROUP, ArrayStore
from counterpoise.data.streams import stream
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting

DIGITS = [str(digit) for digit in range(10)]


@dataset(
    name="cg_digits",
    title="Coloured-and-gray digits (8x8)",
    task="multimodal",
    modalities=("gray", "colour"),
    targets=("digit",),
    licence="CC BY 4.0",
    paper="recipe of Kim et al., Learning Not to Learn, CVPR 2019, as used by MMPareto (ICML 2024)",
)
class CGDigits(Dataset):
    """scikit-learn's digits as two modalities: the gray image and a copy in one colour.

    Colour is tied to the digit in ``train`` and ``val`` and drawn at random in ``test``. Several colourings of an
    image share its split and its group: they are no independent examples.
    """

    variance: float = setting(0.03, minimum=0.0, doc="variance of each RGB channel around its mean, on [0, 1]")
    palette: list = setting(
        [
            [220, 20, 60],
            [0, 128, 128],
            [253, 233, 16],
            [0, 149, 182],
            [237, 145, 33],
            [145, 30, 188],
            [70, 240, 240],
            [250, 197, 187],
            [210, 245, 60],
            [128, 0, 0],
        ],
        doc="mean RGB (0 to 255) of the digits 0 to 9",
    )
    mask_threshold: float = setting(0.3, minimum=0.0, maximum=1.0, doc="brightness from which a pixel is coloured")
    upscale: int = setting(1, minimum=1, maximum=8, doc="each pixel is repeated this many times both ways")
    colourings: int = setting(1, minimum=1, doc="pairs made of each image, every one in a colour of its own")
    test_fraction: float = setting(0.3, above=0.0, below=1.0, doc="share of each class in the test split")
    val_fraction: float = setting(0.1, minimum=0.0, below=1.0, doc="share of each class in the validation split")
    generation_seed: int = setting(0, minimum=0, doc="seed of split and colours; not the seed of a run")

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        palette = colour.check_palette(self.palette, "cg_digits")
        images, labels = digits.load_digits()
        gray = digits.to_uint8(images, self.upscale)
        size = gray.shape[-1]
        store.modality("gray", shape=(1, size, size), dtype="uint8")
        store.modality("colour", shape=(3, size, size), dtype="uint8")
        store.target("digit", names=DIGITS)
        store.extra(GROUP)
        digits.record_source(store)
        fractions = {"test": self.test_fraction, "val": self.val_fraction}
        for split, drawn in stratified_split(labels, fractions, self.generation_seed).items():
            rows = np.repeat(drawn, self.colourings)
            random = stream(self.generation_seed, "colour", split)
            colours = colour.draw_colours(labels[rows], palette, self.variance, split != "test", random)
            painted = colour.paint(gray[rows], colours, self.mask_threshold)
            ids = [f"{row:04d}-{place % self.colourings}" for place, row in enumerate(rows)]
            colour.check_pairs(gray[rows], painted, ids)
            # gray (n, 1, size, size), colour (n, 3, size, size), digit and group (n,)
            store.append(split, ids, gray=gray[rows][:, None], colour=painted, digit=labels[rows], group=rows)
        measure(store, "gray")
        measure(store, "colour")
