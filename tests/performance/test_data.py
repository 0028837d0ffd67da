"""How fast clips are decoded, and how fast prepared data reaches a training step against the usual recipe.

The usual recipes are the released loaders', written out: for clips ``tests/support/clip_recipes.py``; digits'
pictures are made from arrays one by one (PMR's ``CGMNISTDataset``). Both sides give the same shapes from the
same distribution of crops. Nothing here is asserted about time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_recipes import CLIPS, KINDS, LIBRARIES, PHASES, READER, TRAIN, UsualClips, epoch, usual_epoch
from measured import comparison
from media_files import write_clip, write_wav
from PIL import Image
from scenes import make_method, scene
from sides import Side, taking_turns
from torch.utils.data import Dataset
from torchvision import transforms

from counterpoise.data.audiovisual import declare_clips
from counterpoise.data.batches import Batches, ResidentBatches
from counterpoise.data.clips import Item, prepare_items
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.runs.machine import keep_freed_memory

pytestmark = pytest.mark.performance


@pytest.fixture(scope="module", autouse=True)
def as_in_a_job():
    """One thread, and with memory kept, as training jobs run: sides that share this process all have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Path, list[Item]]:
    """Clips of the size, length and codecs of CREMA-D's, and the same as JPEG files (45 to 50 kB) and WAV."""
    root = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    rough = Image.fromarray(random.integers(0, 256, (24, 32, 3)).astype(np.uint8)).resize((480, 360))
    grain = random.normal(0.0, 3.2, (360, 480, 1))
    items = []
    for number in range(CLIPS):
        video = write_clip(
            root / f"{number}.flv",
            seconds=2.5,
            fps=30,
            size=(360, 480),
            video="flv",
            audio="libmp3lame",
            first_frame=number,
        )
        write_wav(root / f"{number}.wav", seconds=2.5)
        for second in range(3):
            smooth = np.asarray(rough.rotate(second + number, resample=Image.Resampling.BILINEAR))
            picture = np.clip(smooth + grain, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(root / f"{number}_{second}.jpg", quality=95)
        items.append(Item(str(number), {"label": number % 6}, (video, root / f"{number}.wav")))
    return root, items


def prepare(items: list[Item], destination: Path, workers: int) -> PreparedData:
    store = ArrayStore(destination, dataset="toy", key="k", settings={})
    store.target("label", names=list("abcdef"))
    declare_clips(store, READER)
    with store:
        prepare_items(store, {"train": items}, READER, Work(workers), max_dropped=0.0, how_to_get="")
    return PreparedData.open(store.destination)


@pytest.fixture(scope="module")
def data(clips, tmp_path_factory) -> PreparedData:
    return prepare(clips[1], tmp_path_factory.mktemp("p") / "toy.k", 2)


def test_clips_decoded_per_second(clips, tmp_path, results):
    # Wall-clock time: what several processes do together shows in nothing else.
    rows = []
    for workers in (1, 2):
        start = time.perf_counter()
        prepare(clips[1], tmp_path / f"{workers}" / "toy.k", workers)
        rate = CLIPS / (time.perf_counter() - start)
        rows.append({"workers": workers, "clips": CLIPS, "clips_per_second": round(rate, 1)})
    results.series("decoding", rows)


ROUNDS = 7


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("phase", PHASES)
def test_audio_visual_samples_per_second(clips, data, results, library, phase):
    """Each side is a process of its own, with the memory settings that it has in use; they take turns."""
    pytest.importorskip(library)
    root, shown = clips[0], PHASES[phase][1]
    spectrogram, images, _ = UsualClips(root, LIBRARIES[library], PHASES[phase][0])[0]
    batches = ResidentBatches(data, "train", "cpu", {"visual": shown})
    inputs, _, _ = next(batches.batches(torch.arange(1), 1))
    assert inputs["audio"].shape[-2:] == spectrogram.shape
    assert inputs["visual"].shape == (1, *images.transpose(0, 1).shape)

    program = "from clip_recipes import serve_clips; serve_clips(*sys.argv[1:])"
    ways = [library, *KINDS]
    times = taking_turns({way: Side(program, way, phase, str(root), str(data.path)) for way in ways}, ROUNDS)
    named = {f"prepared, {way}": times[way] for way in KINDS}
    baseline, where = f"JPEG and {library}", f"{phase}, sound of the usual recipe by {library}"
    for name in named:
        given = {baseline: times[library], name: named[name]}
        results.add(comparison(name, given, baseline, kind="speed-up", goal=20.0, where=where))


class UsualDigits(Dataset):
    """PMR's ``CGMNISTDataset``: a picture of Pillow from each array, a tensor from each picture."""

    def __init__(self, gray: np.ndarray, colour: np.ndarray, labels: np.ndarray) -> None:
        self.gray, self.colour, self.labels = gray, colour, labels
        self.gray_transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        self.colour_transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))]
        )

    def __len__(self) -> int:
        return 1280

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        gray = self.gray_transform(Image.fromarray(self.gray[number], mode="L"))
        colour = self.colour_transform(Image.fromarray(self.colour[number]))
        return gray, colour, int(self.labels[number])


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[PreparedData, UsualDigits]:
    """As many as CG-MNIST's training split has: whether an epoch fits the cache is part of the question."""
    random, count = np.random.default_rng(0), 60_000
    gray = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    colour = random.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
    labels = random.integers(0, 10, count)
    store = ArrayStore(tmp_path_factory.mktemp("d") / "toy.k", dataset="toy", key="k", settings={})
    store.modality("gray", shape=(1, 28, 28), dtype="uint8", mean=[0.1307], std=[0.3081])
    store.modality(
        "colour", shape=(3, 28, 28), dtype="uint8", mean=[0.4914, 0.4822, 0.4465], std=[0.2023, 0.1994, 0.2010]
    )
    store.target("digit", names=list("0123456789"))
    with store:
        planes = np.ascontiguousarray(colour.transpose(0, 3, 1, 2))
        ids = [str(number) for number in range(count)]
        store.append("train", ids, gray=gray[:, None], colour=planes, digit=labels)
    return PreparedData.open(store.destination), UsualDigits(gray, colour, labels)


