"""The optimiser and its learning rate at every step."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from counterpoise.models.network import Network

if TYPE_CHECKING:
    from counterpoise.protocol import Protocol, Schedule


class _WithoutCompiler(torch.optim.Optimizer):
    """Torch's own optimiser, less the decorators that keep torch's compiler out of it: at their first call
    they import that compiler, which takes as long as importing torch."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class SGD(_WithoutCompiler, torch.optim.SGD):
    """See :class:`torch.optim.SGD`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Adam(_WithoutCompiler, torch.optim.Adam):
    """See :class:`torch.optim.Adam`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class AdamW(_WithoutCompiler, torch.optim.AdamW):
    """See :class:`torch.optim.AdamW`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def build_optimiser(network: Network, protocol: Protocol) -> torch.optim.Optimizer:
    """Return the protocol's optimiser over two groups: the encoders, and everything else."""
    settings = protocol.optimiser
    encoders = list(network.encoders.parameters())
    inside = {id(p) for p in encoders}
    others = [p for p in network.parameters() if id(p) not in inside]
    groups = [{"params": encoders, "factor": settings.encoder_lr_factor}, {"params": others, "factor": 1.0}]
    common: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.name == "sgd":
        return SGD(groups, momentum=settings.momentum, foreach=True, **common)
    kind = Adam if settings.name == "adam" else AdamW
    common |= {"betas": settings.betas, "eps": settings.eps}
    return kind(groups, foreach=True, **common)


def learning_rate(base: float, schedule: Schedule, epoch: int, step: int) -> float:
    """Return the learning rate of an epoch (from 0) and a step counted over the whole run (from 0)."""
    if schedule.name == "step":
        return base * schedule.factor ** (epoch // schedule.period)
    if schedule.name == "cosine_restarts" and step >= schedule.warm_up_steps:
        # MLB's code hands the step of the whole run to the cosine, so that it begins in the middle of a period.
        position, length = float(step), float(schedule.period)
        while position >= length:
            position, length = position - length, length * schedule.period_factor
        return base * 0.5 * (1 + math.cos(math.pi * position / length))
    return base


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set every group's rate to ``rate`` times the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's buffers as ``{"<parameter number>.<buffer>": tensor}``."""
    return {
        f"{number}.{name}": value
        for number, buffers in optimiser.state_dict()["state"].items()
        for name, value in buffers.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimiser_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
