"""Colored-and-gray MNIST (MMPareto Table 3): the gray digit and a coloured copy whose colour misleads at test time."""

from __future__ import annotations

import tokenize
from collections.abc import Iterator

import numpy as np

from counterpoise import files
from counterpoise.data import colour, mnist
from counterpoise.data.interface import Dataset
from counterpoise.data.normalise import measure
from counterpoise.data.pickles import load_object_array
from counterpoise.data.sources import RawFiles, Source, check_delivered
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import ArrayStore
from counterpoise.data.streams import stream
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

DIGITS = [str(digit) for digit in range(10)]
ROWS = 10_000
KIM_ADDRESS = (
    "https://drive.usercontent.google.com/download?id=1NSv4RCSHjcHois3dXjYw_PaLIoVlLgXu&export=download&confirm=t"
)
KIM_ARCHIVE = "mnist_10color_jitter.tar.gz"


@dataset(
    name="cg_mnist",
    title="Colored-and-gray MNIST",
    task="multimodal",
    modalities=("gray", "colour"),
    targets=("digit",),
    licence="CC BY-SA 3.0",
    paper="Kim et al., Learning Not to Learn, CVPR 2019; MMPareto, ICML 2024, Section 4.1 and appendix",
)
class CGMnist(Dataset):
    """MNIST as two modalities: the original gray image and a copy in one colour.

    Colour is tied to the digit in ``train`` and ``val`` and drawn at random in ``test``. Made from the MNIST
    files by the recipe of Kim et al., or read from the authors' own files; either way gray and colour
    are paired by index, and the pairing is checked.
    """

    folder = "mnist"

    source: str = setting("recipe", choices=("recipe", "authors"), doc="make the colours, or read the authors' file")
    authors_variance: str = setting(
        "0.030",
        choices=("0.020", "0.025", "0.030", "0.035", "0.040", "0.045", "0.050"),
        doc="which of the authors' files (only with source: authors)",
    )
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
    val_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class taken from train")
    unused_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class of train that is left out")
    normalisation: str = setting(
        "released", choices=("released", "measured"), doc="mean and std: those of PMR's code, or of the train split"
    )
    generation_seed: int = setting(0, minimum=0, doc="seed of split and colours; not the seed of a run")

    def sources(self) -> list[Source]:
        if self.source == "recipe":
            return mnist.sources()
        return [
            *mnist.sources(),
            Source(path=KIM_ARCHIVE, urls=(KIM_ADDRESS,), unpack="mnist_10color_jitter", holds=(".npy",)),
        ]

    def without_effect(self) -> dict[str, str]:
        if self.source == "recipe":
            return {"authors_variance": "with source 'recipe'"}
        recipe = ("variance", "palette", "mask_threshold")
        return dict.fromkeys(recipe, "with source 'authors', whose colours are made already")

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        released = self.normalisation == "released"
        store.modality(
            "gray",
            shape=(1, 28, 28),
            dtype="uint8",
            mean=[0.1307] if released else None,
            std=[0.3081] if released else None,
        )
        store.modality(
            "colour",
            shape=(3, 28, 28),
            dtype="uint8",
            mean=[0.4914, 0.4822, 0.4465] if released else None,
            std=[0.2023, 0.1994, 0.2010] if released else None,
        )
        store.target("digit", names=DIGITS)
        for half in ("train", "test"):
            gray, labels = mnist.load(raw, half)
            if gray.shape[1:] != (28, 28):
                path = raw / f"{mnist.PREFIXES[half]}-images-idx3-ubyte.gz"
                raise UserError(f"{path}: its images are of {gray.shape[1]} x {gray.shape[2]} pixels, not of 28 x 28")
            coloured = self._authors_images(raw, half, labels, store) if self.source == "authors" else None
            for split, rows in self._splits(half, labels).items():
                for ids, part, painted in self._parts(half, split, rows, gray, labels, coloured):
                    colour.check_pairs(gray[part], painted, ids)
                    store.append(split, ids, gray=gray[part][:, None], colour=painted, digit=labels[part])
        if not released:
            measure(store, "gray")
            measure(store, "colour")

    def _splits(self, half: str, labels: np.ndarray) -> dict[str, np.ndarray]:
        if half == "test":
            return {"test": np.arange(len(labels))}
        fractions = {"val": self.val_fraction, "unused": self.unused_fraction}
        splits = stratified_split(labels, fractions, self.generation_seed)
        splits.pop("unused", None)
        return splits

    def _parts(
        self, half: str, split: str, rows: np.ndarray, gray: np.ndarray, labels: np.ndarray, coloured: np.ndarray | None
    ) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        """Yield ids, source indices and colour images uint8 (N, 3, 28, 28) of a split, some thousand at a time."""
        palette = colour.check_palette(self.palette, "cg_mnist")
        random = stream(self.generation_seed, "colour", split)
        colours = colour.draw_colours(labels[rows], palette, self.variance, half == "train", random)
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            ids = [f"{half}/{row:05d}" for row in part]
            if coloured is None:
                painted = colour.paint(gray[part], colours[start : start + ROWS], self.mask_threshold)
            else:
                painted = np.ascontiguousarray(coloured[part].transpose(0, 3, 1, 2))
            yield ids, part, painted

    def _authors_images(self, raw: RawFiles, half: str, labels: np.ndarray, store: ArrayStore) -> np.ndarray:
        """Return the authors' images (N, 28, 28, 3) of a half; their labels must be MNIST's, in order."""
        name = f"mnist_10color_jitter_var_{self.authors_variance}.npy"
        found = [path for path in raw.below(".npy") if path.name.lower() == name]
        if not found:
            raise UserError(
                f"{raw / 'mnist_10color_jitter' / name}: is not there; run: counterpoise data fetch cg_mnist"
            )
        check_delivered(found[0], "a whole copy of it is needed")
        try:
            data = load_object_array(found[0])
        except tokenize.TokenError as error:
            raise UserError(f"{found[0]}: its header is damaged; a whole copy of it is needed") from error
        try:
            images, own = np.asarray(data[f"{half}_image"]), np.asarray(data[f"{half}_label"]).reshape(-1)
        except (KeyError, TypeError, IndexError) as error:
            raise UserError(f"{found[0]}: has no {half}_image and {half}_label") from error
        except ValueError as error:
            raise UserError(f"{found[0]}: {half}_image and {half}_label are no arrays of one shape: {error}") from error
        if images.shape != (len(labels), 28, 28, 3) or images.dtype != np.uint8:
            raise UserError(f"{found[0]}: {half}_image is {images.dtype} {images.shape}")
        if not np.array_equal(own, labels):
            raise UserError(f"{found[0]}: {half}_label is not in the order of MNIST's labels")
        if half == "train":
            store.source(
                raw.name(found[0]),
                sha256=files.sha256_file(found[0]),
                size=found[0].stat().st_size,
                licence="not stated",
            )
        return images
