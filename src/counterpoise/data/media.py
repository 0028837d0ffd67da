"""Frames and sound of a media file, whatever its container does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Longer than any clip of these datasets; a file that claims more is not one of them.
MAX_SECONDS = 3600.0
# Time stamps are whole milliseconds in some containers; half a frame of any video is longer than this.
ROUNDING = 0.002


class MediaError(Exception):
    """A media file that cannot be used; the text is the reason that the manifest gives."""


def read_frames(
    path: Path,
    *,
    fps: float,
    size: tuple[int, int],
    start: float = 0.0,
    end: float | None = None,
    limit: int | None = None,
) -> np.ndarray:
    """Return the frames (T, 3, height, width) uint8 RGB shown at ``start``, ``start`` + 1/``fps`` ... before
    ``end``.

    Times are seconds from the first frame. Each is the last frame whose time stamp has been reached, so
    variable frame rates come out right and no header's frame count or duration is believed. At most ``limit``
    frames are returned. Pictures are resized to ``size`` (height, width) bilinearly, their aspect ratio not
    kept. The first video stream that is not a cover picture counts. Packets that cannot be decoded are
    skipped. Raises ``MediaError``.
    """
    frames: list[np.ndarray] = []
    wanted = _Times(start, end, fps, limit)
    shown: Any = None
    finish = 0.0
    for time, duration, frame in _video(path):
        while wanted.pending() and shown is not None and wanted.time() < time - ROUNDING:
            frames.append(_picture(shown, size))
            wanted.step()
        if not wanted.pending():
            break
        shown, finish = frame, time + duration
    # The last frame stays for its own duration, less what containers round time stamps by.
    while wanted.pending() and shown is not None and wanted.time() < finish - ROUNDING:
        frames.append(_picture(shown, size))
        wanted.step()
    if shown is None:
        raise MediaError("no video frame can be decoded")
    if not frames:
        raise MediaError(f"the video is over before {start:g} s")
    return np.stack(frames)


class _Times:
    """The moments at which a frame is wanted, one after another."""

    def __init__(self, start: float, end: float | None, fps: float, limit: int | None) -> None:
        self._start, self._end, self._fps = start, math.inf if end is None else end, fps
        self._limit = math.inf if limit is None else limit
        self._count = 0

    def time(self) -> float:
        return self._start + self._count / self._fps

    def pending(self) -> bool:
        return self._count < self._limit and self.time() < self._end - 1e-6

    def step(self) -> None:
        self._count += 1


def _picture(frame: Any, size: tuple[int, int]) -> np.ndarray:
    """Return a decoded frame as uint8 RGB (3, height, width)."""
    from PIL import Image

    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def _video(path: Path) -> Iterator[tuple[float, float, Any]]:
    """Yield (seconds from the first frame, seconds shown, frame) of the first real video stream."""
    from av.stream import Disposition

    with _opened(path) as container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            raise MediaError("it has no video stream")
        stream = streams[0]
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        first: float | None = None
        for count, frame in enumerate(_decoded(container, stream)):
            time = frame.time if frame.time is not None else count / rate
            if first is None:
                first = time
            if time - first > MAX_SECONDS:
                raise MediaError(f"it claims to be longer than {MAX_SECONDS:g} s")
            yield time - first, 1.0 / rate, frame


def read_wave(
    path: Path, *, rate: int, start: float = 0.0, end: float | None = None, channel: str = "mean"
) -> np.ndarray:
    """Return the sound (samples,) float32 on [-1, 1] at ``rate`` Hz, from ``start`` to ``end`` seconds.

    Channels are averaged (``channel="mean"``) or the first is taken (``"first"``) before resampling. The
    first audio stream counts; packets that cannot be decoded are skipped. Raises ``MediaError``.
    """
    parts: list[np.ndarray] = []
    own_rate: int | None = None
    length = 0
    with _opened(path) as container:
        if not container.streams.audio:
            raise MediaError("it has no audio stream")
        for frame in _decoded(container, container.streams.audio[0]):
            if own_rate is None:
                own_rate = frame.sample_rate
            if frame.sample_rate != own_rate:
                raise MediaError(f"its sampling rate changes from {own_rate} to {frame.sample_rate} Hz")
            samples = _samples(frame)
            parts.append(samples[0] if channel == "first" else samples.mean(axis=0))
            length += len(parts[-1])
            if length > MAX_SECONDS * own_rate or (end is not None and length > (end + 1.0) * own_rate):
                break
    if own_rate is None or length == 0:
        raise MediaError("no audio can be decoded")
    wave = np.concatenate(parts).astype(np.float32)
    wave = wave if own_rate == rate else resample(wave, own_rate, rate)
    wave = wave[round(start * rate) : None if end is None else round(end * rate)]
    if len(wave) == 0:
        raise MediaError(f"the sound is over before {start:g} s")
    return wave


def resample(wave: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Return ``wave`` (samples,) at ``new_rate`` Hz: a polyphase filter, Kaiser window, no delay.

    SciPy's, and not the one inside FFmpeg: its result does not depend on how the file cuts sound into
    packets.
    """
    from scipy.signal import resample_poly

    common = math.gcd(rate, new_rate)
    return resample_poly(wave.astype(np.float64), new_rate // common, rate // common).astype(np.float32)


def _samples(frame: Any) -> np.ndarray:
    """Return the samples (channels, samples) of a decoded audio frame as float64 on [-1, 1]."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, len(frame.layout.channels)).T
    if array.dtype == np.uint8:
        return (array.astype(np.float64) - 128.0) / 128.0
    if array.dtype.kind == "i":
        return array.astype(np.float64) / float(1 << (8 * array.dtype.itemsize - 1))
    return array.astype(np.float64)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the decoded frames of a stream, skipping packets that are damaged."""
    import av

    stream.codec_context.thread_count = 1
    for packet in _packets(container, stream):
        try:
            yield from packet.decode()
        except (av.error.FFmpegError, ValueError):
            continue


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of a stream up to the end of the file or of what can be read of it."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        yield packet


def _opened(path: Path) -> Any:
    """Open a media file; tell apart what is wrong with one that does not open."""
    import av

    path = Path(path)
    if not path.is_file():
        raise MediaError("the file is missing")
    if path.stat().st_size == 0:
        raise MediaError("the file is empty")
    try:
        # Titles in other encodings than UTF-8 are no reason to lose a clip.
        return av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise MediaError(f"it is not a media file ({error.strerror})") from error
