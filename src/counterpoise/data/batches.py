"""Batches for training and evaluation, in an order that the caller gives.

Data that fits lives on the training device and is indexed there (:class:`ResidentBatches`); larger data is read from
the memory map by threads that stay a few batches ahead (:class:`StreamedBatches`). Both give the same numbers.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from counterpoise.data.axes import channel_axis
from counterpoise.data.memory import FloatMemory
from counterpoise.data.transforms import Draw, InputTransform, boxes_and_flips, crop_one

if TYPE_CHECKING:
    from counterpoise.data.prepared import PreparedData

Batch = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]

SCALES = {"uint8": 255.0, "int16": 32768.0}
FLOAT_COPY_BYTES = 1 << 28


class Batches:
    """One split of prepared data as batches on a device.

    ``transforms`` says how image modalities are presented
    (:class:`~counterpoise.data.transforms.InputTransform`); a modality without one is only normalised.
    """

    def __init__(
        self,
        data: PreparedData,
        split: str,
        device: torch.device | str = "cpu",
        transforms: Mapping[str, InputTransform] | None = None,
    ) -> None:
        self.data = data
        self.split = split
        self.device = torch.device(device)
        self.transforms = dict(transforms or {})
        unknown = set(self.transforms) - set(data.modalities)
        if unknown:
            raise ValueError(f"transforms of {sorted(unknown)}, but the modalities are {sorted(data.modalities)}")
        self._normalisers = {name: Normaliser(entry, self.device) for name, entry in data.modalities.items()}
        self._memory = {name: FloatMemory() for name in data.modalities}
        self._counts = {
            name: torch.from_numpy(np.array(data.array(split, f"{name}_frames")))
            for name in data.modalities
            if f"{name}_frames" in data.extras
        }

    def __len__(self) -> int:
        return self.data.size(self.split)

    def batches(self, order: torch.Tensor, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield ``(inputs, targets, index)`` for consecutive stretches of ``order`` (int64, on the CPU).

        ``inputs`` maps a modality to a float tensor (B, ...), ``targets`` a target to int64 or float (B,
        ...); both are on the device. ``index`` (B,) is the stretch of ``order``. The last batch is short
        where ``size`` does not divide the length; cut ``order`` to drop it. All random choices come from
        ``generator``, in the order of batches and of the manifest's modalities.
        """
        raise NotImplementedError

    def _checked(self, order: torch.Tensor) -> torch.Tensor:
        """Return ``order``; raise ``IndexError`` where it points outside the split."""
        if len(order) > 0 and not 0 <= int(order.min()) <= int(order.max()) < len(self):
            raise IndexError(
                f"{self.split} has {len(self)} samples; the order goes from {order.min()} to {order.max()}"
            )
        return order

    def _draws(self, index: torch.Tensor, generator: torch.Generator | None) -> dict[str, Draw]:
        if generator is None:
            generator = torch.Generator()
        draws = {}
        for name, entry in self.data.modalities.items():
            if name in self.transforms:
                counts = self._counts[name][index] if name in self._counts else None
                draws[name] = self.transforms[name].draw(len(index), tuple(entry["shape"]), counts, generator)
        return draws

    def _on_cpu(self, name: str, values: torch.Tensor, index: torch.Tensor, draw: Draw | None) -> torch.Tensor:
        """Return samples ``index`` of the stored ``values`` (N, ...), presented and normalised."""
        if draw is None and values.dtype == torch.float32 and values.is_contiguous():
            out = self._memory[name].empty((len(index), *values.shape[1:]))
            return self._normalisers[name](torch.index_select(values, 0, index, out=out), out)
        if draw is None:
            chosen = gather(values, index)
            return self._normalisers[name](chosen, self._memory[name].empty(chosen.shape))
        pictures, places = pictures_of(values, index, draw.frames)
        return self._floats(name, pictures, places, draw, self.transforms[name].size)

    def _floats(
        self, name: str, pictures: torch.Tensor, places: torch.Tensor, draw: Draw, size: tuple[int, int] | None
    ) -> torch.Tensor:
        """Return ``pictures[places]`` cropped, flipped, resized and normalised, on the CPU.

        Each picture goes all the way from stored bytes to floats in its place of the batch before the next
        one: every step finds what the one before it wrote in the processor's cache.
        """
        size = size or tuple(pictures.shape[-2:])
        out = self._memory[name].empty((places.numel(), pictures.shape[1], *size))
        normalise, choices = self._normalisers[name], boxes_and_flips(len(out), draw)
        for slot, place, box, flip in zip(out.unbind(), places.flatten().tolist(), *choices, strict=True):
            normalise(crop_one(pictures, place, size, box, flip), slot)
        return out.view(*places.shape, *out.shape[1:])

    def _on_accelerator(self, name: str, values: torch.Tensor, draw: Draw | None) -> torch.Tensor:
        """Present and normalise the chosen ``values`` (B, ...) of a modality, which are on the device."""
        if draw is not None:
            values = self.transforms[name].apply(values, draw)
        return self._normalisers[name](values)


