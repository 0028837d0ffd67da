"""The training loop: one for every method, dataset and architecture.

Everything random comes from the run's named streams, and everything that the next step depends on is in the run's
state, so a run that is stopped at any step and resumed gives the same bits (docs/design.md, Randomness).

Numbers stay on the device during an epoch. What needs them in Python (has the loss exploded? what are the means?) is
asked once, at the epoch's end, since each question makes the host wait for the device.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoise.declare import MethodInfo
from counterpoise.engine.control import Control, Saver
from counterpoise.engine.evaluation import evaluation_batch, mean_losses, predictions, primary_accuracy
from counterpoise.engine.optimiser import build_optimiser, learning_rate, set_learning_rate
from counterpoise.engine.selection import Logits
from counterpoise.engine.splits import Splits
from counterpoise.engine.state import Progress, RunState, restore, snapshot
from counterpoise.engine.step import initial_state, step_function
from counterpoise.engine.streams import generator, seed_layers, stream_seed
from counterpoise.methods.interface import LossMethod, Method, State
from counterpoise.models.network import Network

if TYPE_CHECKING:
    from counterpoise.engine.diagnostics import Recorder
    from counterpoise.protocol import Protocol

LARGEST_LOSS = 1e6
"""A loss above it counts as diverged. Guessing among C classes costs log(C), which is below 10; 1e6 is no bad start."""


class Trainer:
    """One run. Also what methods see between epochs (:class:`counterpoise.methods.interface.Epoch`).

    Args:
        recorder: takes diagnostics of every step, where the protocol asks for them.
    """

    def __init__(
        self,
        network: Network,
        method: Method,
        protocol: Protocol,
        data: Splits,
        seed: int,
        device: torch.device,
        recorder: Recorder | None = None,
    ) -> None:
        self.method = method
        self.protocol = protocol
        self.data = data
        self.seed = seed
        self.device = device
        self.network = network.to(device, memory_format=_memory_format(protocol))  # type: ignore[call-overload]
        self.objectives = method.objectives(network)
        self.recorder = recorder
        autocast = torch.bfloat16 if protocol.precision == "bf16" else None
        self.step_of = step_function(method, self.network, recorder=recorder, autocast=autocast)
        self.optimiser = build_optimiser(self.network, protocol)
        self.state: State = {k: v.to(device) for k, v in initial_state(method, self.network).items()}
        self.progress = Progress()
        self.sums = self._new_sums()

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
        for inputs, targets, _ in source.batches(order, evaluation_batch(self.network)):
            yield self._formatted(inputs), targets

    def objective_losses(self, split: str, network: Network | None = None) -> dict[str, Tensor]:
        """Return every objective's mean loss over a split, in evaluation mode."""
        return mean_losses(self.network if network is None else network, self.batches(split), self.device)

    def train_branch(self, objectives: tuple[str, ...], epochs: int) -> Network:
        """Return a copy of the network trained for ``epochs`` epochs on the plain sum of ``objectives``."""
        # A run beside the run: its seed follows from this one's, its copy of the network leaves this one alone, and
        # its optimiser starts fresh. Its steps are not the run's, so they are not recorded.
        name = "+".join(objectives)
        branch_seed = stream_seed(self.seed, f"branch/{name}", self.epoch)
        protocol = self.protocol.model_copy(update={"diagnostics": False})
        network = copy.deepcopy(self.network)
        trainer = Trainer(network, _Branch(objectives), protocol, self.data, branch_seed, self.device)
        for _ in range(epochs):
            trainer._train_epoch(lambda: None)
            trainer.progress.epoch += 1
        return trainer.network

    # -- the loop

    def run(self, control: Control | None = None) -> Progress:
        """Train to the protocol's end, or until stopped or diverged, and return what was found.

        Raises:
            Interrupted: ``control.stop()`` said so; the state was handed to ``control.save``.
        """
        control = control or Control()
        saver = Saver(self, control)
        while not self._is_over():
            # On resuming in the middle of an epoch, the saved state already has what start_epoch made of it.
            if self._step_in_epoch() == 0:
                self.state = self.method.start_epoch(self, self.state)  # type: ignore[arg-type]
            self._train_epoch(saver.after_step)
            self._check_losses()
            self._collect_steps()
            if not self.progress.diverged:  # NaNs would only raise elsewhere, in words that name no cause
                self.state = self.method.end_epoch(self, self.state)  # type: ignore[arg-type]
                self._evaluate()
            self.progress.epoch += 1
            self.sums = self._new_sums()
            control.report(self.progress.epoch, self.progress.history[-1] if self.progress.history else {})
            # The last step of an epoch saves here and not in `_train_epoch`: only now is the epoch evaluated, and a
            # state saved in between would resume without it. At the very end, the results are written instead.
            if not self._is_over():
                saver.after_step()
        saver.count_time()
        return self.progress

    def _is_over(self) -> bool:
        done = self.progress.epoch >= self.protocol.epochs
        return done or bool(self.progress.diverged) or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        if self.protocol.patience is None:
            return False
        waited = self.progress.selections.epochs_since_best_val(self.progress.epoch - 1)
        return waited is not None and waited >= self.protocol.patience

    def _steps_per_epoch(self) -> int:
        count, size = len(self.data.train_order), self.protocol.batch_size
        return count // size if self.protocol.drop_last else -(-count // size)

    def _step_in_epoch(self) -> int:
        return self.progress.step - self.progress.epoch * self._steps_per_epoch()

    def _train_epoch(self, between_steps: Callable[[], None]) -> None:
        self.network.train()
        epoch, steps = self.progress.epoch, self._steps_per_epoch()
        shuffled = torch.randperm(len(self.data.train_order), generator=generator(self.seed, "shuffle", epoch))
        # (N,) indices of samples; with `drop_last`, less those of the last, incomplete batch.
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
        """Move the network and the method's state by one batch: inputs ``(B, ...)``, targets ``(B,)``."""
        epoch, step = self.progress.epoch, self.progress.step
        rate = learning_rate(self.protocol.optimiser.lr, self.protocol.schedule, epoch, step)
        set_learning_rate(self.optimiser, rate)
        # Layers that draw (dropout) use the device's global generator: it is seeded anew for every step.
        seed_layers(stream_seed(self.seed, "dropout", epoch, step), self.device)
        noise = generator(self.seed, "noise", epoch, step, device=self.device)
        losses, self.state = self.step_of(self._formatted(inputs), targets, self.state, epoch, noise)
        # Now the gradients are set. They are clipped as the method combined them: the norm is that of the update.
        if self.protocol.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.protocol.clip_norm, foreach=True)
        if self.recorder is not None:
            self.recorder.before_update()
        self.optimiser.step()
        if self.recorder is not None:
            self.recorder.after_update()
        self._accumulate(losses)

    def _accumulate(self, losses: dict[str, Tensor]) -> None:
        """Add up the losses and note the first step whose loss is not finite or explodes, on the device."""
        values = torch.stack([losses[name] for name in self.objectives]).double()  # (K,)
        bad = ~torch.isfinite(values).all() | (values.abs().max() > LARGEST_LOSS)
        first = self.sums["first_bad"]
        self.sums["first_bad"] = torch.where(bad & (first < 0), float(self.progress.step), first)
        self.sums["losses"] = self.sums["losses"] + values

    def _new_sums(self) -> dict[str, Tensor]:
        """Return the sums of one epoch: of each objective's losses ``(K,)``, and the first bad step (-1: none)."""
        zeros = torch.zeros(len(self.objectives), dtype=torch.float64, device=self.device)
        return {"losses": zeros, "first_bad": torch.tensor(-1.0, dtype=torch.float64, device=self.device)}

    def _check_losses(self) -> None:
        # Once an epoch: reading the number waits for the device.
        first = int(self.sums["first_bad"].item())
        if first >= 0:
            epoch = self.progress.epoch
            self.progress.diverged = f"loss not finite or above {LARGEST_LOSS:g} at step {first} (epoch {epoch})"

    def _evaluate(self) -> None:
        epoch = self.progress.epoch
        if (epoch + 1) % self.protocol.evaluate_every and epoch + 1 < self.protocol.epochs:
            return
        logits, test = self._predictions("test")
        if not all(torch.isfinite(values).all() for values in logits.values()):
            self.progress.diverged = f"predictions not finite after epoch {epoch}"
            return
        # Group 1 is what is not an encoder: the protocol's own rate, without `encoder_lr_factor`.
        row = {"epoch": epoch, "step": self.progress.step, "lr": self.optimiser.param_groups[1]["lr"]}
        means = (self.sums["losses"] / self._steps_per_epoch()).tolist()
        row |= {f"train_loss.{name}": mean for name, mean in zip(self.objectives, means, strict=True)}
        row |= {f"test_accuracy.{name}": value for name, value in test.items()}
        val_primary = None
        if self.data.val is not None:
            _, val = self._predictions("val")
            row |= {f"val_accuracy.{name}": value for name, value in val.items()}
            val_primary = primary_accuracy(val)
        self.progress.history.append(row)
        self.progress.selections.update(epoch, logits, primary_accuracy(test), val_primary)

    def _predictions(self, split: str) -> tuple[Logits, dict[str, float]]:
        return predictions(self.network, self.method, self.batches(split))

    def _formatted(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        # Pictures are (B, channels, height, width), or spectrograms; channels last is an order in memory, not a shape.
        wanted = _memory_format(self.protocol)
        return {name: x.contiguous(memory_format=wanted) if x.ndim == 4 else x for name, x in inputs.items()}

    # -- saving and resuming

    def snapshot(self) -> RunState:
        """Return everything that the rest of the run depends on, and all that it has found."""
        self._collect_steps()
        return snapshot(self)

    def restore(self, saved: RunState) -> None:
        """Go on from a :meth:`snapshot` of the same run."""
        restore(self, saved)

    def _collect_steps(self) -> None:
        """Fetch the diagnostics of the steps since the last time from the device."""
        if self.recorder is not None:
            first = len(self.progress.steps)
            self.progress.steps += [row | {"step": first + place} for place, row in enumerate(self.recorder.flush())]


class _Branch(LossMethod):
    """The plain sum of some objectives, for branches that a method trains beside the run."""

    info = MethodInfo("branch", "Branch", family="loss", paper="", source="the plain sum of some objectives")

    def __init__(self, objectives: tuple[str, ...]) -> None:
        self.chosen = objectives

    def objectives(self, network: Network) -> tuple[str, ...]:
        return self.chosen


def _memory_format(protocol: Protocol) -> torch.memory_format:
    return torch.channels_last if protocol.memory_format == "channels_last" else torch.contiguous_format
