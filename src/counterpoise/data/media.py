"""Frames and sound of a media file, whatever its container does."""

from __future__ import annotations

import contextlib
import functools
import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.data.sources import impostor

# Longer than any clip of these datasets (UCF101's longest has 71 s): a longer file is not the clip but, say, the
# whole video that it was cut from.
MAX_SECONDS = 120.0
# An 8K picture has half of it. Larger ones are damaged headers.
MAX_PIXELS = 1 << 26
# Rates outside are damaged headers too; memory for resampling grows with the rate.
RATES = (1000, 200_000)
# Time stamps are whole milliseconds in some containers; half a frame of any video is longer than this.
ROUNDING = 0.002
# Time stamps of sound that jump by more than this are gaps (lost packets); smaller steps are rounding.
GAP_SECONDS = 0.05
# A file that ends this much before its header says is cut short. Headers are otherwise not believed.
SHORTFALL_SECONDS = 0.5
# The containers of clips and sound. FFmpeg's other formats are not opened: what calls itself a clip may be a playlist
# (ffconcat, HLS, DASH, SDP ...), which opens the files and addresses that it names.
FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,dv,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mov,mp3,mpeg,mpegts,mpegvideo,mxf,"
    "nistsphere,nut,ogg,rm,w64,wav,webm,wv"
)
# The planar frames of which PyAV reads all channels safely have up to this many.
SAFE_PLANES = 7


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
    faults: list[str] | None = None,
) -> np.ndarray:
    """Return the frames (T, 3, height, width) uint8 RGB shown at ``start``, ``start`` + 1/``fps`` ... before ``end``.

    Times are seconds from the first frame. Each is the last frame whose time stamp has been reached, so
    variable frame rates come out right and no header's frame count or duration is believed. At most ``limit``
    frames are returned. Pictures are turned upright as the file's display matrix says and resized to ``size``
    (height, width) bilinearly, their aspect ratio not kept. The first video stream that is not a cover
    picture counts. Packets that cannot be decoded are skipped. What was wrong with a file that can be used
    all the same (damaged packets, cut short) is appended to ``faults``. Raises ``MediaError``.
    """
    faults = [] if faults is None else faults
    frames: list[np.ndarray] = []
    wanted = _Times(start, end, fps, limit)
    shown: Any = None
    first = finish = 0.0
    for time, duration, frame in _video(path, faults):
        if shown is None:
            first = time
        time -= first
        if time > MAX_SECONDS:
            raise MediaError(f"it is longer than {MAX_SECONDS:g} s, so not the clip itself")
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
    """Return a decoded frame, upright, as uint8 RGB (3, height, width)."""
    from PIL import Image

    image = Image.fromarray(_upright(frame.to_ndarray(format="rgb24"), _display_matrix(frame)))
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def _display_matrix(frame: Any) -> np.ndarray | None:
    """Return how a frame is to be turned for display, 3 x 3 in 16.16 fixed point; ``None``: as it is."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), dtype="=i4", count=9).reshape(3, 3)
    return None


def _upright(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Return ``pixels`` (H, W, 3) turned and mirrored by a display matrix, to the nearest right angle.

    The matrix maps a pixel (x, y) to (a x + c y, b x + d y), so of the pairs (a, d) and (b, c) one dominates:
    the axes stay or change places, and a negative entry mirrors one of them.
    """
    if matrix is None:
        return pixels
    a, b, c, d = (float(matrix[place]) for place in ((0, 0), (0, 1), (1, 0), (1, 1)))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        pixels = pixels.transpose(1, 0, 2)  # (H, W, 3) -> (W, H, 3)
        across, down = c, b
    if across < 0:
        pixels = pixels[:, ::-1]
    if down < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _video(path: Path, faults: list[str]) -> Iterator[tuple[float, float, Any]]:
    """Yield (seconds on the file's clock, seconds shown, frame) of the first real video stream, in order."""
    with _opened(path) as container:
        stream = _video_stream(container)
        if stream is None:
            raise MediaError("it has no video stream")
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        # AVI has no presentation times. What FFmpeg makes of B-frames there is out of order; but pictures come
        # out of the decoder in order, one for each packet, at the steady rate at which packets were written.
        packet_times: deque[float] | None = deque() if container.format.name == "avi" else None
        last = -math.inf
        for count, frame in enumerate(_decoded(container, stream, faults, packet_times)):
            time = packet_times.popleft() if packet_times else frame.time
            time = count / rate if time is None else time
            if frame.width * frame.height > MAX_PIXELS:
                raise MediaError(f"its pictures are {frame.width} x {frame.height}")
            last = max(last, time)
            yield last, 1.0 / rate, frame


