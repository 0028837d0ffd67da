"""How fast clips are decoded, and how fast prepared data reaches a training step against the usual recipe.

The usual recipe is the released loaders': for every sample of every epoch, JPEG files decoded, cropped and
resized by Pillow, and sound resampled and transformed. Nothing here is asserted about time; the numbers are
printed (``-s``) and kept as properties of the test report.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import write_clip, write_wav
from PIL import Image

from counterpoise.data.audiovisual import ClipReader, declare_clips
from counterpoise.data.batches import ResidentBatches, StreamedBatches
from counterpoise.data.clips import Item, prepare_items
from counterpoise.data.frontends import log_stft, tile
from counterpoise.data.media import read_wave
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.data.transforms import InputTransform
from counterpoise.data.work import Work

pytestmark = pytest.mark.performance

CLIPS = 64
SIZE = (256, 342)
CROP = InputTransform(frames=3, size=(224, 224), crop_scale=(0.08, 1.0), flip=0.5)
READER = ClipReader("ogm", None, 3, 1.0, "first", SIZE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of the size, length and codecs of CREMA-D's, and the same as JPEG files and WAV."""
    root = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (24, 32, 3)).astype(np.uint8)).resize((480, 360))
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
            picture.rotate(second + number, resample=Image.Resampling.BILINEAR).save(
                root / f"{number}_{second}.jpg", quality=95
            )
        items.append(Item(str(number), {"label": number % 6}, (video,)))
    return root, items


@pytest.fixture(scope="module")
def data(clips, tmp_path_factory):
    _, items = clips
    store = ArrayStore(tmp_path_factory.mktemp("p") / "toy.k", dataset="toy", key="k", settings={})
    store.target("label", names=list("abcdef"))
    declare_clips(store, READER)
    with store:
        prepare_items(store, {"train": items}, READER, Work(2), max_dropped=0.0, how_to_get="")
    return PreparedData.open(store.destination)


def report(record_property, name: str, value: float, unit: str) -> None:
    record_property(name, value)
    print(f"\n{name}: {value:,.1f} {unit}")


@pytest.mark.parametrize("workers", [1, 2])
def test_clips_decoded_per_second(clips, tmp_path, workers, record_property):
    _, items = clips
    start = time.perf_counter()
    store = ArrayStore(tmp_path / "toy.k", dataset="toy", key="k", settings={})
    store.target("label", names=list("abcdef"))
    declare_clips(store, READER)
    with store:
        prepare_items(store, {"train": items}, READER, Work(workers), max_dropped=0.0, how_to_get="")
    seconds = time.perf_counter() - start
    report(
        record_property,
        f"clips decoded with {workers} workers",
        CLIPS / seconds,
        "clips/s, start-up included",
    )


def usual_item(root: Path, number: int, transform) -> tuple[torch.Tensor, torch.Tensor]:
    """One sample as the released loaders make it, each time anew."""
    wave = tile(read_wave(root / f"{number}.wav", rate=22050), 3 * 22050)
    audio = torch.from_numpy(log_stft(wave, 22050))
    frames = [transform(Image.open(root / f"{number}_{second}.jpg").convert("RGB")) for second in range(3)]
    return audio, torch.stack(frames)


def rate(run, samples: int, repetitions: int = 5) -> float:
    """The median number of samples per second of processor time of a single-threaded run."""
    run()
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return samples / statistics.median(times)


def test_samples_per_second_against_the_usual_recipe(clips, data, record_property):
    from torchvision import transforms

    torch.set_num_threads(1)
    root, _ = clips
    released = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    usual = rate(lambda: [usual_item(root, number, released) for number in range(16)], 16)
    report(record_property, "usual recipe", usual, "samples/s per core")

    def deliver(kind, transforms, device="cpu"):
        batches = kind(data, "train", device, transforms)
        order = torch.arange(CLIPS)

        def run():
            for inputs, _, _ in batches.batches(order, 16, torch.Generator().manual_seed(0)):
                inputs["visual"].sum()
            if device != "cpu":
                torch.cuda.synchronize()

        return rate(run, CLIPS)

    ways = {
        "prepared, resident, cropped on the CPU": deliver(ResidentBatches, {"visual": CROP}),
        "prepared, streamed, cropped on the CPU": deliver(StreamedBatches, {"visual": CROP}),
        "prepared, resident, stored size": deliver(ResidentBatches, {"visual": InputTransform(frames=3)}),
    }
    if torch.cuda.is_available():
        ways["prepared, resident and cropped on the GPU"] = deliver(ResidentBatches, {"visual": CROP}, "cuda")
    for name, value in ways.items():
        report(record_property, name, value, f"samples/s, {value / usual:.1f} times the usual recipe")
