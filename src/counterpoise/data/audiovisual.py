"""Clips with sound and pictures: what every audio-visual dataset stores, the worker that makes it, and the
course of its preparation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from counterpoise.data.clips import FAULTS, Item, note_converted, prepare_items, report_leaks
from counterpoise.data.frontends import FrontEnd, frontend
from counterpoise.data.interface import Dataset
from counterpoise.data.media import MediaError, read_frames, read_wave
from counterpoise.data.normalise import measure
from counterpoise.data.sources import RawFiles
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.errors import UserError

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
UNUSABLE = "unusable"
"""The fact of an item that gives the reason why it cannot be used, where its dataset knows that before it is read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipReader:
    """Make one clip's arrays: ``audio`` by a front-end, ``visual`` (T, 3, H, W) uint8 and ``visual_frames``.

    An item's first file holds the pictures and its last the sound; its ``facts`` may hold ``start`` and ``end`` in
    seconds. Of the frames at ``fps``, the ``first`` ones are kept, or as many spread ``even``ly. A window too short for
    ``frames`` of them is sampled faster. What is still missing is filled with the last frame, and ``visual_frames``
    counts the real ones; fewer than ``min_frames`` make the clip unusable. Of stereo the front-end says what is heard,
    unless ``channel`` does. What is wrong with files that can be used all the same is in ``FAULTS``.
    """

    front_end: str
    seconds: float | None
    frames: int
    fps: float
    sampling: str
    size: tuple[int, int]
    channel: str | None = None
    min_frames: int = 1

    def hearing(self) -> FrontEnd:
        """Return the front-end that this reader uses."""
        return frontend(self.front_end, self.seconds)

    def __call__(self, item: Item) -> dict[str, np.ndarray]:
        if UNUSABLE in item.facts:
            raise MediaError(item.facts[UNUSABLE])
        start, end = item.facts.get("start", 0.0), item.facts.get("end")
        front_end = self.hearing()
        faults: list[str] = []
        heard = end
        if heard is None and front_end.hears is not None:
            heard = start + front_end.hears
        wave = read_wave(
            item.files[-1],
            rate=front_end.rate,
            start=start,
            end=heard,
            channel=self.channel or front_end.channel,
            faults=faults,
        )
        frames = self._frames(item, start, end, faults)
        if len(frames) < self.min_frames:
            raise MediaError(f"{len(frames)} frames, {self.min_frames} are needed")
        count = min(len(frames), self.frames)
        shown = frames[self._chosen(len(frames))]
        return {
            "audio": front_end(wave),
            "audio_length": np.int64(min(len(wave), round(front_end.rate * front_end.seconds))),
            "visual": np.ascontiguousarray(shown),
            "visual_frames": np.int64(count),
            FAULTS: faults,
        }

    def _frames(self, item: Item, start: float, end: float | None, faults: list[str]) -> np.ndarray:
        fps = self.fps
        if end is not None:
            fps = max(fps, self.frames / (end - start))
        limit = max(self.frames, self.min_frames) if self.sampling == "first" else None
        return read_frames(item.files[0], fps=fps, size=self.size, start=start, end=end, limit=limit, faults=faults)

    def _chosen(self, available: int) -> np.ndarray:
        wanted = np.arange(self.frames)
        if self.sampling == "even" and available > self.frames:
            return ((wanted + 0.5) * available / self.frames).astype(np.int64)
        return np.minimum(wanted, available - 1)


def declare_clips(store: ArrayStore, reader: ClipReader) -> None:
    """Declare the arrays that ``reader`` makes."""
    front_end = reader.hearing()
    store.modality(
        "audio",
        shape=front_end.shape,
        dtype=front_end.dtype,
        front_end=front_end.name,
        rate=front_end.rate,
        seconds=front_end.seconds,
        fill=front_end.fill,
        source=front_end.source,
    )
    store.modality(
        "visual",
        shape=(reader.frames, 3, *reader.size),
        dtype="uint8",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        channels_last=True,
        fps=reader.fps,
        sampling=reader.sampling,
    )
    store.extra("visual_frames")
    store.extra("audio_length")


def normalise_audio(store: ArrayStore, how: str, reader: ClipReader) -> None:
    """Set the audio's mean and standard deviation: those of the train split (``measured``) or none (``none``)."""
    if how == "measured":
        measure(store, "audio", lengths="audio_length" if reader.front_end == "wave" else None)


def frame_size(value: list) -> tuple[int, int]:
    """Return [height, width] as a tuple; raise ``UserError`` unless both are whole numbers of 8 to 2160."""
    if len(value) != 2 or not all(isinstance(side, int) and 8 <= side <= 2160 for side in value):
        raise UserError(f"frame_size {value}: must be [height, width], each of 8 to 2160")
    return value[0], value[1]


class ClipDataset(Dataset):
    """Base of the datasets of clips with sound: each lists its items, the rest is the same for all.

    A dataset declares the settings named here, with its own defaults and bounds (planning reads them from its
    source text), and one target.
    """

    front_end: str
    audio_seconds: float | None
    audio_normalisation: str
    frames: int
    fps: float
    frame_size: list
    max_dropped: float

    group: ClassVar[str]
    """What clips of one group share: ``actor``, ``video`` ... ; splits that share one are reported."""
    how_to_get: ClassVar[str]
    """What the user can do where too many clips are missing."""
    endings: ClassVar[tuple[str, ...]] = ()
    """The endings of an item's files as they are published; none where nobody publishes them."""

    def class_names(self) -> Sequence[str]:
        """Return the names of the target's classes, in the order of their numbers."""
        raise NotImplementedError

    def reader(self) -> ClipReader:
        """Return what makes a clip's arrays."""
        raise NotImplementedError

    def groups_overlap(self) -> bool:
        """Return whether splits share groups by design."""
        return False

    def take_notes(self, raw: RawFiles, splits: Mapping[str, Sequence[Item]], store: ArrayStore) -> None:
        """Keep in the manifest what the arrays do not tell; by default nothing."""

    def check(self) -> None:
        """See :meth:`Dataset.check`: the front-end and the frames' size must be possible."""
        self.reader().hearing()

    def clip_reader(self, **more: Any) -> ClipReader:
        """Return a reader with the settings that all these datasets have, and ``more``."""
        size = frame_size(self.frame_size)
        return ClipReader(
            front_end=self.front_end, seconds=self.audio_seconds, frames=self.frames, fps=self.fps, size=size, **more
        )

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        """See :meth:`Dataset.prepare`."""
        reader = self.reader()
        store.target(self.info.targets[0], names=self.class_names())
        declare_clips(store, reader)
        splits = self.listed_items(raw)
        self.take_notes(raw, splits, store)
        self._note_classes(splits, store)
        note_converted(store, splits, self.endings)
        prepare_items(store, splits, reader, work, max_dropped=self.max_dropped, how_to_get=self.how_to_get)
        report_leaks(store, splits, group=self.group, group_expected=self.groups_overlap())
        normalise_audio(store, self.audio_normalisation, reader)

    def _note_classes(self, splits: Mapping[str, Sequence[Item]], store: ArrayStore) -> None:
        """Say which classes a split's list names no item of: one that spells a class otherwise loses it whole."""
        for split, items in splits.items():
            listed = {item.targets[self.info.targets[0]] for item in items}
            absent = [name for number, name in enumerate(self.class_names()) if number not in listed]
            if absent:
                names = ", ".join(absent[:5]) + (" ..." if len(absent) > 5 else "")
                store.departure(f"{split}: no item is listed of {len(absent)} of its classes: {names}")