def _video_stream(container: Any) -> Any:
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return streams[0] if streams else None


def _first_picture(path: Path) -> float | None:
    """Return when the first frame is shown on the file's clock; ``None`` where there is no video."""
    try:
        return next((time for time, _, _ in _video(path, [])), None)
    except MediaError:
        return None


def read_wave(
    path: Path,
    *,
    rate: int,
    start: float = 0.0,
    end: float | None = None,
    channel: str = "mean",
    faults: list[str] | None = None,
) -> np.ndarray:
    """Return the sound (samples,) float32 on [-1, 1] at ``rate`` Hz, from ``start`` to ``end`` seconds.

    Times are those of :func:`read_frames`: seconds from the first frame, on one clock with the pictures, or from the
    first sample of a file without them. Sound that starts later, or is missing in between, is silence. Channels are
    averaged (``channel="mean"``) or the first is taken (``"first"``) before resampling. The first audio stream counts;
    packets that cannot be decoded are skipped. ``faults``: see :func:`read_frames`. Raises ``MediaError``.
    """
    faults = [] if faults is None else faults
    with _opened(path) as container:
        if not container.streams.audio:
            raise MediaError("it has no audio stream")
        zero = _first_picture(path) if _video_stream(container) is not None else None
        sound = _Sound(zero)
        for frame in _decoded(container, container.streams.audio[0], faults):
            samples = _samples(frame)
            sound.add(frame, samples[0] if channel == "first" else samples.mean(axis=0))
            if end is not None and sound.seconds > end + 1.0:
                break
            if sound.seconds > MAX_SECONDS:
                raise MediaError(f"its sound is longer than {MAX_SECONDS:g} s, so not the clip itself")
    wave = sound.wave()
    wave = wave if sound.rate == rate else resample(wave, sound.rate, rate)
    wave = wave[round(start * rate) : None if end is None else round(end * rate)]
    if len(wave) == 0:
        raise MediaError(f"the sound is over before {start:g} s")
    if not np.isfinite(wave).all():
        raise MediaError("its sound holds NaN or infinite samples")
    return wave


class _Sound:
    """Puts decoded pieces of sound where their time stamps say, counted from ``zero`` on the file's clock."""

    def __init__(self, zero: float | None) -> None:
        self.rate = 0
        self._zero = zero
        self._parts: list[np.ndarray] = []
        self._length = 0
        self._started = False

    @property
    def seconds(self) -> float:
        """How much there is."""
        return self._length / self.rate if self.rate else 0.0

    def add(self, frame: Any, samples: np.ndarray) -> None:
        """Append the ``samples`` (n,) of a decoded ``frame``, after silence or without what overlaps."""
        if self.rate == 0:
            if not RATES[0] <= frame.sample_rate <= RATES[1]:
                raise MediaError(f"its sampling rate is {frame.sample_rate} Hz")
            self.rate = frame.sample_rate
        if frame.sample_rate != self.rate:
            raise MediaError(f"its sampling rate changes from {self.rate} to {frame.sample_rate} Hz")
        gap = self._gap(frame.time)
        if gap > MAX_SECONDS * self.rate:
            raise MediaError(f"its sound is longer than {MAX_SECONDS:g} s, so not the clip itself")
        if gap > 0:
            self._append(np.zeros(gap))
        self._append(samples[max(0, -gap) :])

    def _gap(self, time: float | None) -> int:
        """Return how many samples are missing before a piece of this ``time``; negative: it overlaps."""
        if time is None:
            return 0
        if self._zero is None:
            self._zero = time
        gap = round((time - self._zero) * self.rate) - self._length
        if self._started and abs(gap) <= GAP_SECONDS * self.rate:
            return 0
        return gap

    def _append(self, samples: np.ndarray) -> None:
        self._parts.append(samples.astype(np.float32))
        self._length += len(samples)
        self._started = self._started or len(samples) > 0

    def wave(self) -> np.ndarray:
        """Return the whole (samples,) float32."""
        if self._length == 0:
            raise MediaError("no audio can be decoded")
        return np.concatenate(self._parts)


