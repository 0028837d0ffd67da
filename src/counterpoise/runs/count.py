"""What a run takes on a device that is not here: its steps counted on torch's meta device, which computes nothing.

The very step that would train the run is taken there, with the optimiser's update, on a batch of the right shapes. Each
call is seen: its arithmetic (torch's own formulas), the bytes it reads and writes, the memory that is in use. The
seconds are arithmetic / rate + bytes / bandwidth + calls x seconds a call: what an eager step on one device comes to.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from counterpoise.components import load_class
from counterpoise.data.batches import FLOAT_COPY_BYTES
from counterpoise.declare import MethodInfo
from counterpoise.engine.evaluation import evaluation_batch
from counterpoise.engine.micro_batches import in_micro_batches
from counterpoise.engine.optimiser import build_optimiser
from counterpoise.engine.step import initial_state, step_function
from counterpoise.engine.whole_batch import outline, refusal
from counterpoise.methods.interface import LossMethod, Method, State, evaluating
from counterpoise.models.build import presented_shape
from counterpoise.models.network import Network
from counterpoise.planning.checks import validation_size
from counterpoise.planning.forms import Form
from counterpoise.protocol import Protocol
from counterpoise.runs.devices import Device

META = torch.device("meta")
FLOAT = 4  # bytes of a number of an input
RESIDENT_SHARE = 0.3  # of the free memory; larger splits are streamed (open_batches)
LOOKED_AT = 21
"""Epochs of which a method's work between epochs is counted: the first, and twenty that stand for all others."""

Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


@dataclass
class Work:
    """Floating-point operations, bytes read and written, and calls."""

    operations: float = 0
    moved: float = 0
    calls: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.moved + other.moved, self.calls + other.calls)

    def __mul__(self, factor: float) -> Work:
        return Work(self.operations * factor, self.moved * factor, self.calls * factor)

    def seconds(self, device: Device, precision: str) -> float:
        """Return how long a device works on it."""
        return self.operations / device.operations[precision] + self.moved / device.bandwidth + self.calls * device.call


@dataclass(frozen=True)
class Counted:
    """One step of a run, all of its epochs but for patience, and the most memory that is in use, in bytes.

    ``memory`` is without data that stays on the device, the device's libraries and what its allocator wastes;
    ``resident`` are the bytes of each split.
    """

    step: Work
    run: Work
    epochs: int
    memory: int
    resident: tuple[int, ...]
    precision: str

    def memory_on(self, device: Device) -> float:
        """Return the memory with the splits that are small enough to stay on a device."""
        room = RESIDENT_SHARE * ((device.memory or 0) - self.memory)
        return self.memory + sum(size for size in self.resident if size <= room)


def count_run(config: dict[str, Any], form: Form) -> Counted:
    """Count a run of a cell with the resolved configuration ``config`` on data of ``form``."""
    run = _run_of(config, form)
    method, protocol, samples = run.method, run.protocol, run.samples
    step, memory = run.step(method, run.state())
    epoch = step * run.steps_per_epoch
    evaluation, evaluation_memory = run.evaluation(method)
    evaluated = evaluation * (samples["test"] + samples["val"])
    between = run.between_epochs()
    total = epoch * protocol.epochs + evaluated * (protocol.epochs / protocol.evaluate_every) + between
    sizes = tuple(
        max(form.split_bytes(split), min(4 * form.split_bytes(split), FLOAT_COPY_BYTES))
        for split in samples
        if split in form.samples
    )
    return Counted(step, total, protocol.epochs, max(memory, evaluation_memory), sizes, protocol.precision)


def _run_of(config: dict[str, Any], form: Form) -> _Run:
    protocol = Protocol.model_validate(config["protocol"])
    method = load_class("method", config["method"]["name"])(**config["method"]["settings"])
    held_out = validation_size(config, form.samples) or 0
    train = form.samples["train"] - (0 if "val" in form.samples else held_out)
    samples = {"train": train, "val": held_out, "test": form.samples["test"]}
    return _Run(config, form, method, protocol, samples)


def micro_batch_that_fits(config: dict[str, Any], form: Form, needed: float, memory: float) -> int | None:
    """Return a half, a quarter, ... of a cell's batch: the largest ``micro_batch`` with which runs fit in ``memory``.

    None where none does, or where its method or network needs the whole batch at once. ``needed`` is the memory that
    its runs need as they are.
    """
    protocol = config["protocol"]
    if refusal(config, form, load_class):
        return None
    size = protocol.get("micro_batch") or protocol["batch_size"]
    most = size * memory / needed  # what grows with the batch is at most all of it
    while size > 1:
        size //= 2
        if size > most:
            continue
        # Two parts are as good as all for the memory, but for the inputs of the others, which wait on the device.
        run = _run_of(config | {"protocol": protocol | {"batch_size": 2 * size, "micro_batch": size}}, form)
        waiting = (protocol["batch_size"] - 2 * size) * FLOAT * sum(map(math.prod, run.shapes.values()))
        step, evaluation = run.step(run.method, run.state())[1] + waiting, run.evaluation(run.method)[1]
        if max(step, evaluation) <= memory:
            return size
    return None


