"""The training loop: one for every method, dataset and architecture.

Everything random comes from the run's named streams, and everything that the next step depends on is in the
run state, so a run that is stopped at any step and resumed gives the same bits.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from counterpoise.data.batches import Batches
from counterpoise.declare import MethodInfo
from counterpoise.engine.diagnostics import Recorder, Row
from counterpoise.engine.graph import Capturer, CudaCapturer, GraphedStep, check_no_draws
from counterpoise.engine.optimiser import (
    build_optimiser,
    learning_rate,
    optimiser_tensors,
    restore_optimiser,
    set_learning_rate,
)
from counterpoise.engine.selection import Logits, Selections
from counterpoise.engine.step import initial_state, step_function
from counterpoise.engine.streams import generator, seed_layers, stream_seed
from counterpoise.methods.interface import LossMethod, Method, State
from counterpoise.models.network import JOINT, Network
from counterpoise.models.tasks import DENSE, dense_score, dense_statistics
from counterpoise.protocol import Protocol
from counterpoise.runs.checkpoint import Checkpoints, RunState

LARGEST_LOSS = 1e6
EVALUATION_BATCH = 512
DENSE_EVALUATION_BATCH = 16


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""


@dataclass
class Data:
    """The splits that a run sees. ``train_order`` indexes the samples that are trained on."""

    train: Batches
    train_order: Tensor
    train_plain: Batches
    test: Batches
    val: Batches | None = None
    val_order: Tensor | None = None

    def split(self, name: str) -> tuple[Batches, Tensor]:
        """Return a split's batches without augmentation and the order of its samples."""
        if name == "train":
            return self.train_plain, self.train_order
        if name == "val" and self.val is not None:
            return self.val, self.val_order
        if name == "test":
            return self.test, torch.arange(len(self.test))
        raise ValueError(f"this run has no split '{name}'")


@dataclass
class Control:
    """How a run is watched and stopped: ``stop`` is asked every step, ``report`` gets every epoch's row."""

    stop: Callable[[], bool] = lambda: False
    report: Callable[[int, dict[str, float]], None] = lambda epoch, row: None
    save_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic


