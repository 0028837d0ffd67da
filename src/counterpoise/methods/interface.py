"""What a method provides: three small families, each a formula (docs/design.md).

* :class:`LossMethod`: which objectives are summed, with which weights or extra terms.
* :class:`ModulationMethod`: a coefficient per modality that scales its encoder's gradient after one backward pass.
* :class:`IntegrationMethod`: weights, from the Gramian of the objectives' gradients, that combine them.

A method knows no dataset and no architecture by name, and a formula sees numbers, not parameters. It keeps no
state of its own: state is a flat dictionary of tensors that the training loop carries, saves and restores.
Nothing that runs every step may wait for the device or branch on a value that lives there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from counterpoise.declare import MethodInfo
from counterpoise.models.interface import FusionModule
from counterpoise.models.network import JOINT, Network

State = dict[str, Tensor]

Weights = dict[str, Tensor]
"""A network's ``state_dict``."""

COEFFICIENTS = "coefficients"
"""The state entry ``(M,)`` where a method that computes coefficients leaves them for the diagnostics."""


@dataclass
class Step:
    """One training step as a method sees it.

    ``features`` maps modality to ``(B, d)``, or ``(B, N, d)`` where the fusion wants positions; ``outputs``
    maps objective to logits ``(B, C)``, ``losses`` objective to a scalar (mean cross-entropy of the batch),
    ``labels`` objective to classes ``(B,)``. ``epoch`` counts from 0. ``generator`` is the run's noise stream
    for this step, on the network's device.
    """

    network: Network
    inputs: dict[str, Tensor]
    features: dict[str, Tensor]
    outputs: dict[str, Tensor]
    losses: dict[str, Tensor]
    labels: dict[str, Tensor]
    epoch: int
    generator: torch.Generator


class Epoch(Protocol):
    """What the training loop offers a method between epochs."""

    network: Network
    epoch: int
    """The epoch about to start (``start_epoch``) or just ended (``end_epoch``), from 0."""

    def generator(self, name: str) -> torch.Generator:
        """Return the run's random stream ``name`` of this epoch."""

    def batches(self, split: str, fraction: float = 1.0) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Yield (inputs, targets) of a split without augmentation; ``fraction`` < 1 takes a random subset."""

    def objective_losses(self, split: str, network: Network | None = None) -> dict[str, Tensor]:
        """Return every objective's mean loss over a split, in evaluation mode."""

    def train_branch(self, objectives: tuple[str, ...], epochs: int) -> Network:
        """Return a copy of the network trained for ``epochs`` epochs on the plain sum of ``objectives``."""


