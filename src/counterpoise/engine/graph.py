"""The whole training step as one CUDA graph: captured once an epoch, then replayed by a single call.

A step of a small network takes longer to launch, call by call, than to compute. Steps wait for nothing and
branch on no value, so that one of them can stand for all that follow with the same shapes. What a step takes
from the host is fixed in the graph: the learning rate and the epoch (hence a graph for each epoch), and the
addresses of everything it reads and writes (hence inputs that are copied to one place, and a method's state
that is written back in place).

A graph is not trusted: the first of a run is compared with the step itself, from the same state with the
same seed, and has to leave the same bits in every tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from counterpoise.engine.gradients import integrated_objectives
from counterpoise.errors import UserError
from counterpoise.methods.interface import IntegrationMethod, Method, ModulationMethod
from counterpoise.models.network import Network

Tensors = dict[str, Tensor]
Body = Callable[[Tensors, Tensors], Tensors]
"""(inputs, targets) -> losses by objective; moves everything else in place."""

WARM_UP = 3
"""Steps of an epoch that are taken call by call before one is captured: libraries choose their kernels and
optimisers make their buffers in the first."""


class Capturer(Protocol):
    """What captures the calls that go to a device."""

    def warm_up(self, body: Callable[[], Tensors]) -> Tensors:
        """Run ``body`` in the way that it will be captured in."""

    def capture(self, body: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        """Return what makes the calls of ``body`` again, and the tensors in which its results will be.

        Nothing has been computed when this returns.
        """


class CudaCapturer:
    """Captures on a CUDA device, see :class:`torch.cuda.CUDAGraph`.

    Raises:
        UserError: the device is not a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise UserError(f"protocol: execution: 'cuda_graph' needs a CUDA device, not {device.type}")

    def warm_up(self, body: Callable[[], Tensors]) -> Tensors:
        """See :meth:`Capturer.warm_up`: on a stream of its own."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            found = body()
        current.wait_stream(stream)
        return found

    def capture(self, body: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        """See :meth:`Capturer.capture`."""
        graph = torch.cuda.CUDAGraph()
        # Threads that read ahead may allocate pinned memory meanwhile, which only the thread here must not.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            found = body()
        return graph.replay, found


class GraphedStep:
    """A step that is captured and replayed.

    Args:
        body: takes one step with what it is given and moves parameters, optimiser and state in place.
        moved: returns every tensor that a step may change, for the check of the first graph.
        seed: seeds what layers draw from: for this step with 0, otherwise with another seed.
    """

    def __init__(
        self, body: Body, moved: Callable[[], list[Tensor]], seed: Callable[[int], None], capturer: Capturer
    ) -> None:
        self._body = body
        self._moved = moved
        self._seed = seed
        self._capturer = capturer
        self._checked = False
        self.start_epoch()

    def start_epoch(self) -> None:
        """Forget the graph: the epoch and the learning rate are others now."""
        self._taken = 0
        self._replay: Callable[[], None] | None = None
        self._inputs: Tensors = {}
        self._targets: Tensors = {}
        self._losses: Tensors = {}

    def __call__(self, inputs: Tensors, targets: Tensors) -> Tensors:
        """Take a step; the losses returned are overwritten by the next one."""
        self._taken += 1
        if self._taken <= WARM_UP:
            return self._capturer.warm_up(lambda: self._body(inputs, targets))
        if self._replay is None:
            self._capture(inputs, targets)
        if _shapes(inputs) != _shapes(self._inputs):  # the last batch of an epoch is short
            return self._body(inputs, targets)
        for place, values in ((self._inputs, inputs), (self._targets, targets)):
            for name, value in values.items():
                place[name].copy_(value)
        self._replay()
        return self._losses

    def _capture(self, inputs: Tensors, targets: Tensors) -> None:
        self._inputs = {name: value.clone() for name, value in inputs.items()}
        self._targets = {name: value.clone() for name, value in targets.items()}
        self._replay, self._losses = self._capturer.capture(lambda: self._body(self._inputs, self._targets))
        if not self._checked:
            self._check()
            self._checked = True

    def _check(self) -> None:
        """Compare the graph with the step itself; leave everything as it was before.

        Inputs and seed are others than when it was captured: a graph that holds on to those is found out.

        Raises:
            UserError: they do not leave the same bits.
        """
        for values in self._inputs.values():
            values.copy_(values.roll(1, dims=0))
        start = [tensor.clone() for tensor in self._moved()]
        found = {}
        ways = {"step": lambda: self._body(self._inputs, self._targets), "graph": self._replay}
        for name, way in ways.items():
            self._seed(1)
            way()
            found[name] = [tensor.clone() for tensor in self._moved()]
            for tensor, value in zip(self._moved(), start, strict=True):
                tensor.copy_(value)
        self._seed(0)
        pairs = zip(found["step"], found["graph"], strict=True)
        if not all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs):
            raise UserError(
                "protocol: execution: 'cuda_graph' does not compute what the step does for this method and "
                "network on this device; allowed: eager"
            )


def _shapes(tensors: Tensors) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def check_no_draws(method: Method, network: Network) -> None:
    """Say no to a method that draws random numbers in its steps: a graph would draw the same ones again.

    Raises:
        UserError: the method does.
    """
    draws = isinstance(method, ModulationMethod) and method.noise
    if isinstance(method, IntegrationMethod):
        objectives = len(integrated_objectives(network, method.objectives(network)))
        draws = method.random_numbers(objectives) > 0
    if draws:
        raise UserError(
            f"protocol: execution: 'cuda_graph' cannot capture '{method.info.name}', which draws random "
            "numbers in every step; allowed: eager"
        )