def test_digits_per_second(digits, side_by_side):
    data, usual = digits
    baseline, resident = "digits: Pillow and DataLoader", "digits: prepared, resident"
    actions = {baseline: usual_epoch(usual, 64), resident: epoch(ResidentBatches(data, "train"), 64, samples=12_800)}
    samples = {baseline: len(usual), resident: 12_800}
    side_by_side(actions, baseline, kind="speed-up", goals={resident: 50.0}, samples=samples)


def first_batch(batches: Batches, size: int) -> Callable[[], object]:
    return lambda: next(batches.batches(torch.arange(size), size, torch.Generator().manual_seed(0)))


def test_data_is_a_small_part_of_an_audio_visual_step(data, side_by_side):
    # On this processor nothing is done ahead of time: the whole of the delivery is waited for.
    step = scene("resnet18", 4).step(make_method("uniform"))
    batches = ResidentBatches(data, "train", "cpu", {"visual": TRAIN})
    name, baseline = "data of 4 clips", "training step of ResNet-18, batch 4"
    actions = {name: first_batch(batches, 4), baseline: step}
    side_by_side(actions, baseline, rounds=3, goals={name: 0.02})


def test_data_is_a_small_part_of_a_step_on_digits(digits, side_by_side):
    step = scene("cg_mnist", 64).step(make_method("uniform"))
    name, baseline = "data of 64 digits", "training step of CG-MNIST's network, batch 64"
    actions = {name: first_batch(ResidentBatches(digits[0], "train"), 64), baseline: step}
    side_by_side(actions, baseline, goals={name: 0.02})
