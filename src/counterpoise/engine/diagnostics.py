"""What happens inside the steps of a run: angles and norms of gradients, weights, coefficients, update norms,
times.

A :class:`Recorder` is handed to the step function when a protocol asks for diagnostics. Values stay on the
device until the epoch ends and then come over in one transfer, so that recording adds no synchronisation to a
step. The numbers that are recorded are computed beside the training and change none of it.

Columns (``<e>`` an encoder, ``<o>`` an objective): ``norm.<o>.<e>``, ``cosine.<o>.<p>.<e>`` for each pair of
objectives, ``weight.<o>.<e>``, ``combined_norm.<e>``, ``min_norm.<e>`` (the norm of the smallest convex
combination, whatever the method used), ``coefficient.<e>``, ``update_norm.<e>`` (of the optimiser's step),
and ``integration_seconds.<e>`` (Gramian, formula and combination; without the backward passes).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from counterpoise.engine import gradients as engine
from counterpoise.methods.min_norm import min_norm_weights
from counterpoise.models.network import Network

if TYPE_CHECKING:
    from torch.cuda import Event

Row = dict[str, float]


class Recorder:
    """Collects one row per training step.

    The loop calls :meth:`before_update` and :meth:`after_update` around the optimiser's step (the second ends
    the row) and :meth:`flush` after every epoch. Everything else is called by the step.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.device = next(network.parameters()).device
        self._values: list[dict[str, Tensor]] = [{}]
        self._seconds: list[dict[str, float | tuple[Event, Event]]] = [{}]
        self._before: dict[str, list[Tensor]] = {}

    def record(self, name: str, value: Tensor) -> None:
        """Note a scalar of the current step."""
        self._values[-1][name] = value.detach().double()

    def coefficients(self, modalities: tuple[str, ...], values: Tensor) -> None:
        """Note the coefficient of each modality, ``(M,)``."""
        for name, value in zip(modalities, values.unbind(), strict=True):
            self.record(f"coefficient.{name}", value)

    def integration(
        self, encoder: str, objectives: tuple[str, ...], gradients: list[engine.Gradients], result: engine.Integration
    ) -> None:
        """Note what one encoder's gradients were and what was made of them."""
        size = result.gramian.diagonal().clamp_min(0.0).sqrt()
        for i, name in enumerate(objectives):
            self.record(f"norm.{name}.{encoder}", size[i])
            self.record(f"weight.{name}.{encoder}", result.weights[..., i].mean())
            for j in range(i):
                length = size[i] * size[j]
                cosine = torch.where(length > 0, result.gramian[i, j] / length, torch.nan)
                self.record(f"cosine.{objectives[j]}.{name}.{encoder}", cosine)
        # From the vectors, not from the Gramian, which loses its digits where they nearly cancel.
        smallest = engine.combine(gradients, min_norm_weights(result.gramian))
        self.record(f"min_norm.{encoder}", engine.total_norm(smallest))
        self.record(f"combined_norm.{encoder}", engine.total_norm(result.combined))

    @contextlib.contextmanager
    def timed(self, encoder: str) -> Iterator[None]:
        """Time a block of the current step: by the device's own clock on a GPU, without waiting for it."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            yield
            self._seconds[-1][f"integration_seconds.{encoder}"] = time.perf_counter() - start
            return
        events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        events[0].record()
        yield
        events[1].record()
        self._seconds[-1][f"integration_seconds.{encoder}"] = events

    def before_update(self) -> None:
        """Remember the encoders' parameters before the optimiser changes them."""
        self._before = {
            name: [p.detach().clone() for p in engine.trainable(module)] for name, module in self._encoders()
        }

    def after_update(self) -> None:
        """Note how far each encoder moved, and end the step's row."""
        for name, module in self._encoders():
            change = torch._foreach_sub([p.detach() for p in engine.trainable(module)], self._before[name])
            self.record(f"update_norm.{name}", engine.total_norm(change))
        self._before = {}
        self._values.append({})
        self._seconds.append({})

    def flush(self) -> list[Row]:
        """Return the finished rows since the last flush, as plain numbers; ``step`` counts them from 0."""
        values, self._values = self._values[:-1], self._values[-1:]
        seconds, self._seconds = self._seconds[:-1], self._seconds[-1:]
        flat = [value for row in values for value in row.values()]
        numbers = iter(torch.stack(flat).tolist() if flat else [])
        rows = [{name: next(numbers) for name in row} for row in values]
        for index, (row, timings) in enumerate(zip(rows, seconds, strict=True)):
            row["step"] = index
            row |= {name: _elapsed(timing) for name, timing in timings.items()}
        return rows

    def _encoders(self) -> list[tuple[str, nn.Module]]:
        return list(self.network.encoders.items())


def _elapsed(timing: float | tuple[Event, Event]) -> float:
    if isinstance(timing, float):
        return timing
    start, end = timing
    end.synchronize()
    return start.elapsed_time(end) / 1000


def first_below(rows: list[Row], column: str, tolerance: float) -> int | None:
    """Return the first step whose value in a column is below a tolerance (MMPareto, Table 9), if there is
    one.
    """
    for row in rows:
        if row[column] < tolerance:
            return int(row["step"])
    return None