class ResidentBatches(Batches):
    """The whole split on the device, as stored; normalised as floats at once where that is small.

    On the CPU, pictures that are shown in the same way each time are resized when they are first asked for and kept so.
    """

    def __init__(
        self,
        data: PreparedData,
        split: str,
        device: torch.device | str = "cpu",
        transforms: Mapping[str, InputTransform] | None = None,
    ) -> None:
        super().__init__(data, split, device, transforms)
        self._inputs: dict[str, torch.Tensor] = {}
        self._ready: set[str] = set()
        self._shown: dict[str, Shown] = {}
        for name in data.modalities:
            transform = self.transforms.get(name)
            if self.device.type == "cpu" and transform is not None and transform.is_fixed_size:
                self._inputs[name] = mapped_tensor(data, split, name)
                self._shown[name] = Shown(len(self), data.modalities[name], transform)
            else:
                self._inputs[name] = self._loaded(name)
        self._targets = {name: target_tensor(data, split, name).to(self.device) for name in data.targets}

    def _loaded(self, name: str) -> torch.Tensor:
        """Return a modality's array on the device, as stored or ready."""
        array = self.data.array(self.split, name)
        transform = self.transforms.get(name)
        if transform is None and array.size * 4 <= FLOAT_COPY_BYTES:
            self._ready.add(name)
            return self._normalisers[name](_tensor(array).to(self.device))
        return _tensor(array).to(self.device)

    def batches(self, order: torch.Tensor, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """See :meth:`Batches.batches`."""
        for index in self._checked(order).split(size):
            draws = self._draws(index, generator)
            place = index.to(self.device, non_blocking=True)
            inputs = {name: self._input(name, place, draws.get(name)) for name in self._inputs}
            targets = {name: values.index_select(0, place) for name, values in self._targets.items()}
            yield inputs, targets, index

    def _input(self, name: str, place: torch.Tensor, draw: Draw | None) -> torch.Tensor:
        values = self._inputs[name]
        if name in self._ready and self.device.type == "cpu":
            out = self._memory[name].empty((len(place), *values.shape[1:]))
            return torch.index_select(values, 0, place, out=out)
        if name in self._ready:
            return values.index_select(0, place)
        if name in self._shown:
            pictures, places = pictures_of(self._shown[name].samples(values, place, draw), place, None)
            return self._floats(name, pictures, places, Draw(), None)
        if self.device.type == "cpu":
            return self._on_cpu(name, values, place, draw)
        if draw is None or draw.frames is None:
            return self._on_accelerator(name, values.index_select(0, place), draw)
        pictures, places = pictures_of(values, place, draw.frames.to(self.device, non_blocking=True))
        chosen = pictures.index_select(0, places.flatten())
        return self._on_accelerator(name, chosen.view(*places.shape, *chosen.shape[1:]), draw)


class Shown:
    """A modality as a transform without chance shows it; each sample is made when it is first asked for."""

    def __init__(self, count: int, entry: Mapping[str, object], transform: InputTransform) -> None:
        self._transform = transform
        shape = transform.shown_shape(tuple(entry["shape"]))
        # The kernel gives the memory when it is written: what is never shown takes none.
        self._values = torch.empty((count, *shape), dtype=getattr(torch, str(entry["dtype"])))
        self._made = torch.zeros(count, dtype=torch.bool)

    def samples(self, stored: torch.Tensor, index: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return all samples, of which those of ``index`` are made from ``stored``; ``draw`` is theirs."""
        for slot in (~self._made[index]).nonzero().flatten().tolist():
            row = int(index[slot])
            frames = None if draw.frames is None else draw.frames[slot : slot + 1]
            pictures, places = pictures_of(stored, index[slot : slot + 1], frames)
            shown = self._transform.apply(pictures[places[0]], Draw())
            self._values[row] = shown
        self._made[index] = True
        return self._values


class StreamedBatches(Batches):
    """Batches read from the memory map by ``threads`` threads, ``depth`` batches ahead, through pinned memory."""

    def __init__(
        self,
        data: PreparedData,
        split: str,
        device: torch.device | str = "cpu",
        transforms: Mapping[str, InputTransform] | None = None,
        *,
        depth: int = 4,
        threads: int = 2,
    ) -> None:
        super().__init__(data, split, device, transforms)
        self._depth = depth
        self._threads = threads
        names = (*data.modalities, *data.targets)
        self._arrays = {name: mapped_tensor(data, split, name) for name in names}
        self._memory = {name: FloatMemory(keep=depth + 2) for name in data.modalities}

    def batches(self, order: torch.Tensor, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """See :meth:`Batches.batches`."""
        waiting: deque[tuple[torch.Tensor, dict[str, Draw], concurrent.futures.Future]] = deque()
        pool = concurrent.futures.ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        try:
            for index in self._checked(order).split(size):
                draws = self._draws(index, generator)
                waiting.append((index, draws, pool.submit(self._read, index, draws)))
                if len(waiting) > self._depth:
                    yield self._deliver(*waiting.popleft())
            while waiting:
                yield self._deliver(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, index: torch.Tensor, draws: Mapping[str, Draw]) -> dict[str, torch.Tensor]:
        """Return the samples of a batch on the CPU: finished where that is the device, else as stored."""
        found = {name: self._gather(self._arrays[name], index) for name in self.data.targets}
        for name in self.data.modalities:
            values, draw = self._arrays[name], draws.get(name)
            if self.device.type == "cpu":
                found[name] = self._on_cpu(name, values, index, draw)
            elif draw is None or draw.frames is None:
                found[name] = self._gather(values, index)
            else:
                pictures, places = pictures_of(values, index, draw.frames)
                chosen = self._gather(pictures, places.flatten())
                found[name] = chosen.view(*places.shape, *chosen.shape[1:])
        return found

    def _gather(self, values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return gather(values, rows, pinned=self.device.type == "cuda")

    def _deliver(self, index: torch.Tensor, draws: dict[str, Draw], future: concurrent.futures.Future) -> Batch:
        found = {name: values.to(self.device, non_blocking=True) for name, values in future.result().items()}
        inputs = {name: found[name] for name in self.data.modalities}
        if self.device.type != "cpu":
            inputs = {name: self._on_accelerator(name, x, draws.get(name)) for name, x in inputs.items()}
        targets = {name: target_values(self.data, name, found[name]) for name in self.data.targets}
        return inputs, targets, index


class Normaliser:
    """Stored values of one modality to floats: the integer scale, then the mean and the standard deviation."""

    def __init__(self, entry: Mapping[str, object], device: torch.device) -> None:
        self._scale = SCALES.get(entry["dtype"], 1.0)
        self._mean = self._factor = None
        if entry["mean"] is not None:
            # Without leading dimensions, so that it fits single pictures of a clip as well.
            shape = [-1] + [1] * (len(entry["shape"]) - 1 - channel_axis(entry["shape"]))
            mean = torch.tensor(entry["mean"], dtype=torch.float32).reshape(shape)
            std = torch.tensor(entry["std"] or [1.0], dtype=torch.float32).reshape(shape)
            self._mean = (mean * self._scale).to(device)
            self._factor = (1.0 / (std * self._scale)).to(device)

    def __call__(self, values: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``values`` (..., of the modality's shape or of one picture of it) as normalised float32, in
        ``out`` where it is given.
        """
        if out is None:
            out = torch.empty(values.shape, device=values.device)
        if values.device.type == "cpu" and values.dtype != out.dtype:
            # Arithmetic on the CPU does not convert as it goes: it would make a copy in floats of its own.
            values = out.copy_(values)
        if self._mean is not None:
            return torch.sub(values, self._mean, out=out).mul_(self._factor)
        return out.copy_(values) if self._scale == 1.0 else torch.mul(values, 1.0 / self._scale, out=out)


def gather(values: torch.Tensor, rows: torch.Tensor, *, pinned: bool = False) -> torch.Tensor:
    """Return rows of ``values`` on the CPU, whose bytes keep their order: colours first or last."""
    colours_last = values.ndim > 3 and not values.is_contiguous()
    stored = values.movedim(-3, -1) if colours_last else values
    out = torch.empty((len(rows), *stored.shape[1:]), dtype=values.dtype, pin_memory=pinned)
    torch.index_select(stored, 0, rows, out=out)
    return out.movedim(-1, -3) if colours_last else out


def pictures_of(
    values: torch.Tensor, index: torch.Tensor, frames: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all pictures of ``values``, (N, C, H, W) or (N, T, C, H, W), one after another (N * T, C, H, W),
    and the places in them of the samples ``index`` (B,): (B,) or (B, T).

    ``frames`` (B, T') chooses frames; without it all are meant, in order.
    """
    if values.ndim == 4:
        return values, index
    if frames is None:
        frames = torch.arange(values.shape[1], device=index.device)
    return values.flatten(0, 1), index[:, None] * values.shape[1] + frames


def open_batches(
    data: PreparedData,
    split: str,
    device: torch.device | str = "cpu",
    transforms: Mapping[str, InputTransform] | None = None,
    *,
    share: float = 0.3,
) -> Batches:
    """Return resident batches where the split takes at most ``share`` of the device's free memory, else streamed."""
    if split_bytes(data, split) <= share * free_bytes(torch.device(device)):
        return ResidentBatches(data, split, device, transforms)
    return StreamedBatches(data, split, device, transforms)


def split_bytes(data: PreparedData, split: str) -> int:
    """Return how much memory a split's modalities take on the device, with their float copies."""
    total = 0
    for name in data.modalities:
        array = data.array(split, name)
        total += max(array.nbytes, min(array.size * 4, FLOAT_COPY_BYTES))
    return total


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device; of the CPU what the kernel calls available."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo does not say how much memory is available")


def target_tensor(data: PreparedData, split: str, name: str) -> torch.Tensor:
    """Return a whole target of a split on the CPU, as losses want it."""
    return target_values(data, name, _tensor(data.array(split, name)))


def target_values(data: PreparedData, name: str, values: torch.Tensor) -> torch.Tensor:
    """Return labels as int64 whatever their stored width; other targets (depth) as float32."""
    kind = data.targets[name]["kind"]
    return values.long() if kind in ("classification", "segmentation") else values.float()


def mapped_tensor(data: PreparedData, split: str, name: str) -> torch.Tensor:
    """Return an array of a split as a tensor on its memory map; writing to it leaves the file alone."""
    return torch.from_numpy(data.array(split, name, mode="c"))


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return a copy of a read-only memory map as a tensor."""
    return torch.from_numpy(np.array(array))
