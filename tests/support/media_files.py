"""Miniature media files in the true formats, written by the same codecs that wrote the real ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SECOND_TONE = 440.0


def level(number: int) -> int:
    """The gray level that frame ``number`` of a test clip is painted with; compression blurs it by a few."""
    return 20 + 8 * (number % 28)


def tone(seconds: float, rate: int, channels: int, frequency: float) -> np.ndarray:
    """Return (channels, samples) float32: a sine, half as loud in each further channel."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * frequency * time)
    return np.stack([wave / 2**channel for channel in range(channels)]).astype(np.float32)


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 10,
    size: tuple[int, int] = (48, 64),
    video: str | None = "mpeg4",
    audio: str | None = "mp2",
    rate: int = 44100,
    layout: str = "mono",
    frequency: float = SECOND_TONE,
    frame_times: list[float] | None = None,
    audio_first: bool = False,
    video_streams: int = 1,
    audio_streams: int = 1,
    metadata: dict[str, str] | None = None,
    first_frame: int = 0,
) -> Path:
    """Write a clip whose frame n has gray level :func:`level` (n) and whose sound is a sine. Returns ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        kinds = (["audio"] * audio_streams if audio else []) + (["video"] * video_streams if video else [])
        if not audio_first:
            kinds.reverse()
        streams = []
        for kind in kinds:
            if kind == "video":
                stream = container.add_stream(video, rate=fps)
                stream.height, stream.width = size
                stream.pix_fmt = "yuv420p"
                stream.bit_rate = 2_000_000
                stream.codec_context.time_base = Fraction(1, fps * 100 if frame_times else fps)
            else:
                stream = container.add_stream(audio, rate=rate, layout=layout)
            streams.append((kind, stream))
        order = {"video": 0, "audio": 0}
        for kind, stream in streams:
            # Streams behind the first carry other content, so that taking the wrong one shows.
            offset = 10 * order[kind]
            if kind == "video":
                _encode_video(container, stream, seconds, fps, size, frame_times, first_frame + offset)
            else:
                _encode_audio(container, stream, seconds, frequency * (1 + order[kind]))
            order[kind] += 1
    return path


def _encode_video(container, stream, seconds, fps, size, frame_times, first) -> None:
    times = frame_times or [number / fps for number in range(round(seconds * fps))]
    for number, time in enumerate(times):
        picture = np.full((*size, 3), level(first + number), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.time_base = stream.codec_context.time_base
        frame.pts = round(time / frame.time_base)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _encode_audio(container, stream, seconds, frequency) -> None:
    samples = tone(seconds, stream.rate, stream.layout.nb_channels, frequency)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=stream.layout.name)
    frame.sample_rate = stream.rate
    frame.pts = 0
    resampler = av.AudioResampler(format=stream.format.name, layout=stream.layout.name, rate=stream.rate)
    size = stream.codec_context.frame_size or 1024
    fifo = av.AudioFifo()
    for part in resampler.resample(frame):
        fifo.write(part)
    while (part := fifo.read(size, partial=False)) is not None:
        container.mux(stream.encode(part))
    rest = fifo.read()
    if rest is not None:
        container.mux(stream.encode(rest))
    container.mux(stream.encode())


def write_wav(path: Path, *, seconds: float = 2.0, rate: int = 16000, layout: str = "mono", **options) -> Path:
    """Write a WAV file of 16-bit samples. Returns ``path``."""
    return write_clip(path, seconds=seconds, video=None, audio="pcm_s16le", rate=rate, layout=layout, **options)
