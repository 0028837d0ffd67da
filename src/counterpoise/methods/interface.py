"""What a method provides: three small families, each a formula (DESIGN section 5).

* :class:`LossMethod`: which objectives are summed, with which weights or extra terms.
* :class:`ModulationMethod`: a coefficient per modality that scales its encoder's gradient after one backward pass.
* :class:`IntegrationMethod`: weights, from the Gramian of the objectives' gradients, that combine them.

A method never sees a parameter, a dataset or an architecture by name. It keeps no state of its own: state is a flat
dictionary of tensors that the training loop carries, saves and restores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from counterpoise.declare import MethodInfo
from counterpoise.models.network import JOINT, Network

State = dict[str, Tensor]


@dataclass
class Step:
    """One training step as a method sees it.

    ``features`` maps modality to ``(B, d)``, ``outputs`` objective to logits ``(B, C)``, ``losses`` objective to a
    scalar (mean cross-entropy of the batch), ``labels`` objective to classes ``(B,)``. ``generator`` is the run's
    noise stream for this step.
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

    def objectives(self, network: Network) -> tuple[str, ...]:
        """Return the objectives that are trained, hence also the outputs that are evaluated."""
        if self.info.trains == "joint" and JOINT in network.objectives:
            return (JOINT,)
        return network.objectives

    def predict(self, network: Network, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return logits ``{objective: (B, C)}`` of the trained objectives, in training and in evaluation."""
        return network.predict(features, self.objectives(network))

    def initial_state(self, network: Network) -> State:
        """Return the state before the first step."""
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


class ModulationMethod(LossMethod):
    """A method that scales each encoder's gradient after the backward pass.

    ``noise`` adds to each scaled tensor Gaussian noise of its own gradient's standard deviation (OGM-GE).
    ``scope`` says what is scaled: ``convolutions`` (4-D weights of the encoder), ``encoder``, or ``modality`` (the
    encoder, its unimodal head and its slice of the fusion's weight).
    """

    @property
    def noise(self) -> bool:
        return False

    @property
    def modulated(self) -> str:
        return "encoder"

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

    The engine hands over inner products and losses only. Shapes: Gramian ``(..., K, K)``, losses ``(K,)``, weights
    ``(..., K)``; in multimodal training K = 2, the joint objective first.
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

    def module_state(self, objectives: int, tensors: int) -> State:
        """Return the initial state for one module with K ``objectives`` and T parameter ``tensors``."""
        return {}

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the weight of each objective's gradient and the next state: the formula."""
        raise NotImplementedError

    def scale(self, combined: Tensor, total: Tensor) -> Tensor:
        """Return what multiplies the combined gradient, given its norm and the norm of the plain sum."""
        raise NotImplementedError


def true_class_score(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over the batch of the softmax probability of the true class, a scalar."""
    return logits.softmax(dim=1).gather(1, labels[:, None]).sum()


__all__ = [
    "Epoch", "IntegrationMethod", "LossMethod", "Method", "ModulationMethod", "State", "Step", "true_class_score",
]  # fmt: skip
