"""Greedy: balances how fast modalities learn, given each other (conditional learning speed)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import method, setting
from counterpoise.errors import UserError
from counterpoise.methods.interface import COEFFICIENTS, LossMethod, State, Step
from counterpoise.models.interface import Features
from counterpoise.models.network import JOINT, Network


@runtime_checkable
class GatedBranches(Protocol):
    """What Greedy needs of a fusion to be itself (MMTM): branches, what carries the others into each, and
    gates that can be held.
    """

    held: Tensor | None

    def branch_logits(self, features: Features) -> dict[str, Tensor]:
        """Return the prediction of each branch ``{modality: (B, C)}``."""

    def head(self, modality: str) -> list[nn.Parameter]:
        """Return the parameters of a branch after its encoder."""

    def bypass(self, modality: str) -> list[nn.Parameter]:
        """Return the parameters through which others reach a modality's branch."""


@method(
    name="greedy",
    title="Greedy",
    family="loss",
    paper="Wu et al., ICML 2022",
    source="balanced multi-modal learning by conditional learning speed, on MMTM fusion as there; elsewhere "
    "an adaptation that is ours, since MMPareto does not say how it went without MMTM",
    trains="joint",
    needs=("weight_slices",),
    modalities=(2, 2),
    variants={
        "published": {
            "settings": {"tolerance": 0.01, "window": 5, "starts": 1},
            "source": "values of the released training_guided.gin, whose starting epoch 2 is the second: its loop "
            "counts epochs from 1",
        }
    },
)
class Greedy(LossMethod):
    """Where one modality's conditional learning speed is ahead, some steps train that one by itself.

    The speed of modality k is ``log10(sum_t mu(bypass_k) / sum_t mu(main_k))`` with ``mu = ||gradient||^2 /
    ||weights||^2``: how fast what is learned beside branch k moves, against branch k itself. When the two
    speeds differ by more than ``tolerance``, the modality with the larger one, which leans on the other, is
    trained by itself for ``window`` steps; then speeds are measured again. They are not added up during those
    steps, as in the released code.

    On MMTM the loss is the sum of the branches' losses, ``bypass_k`` is the part of MMTM that carries the
    other modality into branch k, and while k is trained by itself its gates stand at their running average.
    (The released code adds the first modality's gates to the second's average; that slip is not repeated.)
    With any other fusion ``bypass_k`` is the other modality's columns of the fusion's weight, and the other's
    features are replaced by their running average.
    """

    tolerance: float = setting(0.01, minimum=0.0, doc="epsilon: difference of speeds that is left alone")
    window: int = setting(5, minimum=1, doc="Q: steps for which one modality is trained alone")
    starts: int = setting(1, minimum=0, doc="first epoch that is balanced, from 0; speeds count from the start")

    def check(self, network: Network) -> None:
        for name, encoder in network.encoders.items():
            if not any(p.requires_grad for p in encoder.parameters()):
                raise UserError(
                    f"method '{self.info.name}': the encoder of '{name}' is frozen and has no learning speed"
                )

    def initial_state(self, network: Network) -> State:
        encoders = network.encoders.items()
        means = {f"mean/{name}": torch.zeros(part.width, dtype=_dtype(part)) for name, part in encoders}
        return means | {
            "steps": torch.zeros((), dtype=torch.float64),
            "bypass": torch.zeros(2, dtype=torch.float64),
            "main": torch.zeros(2, dtype=torch.float64),
            "remaining": torch.zeros((), dtype=torch.int64),
            "alone": torch.zeros((), dtype=torch.int64),
            COEFFICIENTS: torch.zeros(2, dtype=torch.float64),
        }

    def before_forward(self, network: Network, state: State) -> None:
        if isinstance(network.fusion, GatedBranches):
            network.fusion.held = _alone(state)

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        state = state | {COEFFICIENTS: _alone(state).double()}
        fusion, labels = step.network.fusion, step.labels[JOINT]
        if isinstance(fusion, GatedBranches):
            branches = fusion.branch_logits(step.features).values()
            return torch.stack([functional.cross_entropy(logits, labels) for logits in branches]).sum(), state
        features, state = self._replaced(step, state)
        return functional.cross_entropy(step.network.predict(features, (JOINT,))[JOINT], labels), state

    def _replaced(self, step: Step, state: State) -> tuple[Features, State]:
        """Return the features with the other's at its running average while one modality is trained alone."""
        alone, count = _alone(state), state["steps"]
        features, means = {}, {"steps": count + 1}
        for name, other in zip(step.network.modalities, alone.flip(0).unbind(), strict=True):
            values, mean = step.features[name], state[f"mean/{name}"]
            features[name] = torch.where(other, mean.to(values.dtype), values)
            newest = (mean * count + values.detach().mean(dim=0)) / (count + 1)
            means[f"mean/{name}"] = newest.to(mean.dtype)
        return features, state | means

    def after_backward(self, step: Step, state: State) -> State:
        network, fusion, names = step.network, step.network.fusion, step.network.modalities
        mains = {name: list(network.encoders[name].parameters()) for name in names}
        if isinstance(fusion, GatedBranches):
            mains = {name: [*parameters, *fusion.head(name)] for name, parameters in mains.items()}
            bypass = [_speed(fusion.bypass(name)) for name in names]
        else:
            slices = fusion.weight_slices()
            bypass = [_slice_speed(*slices[name]) for name in reversed(names)]
        main = torch.stack([_speed(mains[name]) for name in names])
        return self.balance(torch.stack(bypass), main, state, step.epoch >= self.starts)

    def balance(self, bypass: Tensor, main: Tensor, state: State, unlocked: bool) -> State:
        """Return the next state from the step's ``mu`` of bypass and main, both ``(2,)``: the formula.

        Args:
            unlocked: whether a difference of speeds may start a window.
        """
        measuring = state["remaining"] == 0
        bypass = state["bypass"] + torch.where(measuring, bypass, 0.0)
        main = state["main"] + torch.where(measuring, main, 0.0)
        tiny = torch.finfo(main.dtype).tiny
        speed = bypass.clamp_min(tiny).log10() - main.clamp_min(tiny).log10()
        difference = speed[0] - speed[1]
        begins = measuring & (difference.abs() > self.tolerance) & unlocked
        remaining = torch.where(begins, self.window, (state["remaining"] - 1).clamp_min(0))
        alone = torch.where(begins, (difference < 0).long(), state["alone"])
        return state | {"bypass": bypass, "main": main, "remaining": remaining, "alone": alone}


def _alone(state: State) -> Tensor:
    """Return which of the two modalities is trained by itself in this step, ``(2,)``."""
    return (state["remaining"] > 0) & (state["alone"] == torch.arange(2, device=state["alone"].device))


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _speed(parameters: list[nn.Parameter]) -> Tensor:
    """Return ``||gradient||^2 / ||weights||^2`` of parameters that have a gradient, in float64."""
    used = [p for p in parameters if p.grad is not None]
    return _mu([p.grad for p in used], [p.detach() for p in used])  # type: ignore[misc]  # none is None


def _slice_speed(weight: nn.Parameter, columns: slice) -> Tensor:
    return _mu([weight.grad[:, columns]], [weight.detach()[:, columns]])  # type: ignore[index]  # after a backward pass


def _mu(gradients: list[Tensor], weights: list[Tensor]) -> Tensor:
    top = torch.stack(torch._foreach_norm(gradients)).double().square().sum()
    bottom = torch.stack(torch._foreach_norm(weights)).double().square().sum()
    return top / bottom.clamp_min(torch.finfo(bottom.dtype).tiny)
