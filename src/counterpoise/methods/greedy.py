"""Greedy: balances how fast modalities learn, given each other (conditional learning speed)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import method, setting
from counterpoise.methods.interface import COEFFICIENTS, LossMethod, State, Step
from counterpoise.models.network import JOINT, Network


@method(
    name="greedy",
    title="Greedy",
    family="modulation",
    paper="Wu et al., ICML 2022",
    source="balanced multi-modal learning by conditional learning speed; our adaptation to late fusion, "
    "since the original needs MMTM fusion and MMPareto does not say how it went without",
    trains="joint",
    needs=("weight_slices",),
    modalities=(2, 2),
    variants={
        "published": {
            "settings": {"tolerance": 0.01, "window": 5, "starts": 2},
            "source": "values of the released training_guided.gin; the adaptation is ours",
        },
    },
)
class Greedy(LossMethod):
    """Where one modality's conditional learning speed is ahead, some steps train the other one by itself.

    The speed of modality k is ``log10(sum_t mu(bypass_k) / sum_t mu(main_k))`` with ``mu = ||gradient||^2 /
    ||weights||^2``: how fast what is learned beside encoder k moves, against encoder k itself. When the two
    speeds differ by more than ``tolerance``, the modality with the larger one, which leans on the other, is
    trained alone for ``window`` steps; then speeds are measured again.

    In the original, ``bypass_k`` is the part of MMTM that carries the other modality into branch k, and to
    train k alone its gates are replaced by their running average. Here, in late fusion, ``bypass_k`` is the
    other modality's columns of the fusion's weight, and the other's features are replaced by their running
    average. Speeds are not added up during those steps, as in the released code.
    """

    tolerance: float = setting(0.01, minimum=0.0, doc="epsilon: difference of speeds that is left alone")
    window: int = setting(5, minimum=1, doc="Q: steps for which one modality is trained alone")
    starts: int = setting(
        2, minimum=0, doc="first epoch that is balanced, from 0; speeds count from the start"
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
            COEFFICIENTS: torch.ones(2, dtype=torch.float64),
        }

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        names, means = step.network.modalities, {}
        index = torch.arange(2, device=state["alone"].device)
        live = (state["remaining"] == 0) | (state["alone"] == index)
        features = {}
        for i, name in enumerate(names):
            values, mean = step.features[name], state[f"mean/{name}"]
            features[name] = torch.where(live[i], values, mean.to(values.dtype))
            means[f"mean/{name}"] = (mean * state["steps"] + values.detach().mean(dim=0)) / (
                state["steps"] + 1
            )
            means[f"mean/{name}"] = means[f"mean/{name}"].to(mean.dtype)
        logits = step.network.predict(features, (JOINT,))[JOINT]
        state = state | means | {"steps": state["steps"] + 1, COEFFICIENTS: live.double()}
        return functional.cross_entropy(logits, step.labels[JOINT]), state

    def after_backward(self, step: Step, state: State) -> State:
        network = step.network
        main = torch.stack([_speed(list(network.encoders[name].parameters())) for name in network.modalities])
        slices = network.fusion.weight_slices()
        own = torch.stack([_slice_speed(*slices[name]) for name in network.modalities])
        return self.balance(own.flip(0), main, state, step.epoch >= self.starts)

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


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _speed(parameters: list[nn.Parameter]) -> Tensor:
    """Return ``||gradient||^2 / ||weights||^2`` of parameters that have a gradient, in float64."""
    used = [p for p in parameters if p.grad is not None]
    return _mu([p.grad for p in used], [p.detach() for p in used])


def _slice_speed(weight: nn.Parameter, columns: slice) -> Tensor:
    return _mu([weight.grad[:, columns]], [weight.detach()[:, columns]])


def _mu(gradients: list[Tensor], weights: list[Tensor]) -> Tensor:
    top = torch.stack(torch._foreach_norm(gradients)).double().square().sum()
    bottom = torch.stack(torch._foreach_norm(weights)).double().square().sum()
    return top / bottom.clamp_min(torch.finfo(bottom.dtype).tiny)
