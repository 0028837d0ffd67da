"""Batches for training and evaluation, in an order that the caller gives.

Data that fits lives on the training device and is indexed there (:class:`ResidentBatches`); larger data is
read from the memory map by threads that stay a few batches ahead (:class:`StreamedBatches`). Both give the
same numbers.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import channel_axis
from counterpoise.data.transforms import Draw, InputTransform

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
            raise ValueError(
                f"transforms of {sorted(unknown)}, but the modalities are {sorted(data.modalities)}"
            )
        self._normalisers = {name: Normaliser(entry, self.device) for name, entry in data.modalities.items()}
        self._counts = {
            name: torch.from_numpy(np.array(data.array(split, f"{name}_frames")))
            for name in data.modalities
            if f"{name}_frames" in data.extras
        }

    def __len__(self) -> int:
        return self.data.size(self.split)

    def batches(
        self, order: torch.Tensor, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Batch]:
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

    def _finish(self, name: str, values: torch.Tensor, draws: Mapping[str, Draw]) -> torch.Tensor:
        """Present and normalise the stored ``values`` of a modality, which are on the device."""
        if name in draws:
            values = self.transforms[name].apply(values, draws[name])
        return self._normalisers[name](values)


class ResidentBatches(Batches):
    """The whole split on the device, as stored; normalised as floats at once where that is small."""

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
        for name in data.modalities:
            values = _tensor(data.array(split, name)).to(self.device)
            if name not in self.transforms and values.numel() * 4 <= FLOAT_COPY_BYTES:
                values = self._normalisers[name](values)
                self._ready.add(name)
            self._inputs[name] = values
        self._targets = {name: target_tensor(data, split, name).to(self.device) for name in data.targets}

    def batches(
        self, order: torch.Tensor, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """See :meth:`Batches.batches`."""
        for index in self._checked(order).split(size):
            draws = self._draws(index, generator)
            place = index.to(self.device, non_blocking=True)
            inputs = {name: self._input(name, place, draws) for name in self._inputs}
            targets = {name: values.index_select(0, place) for name, values in self._targets.items()}
            yield inputs, targets, index

    def _input(self, name: str, place: torch.Tensor, draws: Mapping[str, Draw]) -> torch.Tensor:
        values = self._inputs[name]
        frames = draws[name].frames if name in draws else None
        if frames is not None:
            flat = values.reshape(-1, *values.shape[2:])
            places = place[:, None] * values.shape[1] + frames.to(self.device, non_blocking=True)
            chosen = flat.index_select(0, places.reshape(-1)).reshape(len(place), -1, *values.shape[2:])
        else:
            chosen = values.index_select(0, place)
        return chosen if name in self._ready else self._finish(name, chosen, draws)


class StreamedBatches(Batches):
    """Batches read from the memory map by ``threads`` threads, ``depth`` batches ahead, through pinned
    memory.
    """

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
        self._arrays = {name: data.array(split, name) for name in (*data.modalities, *data.targets)}
        self._pin = self.device.type == "cuda"

    def batches(
        self, order: torch.Tensor, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Batch]:
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
        rows = index.numpy()
        found = {}
        for name, array in self._arrays.items():
            frames = draws[name].frames if name in draws else None
            if frames is None:
                found[name] = self._gather(array, rows)
            else:
                flat = array.reshape(-1, *array.shape[2:])
                places = (rows[:, None] * array.shape[1] + frames.numpy()).reshape(-1)
                found[name] = self._gather(flat, places).reshape(len(rows), -1, *array.shape[2:])
        return found

    def _gather(self, array: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
        out = torch.empty((len(rows), *array.shape[1:]), dtype=kind, pin_memory=self._pin)
        np.take(array, rows, axis=0, out=out.numpy(), mode="clip")
        return out

    def _deliver(
        self, index: torch.Tensor, draws: dict[str, Draw], future: concurrent.futures.Future
    ) -> Batch:
        found = {name: values.to(self.device, non_blocking=True) for name, values in future.result().items()}
        inputs = {name: self._finish(name, found[name], draws) for name in self.data.modalities}
        targets = {name: target_values(self.data, name, found[name]) for name in self.data.targets}
        return inputs, targets, index


class Normaliser:
    """Stored values of one modality to floats: the integer scale, then the mean and the standard
    deviation.
    """

    def __init__(self, entry: Mapping[str, object], device: torch.device) -> None:
        self._scale = SCALES.get(entry["dtype"], 1.0)
        self._mean = self._factor = None
        if entry["mean"] is not None:
            shape = [1] * len(entry["shape"])
            shape[channel_axis(entry["shape"])] = -1
            mean = torch.tensor(entry["mean"], dtype=torch.float32).reshape(shape)
            std = torch.tensor(entry["std"] or [1.0], dtype=torch.float32).reshape(shape)
            self._mean = (mean * self._scale).to(device)
            self._factor = (1.0 / (std * self._scale)).to(device)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return ``values`` (B, ...) as normalised float32."""
        floats = values.float()
        if self._mean is not None:
            # In place where a copy was made: a fresh megabyte of memory costs more than the arithmetic on it.
            floats = floats - self._mean if floats is values else floats.sub_(self._mean)
            return floats.mul_(self._factor)
        return floats if self._scale == 1.0 else floats * (1.0 / self._scale)


def open_batches(
    data: PreparedData,
    split: str,
    device: torch.device | str = "cpu",
    transforms: Mapping[str, InputTransform] | None = None,
    *,
    share: float = 0.3,
) -> Batches:
    """Return resident batches where the split takes at most ``share`` of the device's free memory, else
    streamed.
    """
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


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return a copy of a read-only memory map as a tensor."""
    return torch.from_numpy(np.array(array))