def resample(wave: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Return ``wave`` (samples,) at ``new_rate`` Hz: a polyphase filter without delay.

    The filter is the one that librosa calls ``kaiser_best``, which the released code reads sound with: 64
    zero crossings to either side, images and aliases more than 100 dB down. SciPy's own default lets them
    through at 60 dB, which the logarithm of a spectrogram shows. Not FFmpeg's: its result depends on how the
    file cuts sound into packets.
    """
    from scipy.signal import resample_poly

    common = math.gcd(rate, new_rate)
    up, down = new_rate // common, rate // common
    return resample_poly(wave.astype(np.float64), up, down, window=_low_pass(max(up, down))).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _low_pass(factor: int) -> np.ndarray:
    """Return the filter (128 * factor + 1,) that passes what is below 1/factor of half the sampling rate."""
    from scipy.signal import firwin

    # The constants of resampy's kaiser_best: zero crossings, roll-off, shape of the window.
    return firwin(2 * 64 * factor + 1, 0.9475937167399596 / factor, window=("kaiser", 14.769656459379492))


def _samples(frame: Any) -> np.ndarray:
    """Return the samples (channels, samples) of a decoded audio frame as float64 on [-1, 1]."""
    channels = len(frame.layout.channels)
    if frame.format.is_planar and channels > SAFE_PLANES:
        # PyAV reads planes behind the eighth pointer from memory that is not theirs: let FFmpeg interleave them.
        frame = _interleaved(frame)
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, channels).T
    if array.dtype == np.uint8:
        return (array.astype(np.float64) - 128.0) / 128.0
    if array.dtype.kind == "i":
        return array.astype(np.float64) / float(1 << (8 * array.dtype.itemsize - 1))
    return array.astype(np.float64)


def _interleaved(frame: Any) -> Any:
    import av

    resampler = av.AudioResampler(format="dbl", layout=frame.layout, rate=frame.sample_rate)
    return resampler.resample(frame)[0]


def _decoded(container: Any, stream: Any, faults: list[str], packet_times: deque[float] | None = None) -> Iterator[Any]:
    """Yield the decoded frames of a stream, skipping packets that are damaged.

    The times of the packets that frames come from are appended to ``packet_times``. What is wrong is appended
    to ``faults``: a claim to be longer than any clip before the first frame (most readers stop long before the end),
    the rest when the stream is over.
    """
    import av

    kind = "picture" if stream.type == "video" else "sound"
    if stream.codec_context is None:
        raise MediaError(f"nothing here decodes the codec of its {kind}")
    stream.codec_context.thread_count = 1
    claimed = _claimed_end(container, stream)
    if claimed is not None and claimed > MAX_SECONDS:
        faults.append(f"its {kind} claims to end at {claimed:.0f} s; it may not be the clip itself")
    damaged, reached = 0, 0.0
    for packet in _packets(container, stream):
        if packet_times is not None and packet.size > 0 and packet.dts is not None:
            packet_times.append(float(packet.dts * packet.time_base))
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            damaged += 1
            if packet_times:
                packet_times.pop()
            continue
        for frame in frames:
            reached = max(reached, frame.time or 0.0)
            yield frame
    if damaged > 0:
        faults.append(f"{damaged} packets of its {kind} cannot be decoded")
    if claimed is not None and reached < claimed - max(SHORTFALL_SECONDS, 0.1 * claimed):
        faults.append(f"its {kind} ends at {reached:.1f} of {claimed:.1f} s")


def _claimed_end(container: Any, stream: Any) -> float | None:
    """Return the end of a stream by its header, on the file's clock; ``None`` where it says nothing."""
    import av

    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if container.duration is not None:
        return (container.duration + (container.start_time or 0)) / av.time_base
    return None


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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a media file; tell apart what is wrong with one that does not open."""
    import av

    path = Path(path)
    if not path.is_file():
        raise MediaError("the file is missing")
    if path.stat().st_size == 0:
        raise MediaError("the file is empty")
    other = impostor(path)
    if other is not None:
        raise MediaError(f"it is {other}")
    try:
        # Titles in other encodings than UTF-8 are no reason to lose a clip. With its protocol, no path is an address.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.error.ArgumentError as error:
        raise MediaError("its format is none of those that clips have, or its header is damaged") from error
    except av.error.FFmpegError as error:
        raise MediaError(f"it is not a media file ({error.strerror})") from error
    with container:
        yield container