@dataclass
class Progress:
    """Where a run is and what it has found so far; ``seconds`` counts all attempts up to their last save.

    ``steps`` has a row of diagnostics for every step, where the protocol asks for them.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    selections: Selections = field(default_factory=Selections)
    diverged: str = ""
    seconds: float = 0.0
    steps: list[Row] = field(default_factory=list)


class Trainer:
    """One run. Also what methods see between epochs (:class:`counterpoise.methods.interface.Epoch`)."""

    def __init__(
        self,
        network: Network,
        method: Method,
        protocol: Protocol,
        data: Data,
        seed: int,
        device: torch.device,
        capturer: Capturer | None = None,
    ) -> None:
        self.method = method
        self.protocol = protocol
        self.data = data
        self.seed = seed
        self.device = device
        self.network = network.to(device, memory_format=_memory_format(protocol))
        self.objectives = method.objectives(network)
        self.recorder = Recorder(self.network) if protocol.diagnostics else None
        self.step_of = step_function(method, self.network, recorder=self.recorder)
        self.optimiser = build_optimiser(self.network, protocol)
        self.state: State = {k: v.to(device) for k, v in initial_state(method, self.network).items()}
        self.progress = Progress()
        self._sums = self._new_sums()
        self._graphed: GraphedStep | None = None
        if protocol.execution == "cuda_graph":
            check_no_draws(method, self.network)
            self._silent = torch.Generator(device)  # no graph draws
            self._graphed = GraphedStep(
                self._update_in_place, self._moved, self._seed_layers, capturer or CudaCapturer(device)
            )

    # -- what methods may ask

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self.progress.epoch

    def generator(self, name: str) -> torch.Generator:
        """Return the run's random stream ``name`` of this epoch, on the CPU."""
        return generator(self.seed, f"method/{name}", self.epoch)

    def batches(self, split: str, fraction: float = 1.0) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Yield (inputs, targets) of a split without augmentation; ``fraction`` < 1 takes a random subset."""
        source, order = self.data.split(split)
        if fraction < 1:
            shuffled = torch.randperm(len(order), generator=self.generator(f"subset/{split}"))
            order = order[shuffled[: max(1, round(fraction * len(order)))]]
        dense = any(self.network.kind(name) in DENSE for name in self.network.objectives)
        for inputs, targets, _ in source.batches(order, DENSE_EVALUATION_BATCH if dense else EVALUATION_BATCH):
            yield self._formatted(inputs), targets

    def objective_losses(self, split: str, network: Network | None = None) -> dict[str, Tensor]:
        """Return every objective's mean loss over a split, in evaluation mode."""
        network = self.network if network is None else network
        total = dict.fromkeys(network.objectives, torch.zeros((), device=self.device))
        count = 0
        with _evaluating(network):
            for inputs, targets in self.batches(split):
                outputs = network.predict(network.encode(inputs), network.objectives)
                size = len(next(iter(targets.values())))
                for name, logits in outputs.items():
                    total[name] = total[name] + size * network.loss(name, logits, targets[network.targets[name]])
                count += size
        return {name: value / count for name, value in total.items()}

    def train_branch(self, objectives: tuple[str, ...], epochs: int) -> Network:
        """Return a copy of the network trained for ``epochs`` epochs on the plain sum of ``objectives``."""
        name = "+".join(objectives)
        branch_seed = stream_seed(self.seed, f"branch/{name}", self.epoch)
        method = _Branch(objectives)
        protocol = self.protocol.model_copy(update={"diagnostics": False, "execution": "eager"})
        trainer = Trainer(copy.deepcopy(self.network), method, protocol, self.data, branch_seed, self.device)
        for _ in range(epochs):
            trainer._train_epoch(lambda: None)
            trainer.progress.epoch += 1
        return trainer.network

    # -- the loop

    def run(self, checkpoints: Checkpoints | None = None, control: Control | None = None) -> Progress:
        """Train to the protocol's end, or until stopped or diverged, and return what was found.

        Raises:
            Interrupted: ``control.stop()`` said so; the state is saved.
        """
        control = control or Control()
        save = _Saver(self, checkpoints, control)
        while not self._is_over():
            if self._step_in_epoch() == 0:
                self.state = self.method.start_epoch(self, self.state)
            self._train_epoch(save.if_due_or_stopped)
            self._check_losses()
            self._collect_steps()
            if not self.progress.diverged:
                self.state = self.method.end_epoch(self, self.state)
                self._evaluate()
            self.progress.epoch += 1
            self._sums = self._new_sums()
            control.report(self.progress.epoch, self.progress.history[-1] if self.progress.history else {})
            if not self._is_over():
                save.if_due_or_stopped()
        save.count_time()
        return self.progress

    def _is_over(self) -> bool:
        done = self.progress.epoch >= self.protocol.epochs
        return done or bool(self.progress.diverged) or self._out_of_patience()

    def _steps_per_epoch(self) -> int:
        count, size = len(self.data.train_order), self.protocol.batch_size
        return count // size if self.protocol.drop_last else -(-count // size)

    def _step_in_epoch(self) -> int:
        return self.progress.step - self.progress.epoch * self._steps_per_epoch()

    def _train_epoch(self, between_steps: Callable[[], None]) -> None:
        self.network.train()
        if self._graphed is not None:
            self.state = {name: value.clone() for name, value in self.state.items()}  # written in place
            self._graphed.start_epoch()
        epoch, steps = self.progress.epoch, self._steps_per_epoch()
        shuffled = torch.randperm(len(self.data.train_order), generator=generator(self.seed, "shuffle", epoch))
        order = self.data.train_order[shuffled][: steps * self.protocol.batch_size]
        augment = generator(self.seed, "augment", epoch)
        batches = self.data.train.batches(order, self.protocol.batch_size, augment)
        # Steps done before an interruption are drawn again, so that augmentation goes on where it was.
        for inputs, targets, _ in itertools.islice(batches, self._step_in_epoch(), None):
            self._train_step(inputs, targets)
            self.progress.step += 1
            if self._step_in_epoch() < steps:
                between_steps()

    def _train_step(self, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
        epoch, step = self.progress.epoch, self.progress.step
        rate = learning_rate(self.protocol.optimiser.lr, self.protocol.schedule, epoch, step)
        set_learning_rate(self.optimiser, rate)
        self._seed_layers()
        inputs = self._formatted(inputs)
        if self._graphed is not None:
            losses = self._graphed(inputs, targets)
        else:
            noise = generator(self.seed, "noise", epoch, step, device=self.device)
            losses = self._update(inputs, targets, noise)
        self._accumulate(losses)

    def _seed_layers(self, trial: int = 0) -> None:
        """Seed what layers draw from in this step; ``trial`` 1 and on are for steps that do not count."""
        numbers = (self.progress.epoch, self.progress.step, trial)
        seed_layers(stream_seed(self.seed, "dropout", *numbers[: 3 if trial else 2]), self.device)

    def _update(
        self, inputs: dict[str, Tensor], targets: dict[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Move the network and the method's state by one batch; return the losses before it."""
        with self._autocast():
            losses, self.state = self.step_of(inputs, targets, self.state, self.progress.epoch, noise)
        if self.protocol.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.protocol.clip_norm, foreach=True)
        if self.recorder is not None:
            self.recorder.before_update()
        self.optimiser.step()
        if self.recorder is not None:
            self.recorder.after_update()
        return losses

    def _update_in_place(self, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Move as :meth:`_update` does, the method's state too where it stands."""
        before = self.state
        losses = self._update(inputs, targets, self._silent)
        # All are copied before one is written: the next state may be made of the last one's tensors.
        found = {name: value.clone() for name, value in self.state.items()}
        for name, value in found.items():
            before[name].copy_(value)
        self.state = before
        return losses

    def _moved(self) -> list[Tensor]:
        """Return everything that a step changes."""
        network = [*self.network.parameters(), *self.network.buffers()]
        moved = [*network, *optimiser_tensors(self.optimiser).values(), *self.state.values()]
        return [tensor.detach() for tensor in moved]

    def _collect_steps(self) -> None:
        """Bring the diagnostics of the steps since the last time over from the device."""
        if self.recorder is not None:
            first = len(self.progress.steps)
            self.progress.steps += [row | {"step": first + place} for place, row in enumerate(self.recorder.flush())]

    def _accumulate(self, losses: dict[str, Tensor]) -> None:
        """Add up the losses and note the first step whose loss is not finite or explodes, on the device."""
        values = torch.stack([losses[name] for name in self.objectives]).double()
        bad = ~torch.isfinite(values).all() | (values.abs().max() > LARGEST_LOSS)
        first = self._sums["first_bad"]
        self._sums["first_bad"] = torch.where(bad & (first < 0), float(self.progress.step), first)
        self._sums["losses"] = self._sums["losses"] + values

    def _new_sums(self) -> dict[str, Tensor]:
        zeros = torch.zeros(len(self.objectives), dtype=torch.float64, device=self.device)
        return {"losses": zeros, "first_bad": torch.tensor(-1.0, dtype=torch.float64, device=self.device)}

    def _check_losses(self) -> None:
        first = int(self._sums["first_bad"].item())
        if first >= 0:
            epoch = self.progress.epoch
            self.progress.diverged = f"loss not finite or above {LARGEST_LOSS:g} at step {first} (epoch {epoch})"

    def _evaluate(self) -> None:
        epoch = self.progress.epoch
        if (epoch + 1) % self.protocol.evaluate_every and epoch + 1 < self.protocol.epochs:
            return
        logits, test = self._accuracies("test")
        if not all(torch.isfinite(values).all() for values in logits.values()):
            self.progress.diverged = f"predictions not finite after epoch {epoch}"
            return
        row = {"epoch": epoch, "step": self.progress.step, "lr": self.optimiser.param_groups[1]["lr"]}
        means = (self._sums["losses"] / self._steps_per_epoch()).tolist()
        row |= {f"train_loss.{name}": mean for name, mean in zip(self.objectives, means, strict=True)}
        row |= {f"test_accuracy.{name}": value for name, value in test.items()}
        val_primary = None
        if self.data.val is not None:
            _, val = self._accuracies("val")
            row |= {f"val_accuracy.{name}": value for name, value in val.items()}
            val_primary = primary_accuracy(val)
        self.progress.history.append(row)
        self.progress.selections.update(epoch, logits, primary_accuracy(test), val_primary)

    def _accuracies(self, split: str) -> tuple[Logits, dict[str, float]]:
        """Return of each output the logits, or the statistics of a dense one, and its accuracy."""
        parts: dict[str, list[Tensor]] = {name: [] for name in self.objectives}
        labels: dict[str, list[Tensor]] = {name: [] for name in self.objectives}
        encoders = self.method.encoders(self.network)
        with _evaluating(self.network):
            for inputs, targets in self.batches(split):
                features = self.network.encode(inputs, encoders)
                for name, output in self.method.predict(self.network, features).items():
                    kind, target = self.network.kind(name), targets[self.network.targets[name]]
                    if kind in DENSE:
                        parts[name].append(dense_statistics(kind, output.float(), target))
                    else:
                        parts[name].append(output.float())
                        labels[name].append(target)
        kept, scores = {}, []
        for name, values in parts.items():
            kind = self.network.kind(name)
            if kind in DENSE:
                kept[name] = torch.stack(values).sum(dim=0)
                scores.append(dense_score(kind, kept[name]))
            else:
                kept[name] = torch.cat(values)
                scores.append((kept[name].argmax(dim=1) == torch.cat(labels[name])).double().mean())
        found = dict(zip(parts, torch.stack(scores).tolist(), strict=True))
        return {name: values.cpu() for name, values in kept.items()}, found

    def _out_of_patience(self) -> bool:
        if self.protocol.patience is None:
            return False
        waited = self.progress.selections.epochs_since_best_val(self.progress.epoch - 1)
        return waited is not None and waited >= self.protocol.patience

    def _formatted(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        wanted = _memory_format(self.protocol)
        return {name: x.contiguous(memory_format=wanted) if x.ndim == 4 else x for name, x in inputs.items()}

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.protocol.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # -- saving and resuming

    def snapshot(self) -> RunState:
        """Return everything that the rest of the run depends on, and all that it has found."""
        self._collect_steps()
        columns = sorted({name for row in self.progress.steps for name in row})
        rows = [[row.get(name, float("nan")) for name in columns] for row in self.progress.steps]
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"optimiser.{name}": value for name, value in optimiser_tensors(self.optimiser).items()}
        tensors |= {f"method.{name}": value for name, value in self.state.items()}
        tensors |= {f"sums.{name}": value for name, value in self._sums.items()}
        tensors |= {f"selections.{name}": value for name, value in self.progress.selections.tensors().items()}
        plain = {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "history": self.progress.history,
            "selections": self.progress.selections.plain(),
            "diverged": self.progress.diverged,
            "seconds": self.progress.seconds,
            "step_columns": columns,
        }
        if rows:
            tensors["steps.rows"] = torch.tensor(rows, dtype=torch.float64)
        return RunState(tensors, plain)

    def restore(self, saved: RunState) -> None:
        """Go on from a :meth:`snapshot` of the same run."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in saved.tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = value.to("cpu" if part == "selections" else self.device)
        self.network.load_state_dict(parts["network"])
        restore_optimiser(self.optimiser, parts.get("optimiser", {}))
        self.state = parts.get("method", {})
        self._sums = parts["sums"]
        plain = saved.plain
        selections = Selections.restore(plain["selections"], parts.get("selections", {}))
        self.progress = Progress(
            plain["epoch"], plain["step"], plain["history"], selections, plain["diverged"], plain["seconds"]
        )
        if "steps" in parts:
            rows = parts["steps"]["rows"].tolist()
            self.progress.steps = [dict(zip(plain["step_columns"], row, strict=True)) for row in rows]


def primary_accuracy(accuracies: dict[str, float]) -> float:
    """Return what epochs are chosen by: the joint accuracy, or without one the mean over the outputs."""
    if JOINT in accuracies:
        return accuracies[JOINT]
    return sum(accuracies.values()) / len(accuracies)


class _Branch(LossMethod):
    """The plain sum of some objectives, for branches that a method trains beside the run."""

    info = MethodInfo("branch", "Branch", family="loss", paper="", source="the plain sum of some objectives")

    def __init__(self, objectives: tuple[str, ...]) -> None:
        self.chosen = objectives

    def objectives(self, network: Network) -> tuple[str, ...]:
        return self.chosen


class _Saver:
    """Saves a trainer's state when enough time has gone by, or now. The clock is one that never goes back."""

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints | None, control: Control) -> None:
        self.trainer = trainer
        self.checkpoints = checkpoints
        self.control = control
        self.saved_at = self.counted_to = control.clock()

    def if_due_or_stopped(self) -> None:
        stopped = self.control.stop()  # asked once: between two questions the answer may change
        if stopped or self.control.clock() - self.saved_at >= self.control.save_seconds:
            self.now()
        if stopped:
            raise Interrupted

    def now(self) -> None:
        self.count_time()
        if self.checkpoints is not None:
            self.checkpoints.save(self.trainer.snapshot())
        self.saved_at = self.control.clock()

    def count_time(self) -> None:
        now = self.control.clock()
        self.trainer.progress.seconds += now - self.counted_to
        self.counted_to = now


@contextlib.contextmanager
def _evaluating(network: Network) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


def _memory_format(protocol: Protocol) -> torch.memory_format:
    return torch.channels_last if protocol.memory_format == "channels_last" else torch.contiguous_format
