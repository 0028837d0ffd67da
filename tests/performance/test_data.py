"""How fast clips are decoded, and how fast prepared data reaches a training step against the usual recipe.

The usual recipes are the released loaders', written out: for every sample of every epoch JPEG files are
decoded, cropped, resized and normalised by Pillow and torchvision, and sound is loaded, resampled and
transformed (OGM-GE's ``CramedDataset``, which MMPareto and PMR took over); pictures of digits are made from
arrays one by one (PMR's ``CGMNISTDataset``). Both sides give the same shapes from the same distribution of
crops. Nothing here is asserted about time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import write_clip, write_wav
from PIL import Image
from scenes import make_method, scene
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from counterpoise.data.audiovisual import ClipReader, declare_clips
from counterpoise.data.batches import Batches, ResidentBatches, StreamedBatches
from counterpoise.data.clips import Item, prepare_items
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.data.transforms import InputTransform
from counterpoise.data.work import Work
from counterpoise.training.device import keep_freed_memory

pytestmark = pytest.mark.performance

CLIPS = 64
BATCH = 32
STORED = (256, 342)
TRAIN = InputTransform(size=(224, 224), crop_scale=(0.08, 1.0), flip=0.5)
READER = ClipReader("ogm", None, 3, 1.0, "first", STORED)
IMAGENET = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
RELEASED_TRAIN = transforms.Compose(
    [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        IMAGENET,
    ]
)
RELEASED_TEST = transforms.Compose([transforms.Resize(size=(224, 224)), transforms.ToTensor(), IMAGENET])


@pytest.fixture(scope="module", autouse=True)
def as_in_a_job():
    """One thread, and with memory kept, as training jobs run; the usual recipe has the good of it too."""
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
    for workers in (1, 2):
        start = time.perf_counter()
        prepare(clips[1], tmp_path / f"{workers}" / "toy.k", workers)
        rate = CLIPS / (time.perf_counter() - start)
        results.series("decoding", [{"workers": workers, "clips": CLIPS, "clips_per_second": round(rate, 1)}])


def librosa_spectrogram(path: Path) -> np.ndarray:
    """OGM-GE's ``CramedDataset``, sound."""
    import librosa

    samples, _ = librosa.load(path, sr=22050)
    resamples = np.tile(samples, 3)[: 22050 * 3]
    resamples[resamples > 1.0] = 1.0
    resamples[resamples < -1.0] = -1.0
    spectrogram = librosa.stft(resamples, n_fft=512, hop_length=353)
    return np.log(np.abs(spectrogram) + 1e-7)


def scipy_spectrogram(path: Path) -> np.ndarray:
    """The same with SciPy."""
    from scipy import signal
    from scipy.io import wavfile

    rate, samples = wavfile.read(path)
    samples = signal.resample_poly(samples.astype(np.float32) / 32768.0, 22050, rate)
    resamples = np.clip(np.tile(samples, 3)[: 22050 * 3], -1.0, 1.0)
    spectrogram = signal.stft(resamples, nperseg=512, noverlap=512 - 353, padded=False)[2]
    return np.log(np.abs(spectrogram) + 1e-7).astype(np.float32)


class UsualClips(Dataset):
    """``CramedDataset`` with three frames: every item made anew from its files."""

    def __init__(self, root: Path, sound: Callable[[Path], np.ndarray], transform: Callable) -> None:
        self.root, self.sound, self.transform = root, sound, transform

    def __len__(self) -> int:
        return CLIPS

    def __getitem__(self, number: int) -> tuple[np.ndarray, torch.Tensor, int]:
        spectrogram = self.sound(self.root / f"{number}.wav")
        images = torch.zeros((3, 3, 224, 224))
        for second in range(3):
            image = Image.open(self.root / f"{number}_{second}.jpg").convert("RGB")
            images[second] = self.transform(image)
        return spectrogram, torch.permute(images, (1, 0, 2, 3)), number % 6


def epoch(batches: Batches, size: int = BATCH, samples: int | None = None) -> Callable[[], None]:
    """An epoch, or ``samples`` of it, in random order."""

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(batches), generator=generator)[:samples]
        for inputs, _, _ in batches.batches(order, size, generator):
            assert len(inputs) == 2
        if batches.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def usual_epoch(dataset: Dataset, size: int = BATCH) -> Callable[[], None]:
    loader = DataLoader(dataset, size, shuffle=True, num_workers=0)

    def run() -> None:
        for _ in loader:
            pass

    return run


@pytest.mark.parametrize("sound", [librosa_spectrogram, scipy_spectrogram])
@pytest.mark.parametrize("phase", ["training", "evaluation"])
def test_audio_visual_samples_per_second(clips, data, side_by_side, sound, phase):
    library = sound.__name__.partition("_")[0]
    pytest.importorskip(library)
    released, shown = (
        (RELEASED_TRAIN, TRAIN) if phase == "training" else (RELEASED_TEST, TRAIN.for_evaluation())
    )
    usual = UsualClips(clips[0], sound, released)
    batches = {
        "resident": ResidentBatches(data, "train", "cpu", {"visual": shown}),
        "streamed": StreamedBatches(data, "train", "cpu", {"visual": shown}),
    }
    if torch.cuda.is_available():
        batches["resident on the GPU"] = ResidentBatches(data, "train", "cuda", {"visual": shown})
    spectrogram, images, _ = usual[0]
    inputs, _, _ = next(batches["resident"].batches(torch.arange(1), 1))
    assert inputs["audio"].shape[-2:] == spectrogram.shape
    assert inputs["visual"].shape == (1, *images.transpose(0, 1).shape)
    baseline = f"{phase}: JPEG and {library}"
    ways = {f"{phase}: prepared, {name}": epoch(batches[name]) for name in batches}
    side_by_side(
        {baseline: usual_epoch(usual), **ways}, baseline, kind="speed-up", goals=dict.fromkeys(ways, 25.0)
    )


class UsualDigits(Dataset):
    """PMR's ``CGMNISTDataset``: a picture of Pillow from each array, a tensor from each picture."""

    def __init__(self, gray: np.ndarray, colour: np.ndarray, labels: np.ndarray) -> None:
        self.gray, self.colour, self.labels = gray, colour, labels
        self.gray_transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
        )
        self.colour_transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
            ]
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
        "colour",
        shape=(3, 28, 28),
        dtype="uint8",
        mean=[0.4914, 0.4822, 0.4465],
        std=[0.2023, 0.1994, 0.2010],
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
    actions = {
        baseline: usual_epoch(usual, 64),
        resident: epoch(ResidentBatches(data, "train"), 64, samples=12_800),
    }
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
