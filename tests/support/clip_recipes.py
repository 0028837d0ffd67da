"""Audio-visual clips on their way to a training step: by the usual recipe, and prepared.

The usual recipe is the released loaders', written out: for every sample of every epoch JPEG files are
decoded, cropped, resized and normalised by Pillow and torchvision, and sound is loaded, resampled and
transformed (OGM-GE's ``CramedDataset``, which MMPareto and PMR took over).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sides import serve
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from counterpoise.data.audiovisual import ClipReader
from counterpoise.data.batches import Batches, ResidentBatches, StreamedBatches
from counterpoise.data.prepared import PreparedData
from counterpoise.data.transforms import InputTransform
from counterpoise.runs.machine import keep_freed_memory

CLIPS = 64
BATCH = 32
STORED = (256, 342)
TRAIN = InputTransform(size=(224, 224), crop_scale=(0.08, 1.0), flip=0.5)
READER = ClipReader(front_end="ogm", seconds=None, frames=3, fps=1.0, sampling="first", size=STORED)
IMAGENET = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
RELEASED_TRAIN = transforms.Compose(
    [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), IMAGENET]
)
RELEASED_TEST = transforms.Compose([transforms.Resize(size=(224, 224)), transforms.ToTensor(), IMAGENET])
PHASES = {"training": (RELEASED_TRAIN, TRAIN), "evaluation": (RELEASED_TEST, TRAIN.for_evaluation())}


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


LIBRARIES = {"librosa": librosa_spectrogram, "scipy": scipy_spectrogram}
KINDS = {"resident": ResidentBatches, "streamed": StreamedBatches}


def serve_clips(way: str, phase: str, root: str, prepared: str) -> None:
    """Be one side of a comparison: an epoch over all clips each time.

    ``way`` is a library for the sound of the usual recipe, which reads the files in ``root``, or a kind of
    batches of the data in ``prepared``. Ours keeps freed memory, as the command that trains does.
    """
    torch.set_num_threads(1)
    released, shown = PHASES[phase]
    if way in LIBRARIES:
        serve(usual_epoch(UsualClips(Path(root), LIBRARIES[way], released)))
        return
    keep_freed_memory()
    serve(epoch(KINDS[way](PreparedData.open(Path(prepared)), "train", "cpu", {"visual": shown})))
