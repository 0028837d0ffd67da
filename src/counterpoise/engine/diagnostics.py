"""What happens inside the steps of a run: losses, gradients' angles and norms, weights, coefficients, updates, times.

A :class:`Recorder` is handed to the step function when a protocol asks for diagnostics. Values stay on the
device until the epoch ends and then come over in one transfer, so that recording adds no synchronisation to a
step. The numbers that are recorded are computed beside the training and change none of it.

Columns (``<e>`` an encoder, ``<o>`` a trained objective; all unimodal losses together are one, ``unimodal``,
where they all reach an encoder):

* ``loss.<o>``: each trained loss on the batch.
* ``norm.<o>.<e>``, ``cosine.<o>.<p>.<e>``: norm of each objective's gradient in an encoder, and the cosine of
  each pair; with every method, whether or not it combines them.
* ``min_norm.<e>``: norm of the smallest convex combination of these gradients, whatever the method used.
* ``combined_norm.<e>``: norm of the gradient that the optimiser gets.
* ``weight.<o>.<e>``: the weight of each gradient (methods that combine them).
* ``coefficient.<e>``: what the gradient was scaled by (methods that scale).
* ``update_norm.<e>``: norm of the optimiser's step.
* ``integration_seconds.<e>``: Gramian, formula and combination, without the backward passes.
* ``step_seconds``: the whole step, from the batch on the device to the moved parameters; recording is not
  counted.

GradNorm looks at an encoder's last layer alone; with it, gradients are those of that layer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from counterpoise.engine import gradients as engine
from counterpoise.methods.min_norm import LARGEST_NUMBER, min_norm_weights
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
        self._seconds: list[dict[str, list[_Span]]] = [{}]
        self._before: dict[str, list[Tensor]] = {}
        self._began: float | Event = self._now()

    def record(self, name: str, value: Tensor) -> None:
        """Note a scalar of the current step."""
        self._values[-1][name] = value.detach().double()

    def losses(self, losses: dict[str, Tensor]) -> None:
        """Note the loss of each objective."""
        for name, value in losses.items():
            self.record(f"loss.{name}", value)

    def coefficients(self, modalities: tuple[str, ...], values: Tensor) -> None:
        """Note the coefficient of each modality, ``(M,)``."""
        for name, value in zip(modalities, values.unbind(), strict=True):
            self.record(f"coefficient.{name}", value)

    def separate(self, losses: dict[str, Tensor], encoders: Iterable[str]) -> None:
        """Note what each objective's gradient is in each encoder, where the step took that of the sum alone.

        Costs a backward pass per objective and encoder. ``losses`` must still have their graph; ``.grad`` is
        what the optimiser gets.
        """
        with self._aside():
            self.losses(losses)
            groups = engine.integrated_objectives(self.network, tuple(losses))
            for encoder in encoders:
                parameters = engine.trainable(self.network.encoders[encoder])
                if not parameters:
                    continue
                reaching = engine.objectives_of(self.network, encoder, groups)
                totals = [torch.stack([losses[name] for name in names]).sum() for names in reaching.values()]
                gradients = [
                    list(torch.autograd.grad(total, parameters, retain_graph=True, materialize_grads=True))
                    for total in totals
                ]
                self._gradients(encoder, tuple(reaching), gradients, engine.gramian(gradients).sum(dim=0))
                used = [p.grad for p in parameters if p.grad is not None]
                if used:
                    self.record(f"combined_norm.{encoder}", engine.total_norm(used))

    def integration(
        self, encoder: str, objectives: tuple[str, ...], gradients: list[engine.Gradients], result: engine.Integration
    ) -> None:
        """Note what one encoder's gradients were and what was made of them."""
        with self._aside():
            self._gradients(encoder, objectives, gradients, result.gramian)
            for i, name in enumerate(objectives):
                self.record(f"weight.{name}.{encoder}", result.weights[..., i].mean())
            self.record(f"combined_norm.{encoder}", engine.total_norm(result.combined))

    def _gradients(
        self, encoder: str, objectives: tuple[str, ...], gradients: list[engine.Gradients], gramian: Tensor
    ) -> None:
        size = gramian.diagonal().clamp_min(0.0).sqrt()
        for i, name in enumerate(objectives):
            self.record(f"norm.{name}.{encoder}", size[i])
            for j in range(i):
                length = size[i] * size[j]
                cosine = torch.where(length > 0, gramian[i, j] / length, torch.nan)
                self.record(f"cosine.{objectives[j]}.{name}.{encoder}", cosine)
        if len(objectives) <= LARGEST_NUMBER:
            # From the vectors, not from the Gramian, which loses its digits where they nearly cancel.
            smallest = engine.combine(gradients, min_norm_weights(gramian))
            self.record(f"min_norm.{encoder}", engine.total_norm(smallest))

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a block of the current step, and add it to what ``name`` already took in it: by the device's
        own clock on a GPU, without waiting for it."""
        start = self._now()
        yield
        self._seconds[-1].setdefault(name, []).append((start, self._now()))

    def _aside(self) -> contextlib.AbstractContextManager[None]:
        """Time a block that is the recorder's own."""
        return self.timed(_OWN)

    def _now(self) -> float | Event:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def begin_step(self) -> None:
        """Start the clock of a step, which :meth:`after_update` stops."""
        self._began = self._now()

    def before_update(self) -> None:
        """Remember the encoders' parameters before the optimiser changes them."""
        with self._aside():
            self._before = {name: [p.detach().clone() for p in owned] for name, owned in self._trained()}

    def after_update(self) -> None:
        """Note how far each encoder moved, and end the step's row."""
        self._seconds[-1]["step_seconds"] = [(self._began, self._now())]
        for name, owned in self._trained():
            change = torch._foreach_sub([p.detach() for p in owned], self._before[name])
            self.record(f"update_norm.{name}", engine.total_norm(change))  # type: ignore[arg-type]
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
        for index, (row, spans) in enumerate(zip(rows, seconds, strict=True)):
            row["step"] = index
            taken = {name: sum(_elapsed(*span) for span in found) for name, found in spans.items()}
            taken["step_seconds"] -= taken.pop(_OWN, 0.0)
            row |= taken
        return rows

    def _trained(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Return the encoders' parameters that are trained; an encoder without any is left out."""
        owned = [(name, engine.trainable(module)) for name, module in self.network.encoders.items()]
        return [(name, parameters) for name, parameters in owned if parameters]


_OWN = "recording"

_Span = tuple["float | Event", "float | Event"]
"""Beginning and end of a block: seconds, or events on a GPU."""


def _elapsed(start: float | Event, end: float | Event) -> float:
    if isinstance(start, float):
        return end - start  # type: ignore[operator]  # both are moments of one clock
    end.synchronize()  # type: ignore[union-attr]
    return start.elapsed_time(end) / 1000  # type: ignore[arg-type]


def is_time(column: str) -> bool:
    """Return whether a column holds times, which no two runs repeat, and no result."""
    return "_seconds" in column


def first_below(rows: list[Row], column: str, tolerance: float) -> int | None:
    """Return the first step whose value in a column is below a tolerance (MMPareto, Table 9), if there is one."""
    for row in rows:
        if row[column] < tolerance:
            return int(row["step"])
    return None