class _Calls(TorchDispatchMode):
    """Notes of every call what it reads and writes, and of every storage when it comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def keep(self, values: Any) -> None:
        """Count the storages of tensors as in use until nothing refers to them."""
        for value in _tensors(values):
            storage = value.untyped_storage()
            number, size = storage._cdata, storage.nbytes()
            if number not in self._known:
                self._known.add(number)
                self.live += size
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._gone, number, size).atexit = False

    def _gone(self, number: int, size: int) -> None:
        self._known.discard(number)
        self.live -= size

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if not function.is_view:
            touched = sum(value.numel() * value.element_size() for value in _tensors((arguments, keywords, result)))
            count = flop_registry.get(function._overloadpacket)
            operations = count(*arguments, **(keywords or {}), out_val=result) if count else 0
            self.work += Work(operations, touched, 1)
        self.keep(result)
        return result


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class _Sum(LossMethod):
    """The plain sum of some objectives, which a method trains in a branch beside the run."""

    info = MethodInfo("sum", "Sum", family="loss", paper="", source="the plain sum of some objectives")

    def __init__(self, objectives: tuple[str, ...]) -> None:
        self.chosen = objectives

    def objectives(self, network: Network) -> tuple[str, ...]:
        return self.chosen


@dataclass
class _Run:
    """A run on the meta device; also what a method sees of it between epochs, where its work is added up."""

    config: dict[str, Any]
    form: Form
    method: Method
    protocol: Protocol
    samples: dict[str, int]
    network: Network = field(init=False)
    epoch: int = 0
    between: Work = field(default_factory=Work)
    branches: dict[tuple[str, ...], Work] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = {name: tuple(self.form.modalities[name]["shape"]) for name in self.config["model"]["encoders"]}
        self.network = outline(self.config, self.form, load_class)
        self.shapes = {n: presented_shape(s, self.config["model"]["inputs"].get(n)) for n, s in shapes.items()}

    @property
    def steps_per_epoch(self) -> int:
        count, size = self.samples["train"], self.protocol.batch_size
        return count // size if self.protocol.drop_last else -(-count // size)

    def batch(self, size: int) -> Batch:
        inputs = {name: torch.empty(size, *shape, device=META) for name, shape in self.shapes.items()}
        targets = {}
        for name, target in self.form.targets.items():
            depth = target.get("kind") == "depth"
            dtype = torch.float32 if depth else torch.int64
            targets[name] = torch.empty(size, *target.get("shape", ()), dtype=dtype, device=META)
        return inputs, targets

    def state(self) -> State:
        self.epoch = 0
        state = {name: value.to(META) for name, value in initial_state(self.method, self.network).items()}
        return self.method.start_epoch(self, state)

    def step(self, method: Method, state: State) -> tuple[Work, int]:
        """Return the work of one step, and the most memory that it needs once the optimiser has its state."""
        autocast = torch.bfloat16 if self.protocol.precision == "bf16" else None
        step = step_function(method, self.network, autocast=autocast)
        if self.protocol.micro_batch is not None:
            step = in_micro_batches(step, self.protocol.micro_batch)
        optimiser = build_optimiser(self.network, self.protocol)
        calls = _Calls()
        self.network.train()
        with calls:
            calls.keep([*self.network.parameters(), *self.network.buffers(), list(state.values())])
            inputs, targets = self.batch(min(self.protocol.batch_size, self.samples["train"]))
            for _ in range(2):  # the first one makes the optimiser's state
                calls.work = Work()
                _, state = step(inputs, targets, state, self.epoch, torch.Generator())
                optimiser.step()
        for parameter in self.network.parameters():
            parameter.grad = None
        return calls.work, calls.peak

    def evaluation(self, method: Method) -> tuple[Work, int]:
        """Return the work of predicting one sample, and the most memory that a batch of them needs."""
        network = self.network
        whole = min(evaluation_batch(network), max(self.samples["test"], self.samples["val"]))
        size = min(whole, self.protocol.micro_batch or whole)
        calls = _Calls()
        with calls, evaluating(network), torch.no_grad():
            waiting, _ = self.batch(whole - size)
            calls.keep([*network.parameters(), *network.buffers(), *waiting.values()])
            inputs, _ = self.batch(size)
            calls.work = Work()
            method.predict(network, network.encode(inputs, method.encoders(network)))
        return calls.work * (1 / size), calls.peak

    def between_epochs(self) -> Work:
        """Return the work between all epochs, of methods that have some there."""
        if all(getattr(type(self.method), name) is getattr(Method, name) for name in ("start_epoch", "end_epoch")):
            return Work()
        state, each = self.state(), []
        for epoch in range(min(self.protocol.epochs, LOOKED_AT)):
            self.epoch, self.between = epoch, Work()
            state = self.method.start_epoch(self, state)
            state = self.method.end_epoch(self, state)
            each.append(self.between)
        first, *others = each
        if not others:
            return first
        return first + sum(others, Work()) * ((self.protocol.epochs - 1) / len(others))

    @functools.cached_property
    def forward(self) -> Work:
        """The work of all objectives' predictions of one sample."""
        return self.evaluation(_Sum(self.network.objectives))[0]

    # -- what a method may ask between epochs (counterpoise.methods.interface.Epoch)

    def generator(self, name: str) -> torch.Generator:
        return torch.Generator()

    def batches(self, split: str, fraction: float = 1.0) -> Iterator[Batch]:
        """Yield one batch, for the shapes; the work is that of all."""
        self.between += self.forward * (fraction * self.samples[split])
        yield self.batch(2)

    def objective_losses(self, split: str, network: Network | None = None) -> dict[str, Tensor]:
        self.between += self.forward * self.samples[split]
        return {name: torch.empty((), device=META) for name in self.network.objectives}

    def train_branch(self, objectives: tuple[str, ...], epochs: int) -> Network:
        if objectives not in self.branches:
            self.branches[objectives] = self.step(_Sum(objectives), {})[0]
        self.between += self.branches[objectives] * (epochs * self.steps_per_epoch)
        return self.network