class Method:
    """Base of every method; settings are fields declared with :func:`counterpoise.declare.setting`."""

    info: ClassVar[MethodInfo]

    def check(self, network: Network) -> None:
        """Refuse a network for which the method, with its settings, is not defined.

        Raises:
            UserError: in one line, what is asked for and what the network has.
        """

    def objectives(self, network: Network) -> tuple[str, ...]:
        """Return the objectives that are trained, hence also the outputs that are evaluated."""
        if self.info.trains == "joint" and JOINT in network.objectives:
            return (JOINT,)
        return network.objectives

    def encoders(self, network: Network) -> tuple[str, ...]:
        """Return the encoders that the trained objectives reach; no other is run."""
        reached = {name for objective in self.objectives(network) for name in network.reach(objective)}
        return tuple(name for name in network.modalities if name in reached)

    def predict(self, network: Network, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return logits ``{objective: (B, C)}`` of the trained objectives, in training and in evaluation."""
        return network.predict(features, self.objectives(network))

    def initialise(self, network: Network, unimodal_run: Callable[[str], Weights]) -> None:
        """Change the fresh network before anything else, where a method starts from other runs' weights.

        Called once per run, never on resuming. ``unimodal_run(modality)`` returns the weights of the network
        at the end of the run of method ``unimodal`` with that modality: same dataset, model, protocol and
        seed. A method that calls it says ``needs=("unimodal_runs",)``.
        """

    def initial_state(self, network: Network) -> State:
        """Return the state before the first step; after ``start_epoch`` its keys and shapes stay as they are."""
        return {}

    def start_epoch(self, epoch: Epoch, state: State) -> State:
        """Return the state for the epoch about to start."""
        return state

    def end_epoch(self, epoch: Epoch, state: State) -> State:
        """Return the state after an epoch."""
        return state


class LossMethod(Method):
    """A method whose update is one backward pass of one scalar."""

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        """Return the scalar to descend and the next state; by default the plain sum of the objectives."""
        return torch.stack(list(step.losses.values())).sum(), state

    def before_forward(self, network: Network, state: State) -> None:
        """Set what of the network the step's forward pass depends on, besides its parameters."""

    def after_backward(self, step: Step, state: State) -> State:
        """Return the next state, given the gradients that now stand in every parameter's ``.grad`` (or ``None``)."""
        return state


class ModulationMethod(LossMethod):
    """A method that scales each encoder's gradient after the backward pass."""

    @property
    def modulated(self) -> str:
        """What is scaled: ``convolutions`` (the encoder's 4-D weights), ``encoder``, or ``modality`` (the
        encoder, its unimodal head and, where the fusion has them, its columns of the fusion's weight and the
        layers that only its features pass)."""
        return "encoder"

    @property
    def noise(self) -> bool:
        """Whether Gaussian noise of its own gradient's standard deviation is added to each scaled tensor (OGM-GE)."""
        return False

    def scores(self, step: Step) -> Tensor:
        """Return how well each modality does on the batch, ``(M,)``, in the order of the network's modalities."""
        raise NotImplementedError

    def coefficients(self, scores: Tensor, state: State) -> tuple[Tensor, State]:
        """Map scores ``(M,)`` to the coefficient of each modality ``(M,)`` and the next state: the formula."""
        raise NotImplementedError

    def active(self, epoch: int) -> bool:
        """Return whether gradients are modulated in an epoch (from 0)."""
        return True


class IntegrationMethod(Method):
    """A method that combines the gradients that K objectives have in one shared module (an encoder or trunk).

    The engine hands over inner products and losses only. Shapes: Gramian ``(..., K, K)``, losses ``(K,)``,
    weights ``(..., K)``; in multimodal training K = 2, the joint objective first.
    """

    @property
    def scope(self) -> str:
        """``encoder``: one Gramian of the whole module; ``tensor``: one per parameter, stacked ``(T, K, K)``;
        ``last_layer``: one, of the module's last layer alone, which costs no second backward pass."""
        return "encoder"

    @property
    def rescale_scope(self) -> str | None:
        """``None``, or where :meth:`scale` applies: ``encoder`` or ``tensor``."""
        return None

    @property
    def weighs_heads(self) -> bool:
        """Whether each objective's own fusion or head is trained with the objective's weight too, averaged
        over the modules that the objective reaches. By default it keeps its plain gradient."""
        return False

    def module_state(self, objectives: int, tensors: int) -> State:
        """Return the initial state for one module with K ``objectives`` and T parameter ``tensors``."""
        return {}

    def random_numbers(self, objectives: int) -> int:
        """Return how many numbers, uniform on [0, 1), the formula draws a step: they are in ``state["random"]``."""
        return 0

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the weight of each objective's gradient and the next state: the formula."""
        raise NotImplementedError

    def scale(self, combined: Tensor, total: Tensor) -> Tensor:
        """Return what multiplies the combined gradient, given its norm and the norm of the plain sum."""
        raise NotImplementedError


def true_class_score(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over the batch of the softmax probability of the true class, a scalar."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))  # a half-precision sum would lose digits
    return wide.softmax(dim=1).gather(1, labels[:, None]).sum()


def slice_scores(step: Step) -> Tensor:
    """Return each modality's true-class score by its own part of the joint logits, ``(M,)``: ``W_u z_u + b / M``."""
    parts = step.network.fusion.contributions(step.features)
    labels = step.labels[JOINT]
    return torch.stack([true_class_score(parts[name], labels) for name in step.network.modalities])


def mean_of_others(values: Tensor) -> Tensor:
    """Return for each of M >= 2 values the mean of the others, ``(M,)``."""
    count = values.shape[0]
    others = 1 - torch.eye(count, dtype=values.dtype, device=values.device)
    return (others * values).sum(dim=1) / (count - 1)  # no matrix product: autocast would round it


def ratio(top: Tensor, bottom: Tensor, undefined: float = 1.0) -> Tensor:
    """Return ``top / bottom`` of non-negative numbers, never infinite: ``undefined`` where both are 0."""
    largest = torch.finfo(top.dtype).max
    quotient = (top / bottom).clamp(-largest, largest)  # 0 / 0 is NaN, replaced below
    return torch.where((bottom > 0) | (top > 0), quotient, torch.full_like(quotient, undefined))


def are_linked(network: Network) -> bool:
    """Return whether encoders exchange features on the way, so that none can be run by itself (MMTM)."""
    fusion = network.fusion
    return isinstance(fusion, FusionModule) and type(fusion).run is not FusionModule.run


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Run a block with a module in evaluation mode (batch norm by its running statistics, no dropout)."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


__all__ = [
    "COEFFICIENTS",
    "Epoch",
    "IntegrationMethod",
    "LossMethod",
    "Method",
    "ModulationMethod",
    "State",
    "Step",
    "Weights",
    "are_linked",
    "evaluating",
    "mean_of_others",
    "ratio",
    "slice_scores",
    "true_class_score",
]
