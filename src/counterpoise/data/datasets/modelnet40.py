"""ModelNet40 as two views, front and back, of rendered shapes (MMPareto Table 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from counterpoise.data import lists
from counterpoise.data.audiovisual import IMAGENET_MEAN, IMAGENET_STD
from counterpoise.data.clips import Item, note_converted, prepare_items, report_leaks
from counterpoise.data.interface import Dataset
from counterpoise.data.media import MAX_PIXELS, MediaError
from counterpoise.data.meshes import read_off, render
from counterpoise.data.sources import RawFiles, Source, impostor
from counterpoise.data.splits import stratified_split
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

LISTS = (
    "https://raw.githubusercontent.com/fanyunfeng-bit/DI-MML/83b9b7acc47ac9f1666e72ed984eacd18cfd3d5c/data/ModelNet/"
)
PUBLISHED = {
    "train.txt": (751319, "69587fcf810d20207069301edded878c4f682e1b8f0eb96ee08e21029f0ab9e4"),
    "test.txt": (187406, "31d9eeae282eecbb628c0d0849479111416cf99a5bc685c69e984ed9da54aab8"),
}
RENDERS = "modelnet40_images_new_12x"
# MVCNN's own server (supermoe.cs.umass.edu) has been gone since 2024; this copy is by the authors of TAP.
RENDERS_ADDRESS = "https://cloud.tsinghua.edu.cn/f/dd9ef45fb00e427eae23/?dl=1"
# Reported out of order in 2025; no other copy of this file is known.
MESHES_ADDRESSES = (
    "https://modelnet.cs.princeton.edu/ModelNet40.zip",
    "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet40.zip",
)
# By source, the published ending and those that people convert to.
ENDINGS: dict[str, tuple[str, ...]] = {"renders": (".png", ".jpg", ".jpeg", ".webp"), "meshes": (".off",)}
HOW_TO_GET = (
    "run: counterpoise data fetch modelnet40, which unpacks the archive where none of its files is there yet, "
    "or name the folder that holds all of them in data_roots"
)


@dataset(
    name="modelnet40",
    title="ModelNet40 (front and back view)",
    task="multimodal",
    modalities=("front", "back"),
    targets=("shape",),
    licence="research",
    paper="Wu et al., CVPR 2015; Su et al. (MVCNN), ICCV 2015; Wu et al. (Greedy), ICML 2022",
)
class ModelNet40(Dataset):
    """12,311 shapes in 40 classes, official split 9,843/2,468, seen from two of twelve directions 30 degrees apart.

    ``source: renders`` reads MVCNN's shaded images, as the papers do. Where their server is gone, ``source: meshes``
    renders the official meshes here: the same shapes and directions, but another renderer, so other numbers.
    """

    folder = "modelnet40"
    how_to_get = HOW_TO_GET

    source: str = setting(
        "renders", choices=("renders", "meshes"), doc="published images, or the meshes, rendered here"
    )
    front: int = setting(0, minimum=0, maximum=11, doc="which of the twelve views is the front")
    back: int = setting(6, minimum=0, maximum=11, doc="which is the back")
    size: int = setting(224, minimum=8, maximum=224, doc="side of the stored images")
    val_fraction: float = setting(0.0, minimum=0.0, below=1.0, doc="share of each class taken from train")
    split_seed: int = setting(0, minimum=0, doc="seed of the validation split; not the seed of a run")
    max_dropped: float = setting(0.001, minimum=0.0, maximum=1.0, doc="share of a split that may be unusable")

    def sources(self) -> list[Source]:
        found = [
            Source(path=name, urls=(LISTS + name,), size=size, sha256=sha256, licence="not stated")
            for name, (size, sha256) in PUBLISHED.items()
        ]
        if self.source == "renders":
            archive, urls, folder = "shaded_images.tar.gz", (RENDERS_ADDRESS,), RENDERS
        else:
            archive, urls, folder = "ModelNet40.zip", MESHES_ADDRESSES, "ModelNet40"
        holds = ENDINGS[self.source]
        return [*found, Source(path=archive, urls=urls, unpack=folder, licence="research", holds=holds)]

    def without_effect(self) -> dict[str, str]:
        return {"split_seed": "without val_fraction"} if self.val_fraction == 0 else {}

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        store.target("shape", names=self._classes(raw))
        for name in self.info.modalities:
            store.modality(name, shape=(3, self.size, self.size), dtype="uint8", mean=IMAGENET_MEAN, std=IMAGENET_STD)
        splits = self.listed_items(raw)
        note_converted(store, splits, ENDINGS[self.source][:1] * 2)
        reader = ViewReader(self.source, (self.front, self.back), self.size)
        prepare_items(store, splits, reader, work, max_dropped=self.max_dropped, how_to_get=self.how_to_get)
        report_leaks(store, splits, group="shape")

    def listed_items(self, raw: RawFiles) -> dict[str, list[Item]]:
        train, test = (self._items(raw, half) for half in ("train", "test"))
        labels = np.array([item.targets["shape"] for item in train])
        rows = stratified_split(labels, {"val": self.val_fraction}, self.split_seed)
        return {**{split: [train[row] for row in members] for split, members in rows.items()}, "test": test}

    def _rows(self, raw: RawFiles, half: str) -> list[tuple[str, str, int]]:
        """Return class, name and label of each shape of a half."""
        path = raw / f"{half}.txt"
        rows = []
        for number, (image, label) in enumerate(lists.read_rows(path, 2, "split list", delimiter="\t"), start=1):
            parts = image.split("/")
            if len(parts) < 3 or ".obj.shaded_v" not in parts[-1]:
                raise UserError(f"{path}: line {number}: '{image}' is not class/half/name.obj.shaded_v001.png")
            value = lists.whole_number(label, path, f"line {number}: class", maximum=39)
            rows.append((parts[-3], parts[-1].split(".")[0], value))
        return rows

    def _classes(self, raw: RawFiles) -> list[str]:
        names: dict[int, str] = {}
        for name, _, label in self._rows(raw, "train"):
            if names.setdefault(label, name) != name:
                raise UserError(f"{raw / 'train.txt'}: class {label} is both {names[label]} and {name}")
        if sorted(names) != list(range(len(names))):
            raise UserError(f"{raw / 'train.txt'}: its classes are {sorted(names)}")
        for name, _, label in self._rows(raw, "test"):
            if names.get(label) != name:
                raise UserError(f"{raw / 'test.txt'}: class {label} is {name}, in train.txt {names.get(label, 'none')}")
        return [names[label] for label in sorted(names)]

    def _items(self, raw: RawFiles, half: str) -> list[Item]:
        present = raw.by_stem(*ENDINGS[self.source], within=half)
        return [
            Item(f"{half}/{name}", {"shape": label}, self._files(raw, folder, half, name, present), name)
            for folder, name, label in self._rows(raw, half)
        ]

    def _files(self, raw: RawFiles, folder: str, half: str, name: str, present: Mapping[str, Path]) -> tuple[Path, ...]:
        if self.source == "meshes":
            home, names = f"ModelNet40/{folder}/{half}", [f"{name}.off"]
        else:
            views = (self.front, self.back)
            home, names = f"{RENDERS}/{folder}/{half}", [f"{name}.obj.shaded_v{view + 1:03d}.png" for view in views]
        return tuple(present.get(Path(file).stem.lower(), raw.home / home / file) for file in names)


@dataclasses.dataclass(frozen=True)
class ViewReader:
    """Make the two views of one shape, uint8 (3, size, size): read, or rendered from its mesh."""

    source: str
    views: tuple[int, int]
    size: int

    def __call__(self, item: Item) -> dict[str, np.ndarray]:
        if self.source == "meshes":
            vertices, faces = read_off(item.files[0])
            images = [render(vertices, faces, 30.0 * view, self.size) for view in self.views]
        else:
            images = [self._image(path) for path in item.files]
        return {name: np.ascontiguousarray(image) for name, image in zip(("front", "back"), images, strict=True)}

    def _image(self, path: Path) -> np.ndarray:
        from PIL import Image, UnidentifiedImageError

        if not path.is_file():
            raise MediaError(f"the view {path.name} is missing")
        other = impostor(path)
        if other is not None:
            raise MediaError(f"the view {path.name} is {other}")
        try:
            # Not every format that Pillow knows: it hands what is PostScript to another program.
            with Image.open(path, formats=("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise MediaError(f"the view {path.name} has {opened.width} x {opened.height} pixels")
                if opened.mode[0] in "IF":
                    # Pillow would cut what is brighter than 255 off.
                    raise MediaError(f"the view {path.name} has pixels of more than 8 bits ({opened.mode})")
                image = opened.convert("RGB")
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise MediaError(f"the view {path.name} is not an image") from error
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(image).transpose(2, 0, 1)
