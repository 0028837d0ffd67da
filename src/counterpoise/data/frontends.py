"""From sound to what a model hears: the front-ends that the papers and their code use.

They differ in rate, length, window and normalisation, and the choice moves results by more than methods do;
each is therefore a named, tested function and part of the dataset's settings.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from counterpoise.data.media import MediaError
from counterpoise.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """A front-end: sound at ``rate`` Hz, ``seconds`` long, to an array of ``shape`` and ``dtype``.

    Shorter sound is repeated (``fill="tile"``) or followed by silence (``"pad"``); longer sound is cut.
    ``"whole"`` passes everything and leaves the length to the front-end. ``channel`` is what the released
    code takes of stereo: the mean, or the first.
    """

    name: str
    rate: int
    seconds: float
    fill: str
    shape: tuple[int, ...]
    dtype: str
    compute: Callable[[np.ndarray, int], np.ndarray]
    source: str
    channel: str = "mean"

    @property
    def hears(self) -> float | None:
        """How many seconds of sound matter; ``None``: all of it."""
        return None if self.fill == "whole" else self.seconds

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """Return the array that the model hears for ``wave`` (samples,) float32 at :attr:`rate`."""
        length = round(self.rate * self.seconds)
        filled = {"tile": tile, "pad": pad, "whole": lambda sound, _: sound}[self.fill](wave, length)
        result = self.compute(np.clip(filled, -1.0, 1.0), self.rate)
        if result.shape != self.shape or result.dtype != np.dtype(self.dtype):
            raise ValueError(f"front-end {self.name}: {result.dtype} {result.shape} instead of {self.shape}")
        return result


def tile(wave: np.ndarray, length: int) -> np.ndarray:
    """Return ``wave`` repeated from its start until it has ``length`` samples, or cut to them."""
    return np.resize(wave, length) if len(wave) < length else wave[:length]


def pad(wave: np.ndarray, length: int) -> np.ndarray:
    """Return ``wave`` followed by zeros to ``length`` samples, or cut to them."""
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


def log_stft(wave: np.ndarray, rate: int, size: int = 512, hop: int = 353) -> np.ndarray:
    """Return log(|STFT| + 1e-7) (1, size/2 + 1, 1 + samples // hop) float32.

    Periodic Hann window, frames centred, silence beyond the ends.
    """
    from scipy.fft import rfft

    padded = np.pad(wave.astype(np.float32), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)).astype(np.float32)
    return np.log(np.abs(rfft(frames * window, axis=1)) + np.float32(1e-7)).T[None].astype(np.float32)


def spectrogram(wave: np.ndarray, rate: int, size: int = 512, overlap: int = 353) -> np.ndarray:
    """Return log(power spectral density + 1e-7) (1, size/2 + 1, frames) float32, as SciPy's ``spectrogram`` gives it.

    Tukey window, each frame's mean removed, no frames beyond the ends; note the hop of ``size - overlap`` = 159.
    """
    from scipy.signal import spectrogram as power

    density = power(wave.astype(np.float32), rate, nperseg=size, noverlap=overlap)[2]
    return np.log(np.abs(density) + 1e-7)[None].astype(np.float32)


def standardised_spectrogram(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return :func:`spectrogram` of one clip less its own mean, over its own standard deviation."""
    values = spectrogram(wave, rate)
    return ((values - values.mean()) / (values.std() + 1e-9)).astype(np.float32)


def fbank(wave: np.ndarray, rate: int, bins: int = 128, frames: int = 1024) -> np.ndarray:
    """Return Kaldi's log-Mel filter bank (1, bins, frames) float32, padded with zeros or cut, then scaled.

    Hanning window of 25 ms, 10 ms shift, no dither, pre-emphasis 0.97, the wave's mean and each frame's
    removed; scaled by (x + 4.503877) / (2 * 5.141276), so that padding becomes a constant and not zero, as in
    the released extractor. Written out, because the original needs torch in every process that decodes.
    Raises ``MediaError`` for sound shorter than a window.
    """
    from scipy.fft import rfft

    length, hop = rate * 25 // 1000, rate * 10 // 1000
    if len(wave) < length:
        raise MediaError(f"{len(wave)} samples of sound at {rate} Hz, a window of the filter bank takes {length}")
    size = 1 << (length - 1).bit_length()
    sound = wave.astype(np.float64) - wave.mean(dtype=np.float64)
    cut = np.lib.stride_tricks.sliding_window_view(sound, length)[::hop][:frames]  # (T, length)
    cut = cut - cut.mean(axis=1, keepdims=True)
    before = np.concatenate([cut[:, :1], cut[:, :-1]], axis=1)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / (length - 1))
    power = np.abs(rfft((cut - 0.97 * before) * window, n=size, axis=1)) ** 2  # (T, size / 2 + 1)
    mel = power[:, : size // 2] @ _mel_filters(bins, size, rate).T  # (T, bins)
    values = np.log(np.maximum(mel, np.finfo(np.float32).eps))
    values = np.pad(values, ((0, frames - len(values)), (0, 0)))
    return ((values + 4.503877) / (2 * 5.141276)).T[None].astype(np.float32)


@functools.cache
def _mel_filters(bins: int, size: int, rate: int) -> np.ndarray:
    """Return Kaldi's triangles (bins, size / 2), evenly spaced in Mel from 20 Hz to half the rate."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    low, high = mel(np.array([20.0, rate / 2.0]))
    edges = low + (high - low) / (bins + 1) * np.arange(bins + 2)
    left, centre, right = (edges[k : k + bins, None] for k in range(3))
    places = mel(np.arange(size // 2) * rate / size)[None]
    return np.maximum(0.0, np.minimum((places - left) / (centre - left), (right - places) / (right - centre)))


def raw_wave(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return the wave itself (samples,) int16, for models that hear it as it is."""
    return np.clip(np.round(wave.astype(np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def frontend(name: str, seconds: float | None = None) -> FrontEnd:
    """Return the front-end ``name``; ``seconds`` replaces its length.

    ``ogm``: 22,050 Hz, 3 s, tiled, log-STFT 257 x 188 (OGM-GE; MLB's is the same before its normalisation).
    ``fbank``: 16 kHz, 10.24 s of log-Mel frames, 128 x 1024 (MMPareto, by its authors' word).
    ``pmr``: 16 kHz, 10 s, tiled, SciPy spectrogram 257 x 1004, each clip standardised (PMR).
    ``pmr_raw``: the same, not standardised (PMR and MLB on AVE).
    ``stft16``: 16 kHz, 3 s, log-STFT 257 x 136 (MLB on UCF101).
    ``wave``: 16 kHz, int16.
    """
    rate = 22050 if name == "ogm" else 16000
    length = {"ogm": 3.0, "fbank": 10.24, "pmr": 10.0, "pmr_raw": 10.0, "stft16": 3.0, "wave": 3.0}[name]
    if seconds is not None and name == "fbank":
        raise UserError(
            "audio_seconds: has no effect with front_end 'fbank', which has 1,024 frames of 10 ms; leave it out"
        )
    length = length if seconds is None else seconds
    samples = round(rate * length)
    shortest = {"pmr": 512, "pmr_raw": 512}.get(name, 1)
    if samples < shortest:
        raise UserError(
            f"audio_seconds: {length:g} s leave nothing for front_end '{name}'; at least {shortest / rate:.2g}"
        )
    stft_shape = (1, 257, 1 + samples // 353)
    psd_shape = (1, 257, (samples - 353) // 159)
    table = {
        "ogm": ("tile", stft_shape, "float32", log_stft, "OGM-GE dataset/CramedDataset.py"),
        "fbank": ("whole", (1, 128, 1024), "float32", fbank, "OGM-GE data/KineticSound/process_audio.py"),
        "pmr": ("tile", psd_shape, "float32", standardised_spectrogram, "PMR, as MLB's AVE preprocessing"),
        "pmr_raw": ("tile", psd_shape, "float32", spectrogram, "MLB datasets/AVE, event segments"),
        "stft16": ("pad", stft_shape, "float32", log_stft, "MLB datasets/UCF"),
        "wave": ("pad", (samples,), "int16", raw_wave, "MLB, wav2vec2"),
    }
    fill, shape, dtype, compute, source = table[name]
    return FrontEnd(
        name=name,
        rate=rate,
        seconds=length,
        fill=fill,
        shape=shape,
        dtype=dtype,
        compute=compute,
        source=source,
        channel="first" if name == "fbank" else "mean",
    )
