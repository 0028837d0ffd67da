"""The optimiser is the protocol's, over encoders and the rest, and its rate is a function of epoch and step."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_training import protocol

from counterpoise.engine.optimiser import (
    build_optimiser,
    learning_rate,
    optimiser_tensors,
    restore_optimiser,
    set_learning_rate,
)
from counterpoise.protocol import Schedule
from counterpoise.testing.toy import Toy


def rate(schedule: dict, epoch: int, step: int = 0) -> float:
    return learning_rate(0.1, Schedule.model_validate(schedule), epoch, step)


@pytest.mark.parametrize("epoch", [0, 1, 999])
def test_a_constant_rate_stays(epoch):
    assert rate({}, epoch, epoch * 10) == 0.1


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (90, 0.0001)]
)
def test_steps_of_thirty_epochs(epoch, expected):
    assert rate({"name": "step", "period": 30, "factor": 0.1}, epoch) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1),
        (7, 0.1),  # warming up
        (8, 0.05),  # the first period, of 4, began at step 0 and the second, of 8, at 4
        (12, 0.1),
        (20, 0.05),
        (28, 0.1),
    ],
)
def test_cosine_restarts_after_periods_that_grow_from_the_first_step_on(step, expected):
    schedule = {"name": "cosine_restarts", "period": 4, "period_factor": 2, "warm_up_steps": 8}
    assert rate(schedule, 0, step) == pytest.approx(expected, rel=1e-12)


MLB = {"name": "cosine_restarts", "period": 4, "period_factor": 2, "warm_up_steps": 780}


@pytest.mark.parametrize(
    ("step", "expected"), [(779, 1.0e-3), (780, 4.51e-4), (1019, 9.41e-9), (1020, 1.0e-3), (1532, 5.0e-4)]
)
def test_the_rate_after_mlbs_warm_up_is_that_of_its_released_scheduler(step, expected):
    assert learning_rate(1e-3, Schedule.model_validate(MLB), 0, step) == pytest.approx(expected, rel=1e-2, abs=1e-8)


def test_cosine_restarts_with_a_warm_up_are_torchs_at_the_step_of_the_whole_run():
    """As MLB's code does it: its scheduler hands torch's the step of the run, once the warm-up is over."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=4, T_mult=2)
    for step in range(780, 7400, 7):
        theirs.step(step)
        ours = learning_rate(1e-3, Schedule.model_validate(MLB), 0, step)
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9, abs=1e-12)


def test_cosine_restarts_are_those_of_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=3, T_mult=2)
    for step in range(25):
        ours = rate({"name": "cosine_restarts", "period": 3, "period_factor": 2}, 0, step)
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        optimiser.step()
        theirs.step()


def test_a_cosine_never_rises_within_a_period():
    rates = [rate({"name": "cosine_restarts", "period": 10}, 0, step) for step in range(10)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.05 * (1 + math.cos(0.9 * math.pi)))


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_the_protocols(name, kind):
    settings = {"name": name, "lr": 0.3, "weight_decay": 0.01, "momentum": 0.5, "betas": [0.7, 0.8], "eps": 1e-5}
    made = build_optimiser(Toy().network(), protocol(optimiser=settings))
    theirs = next(k for k in type(made).__mro__ if k.__module__.startswith("torch.optim"))
    assert theirs is kind
    for group in made.param_groups:
        assert (group["lr"], group["weight_decay"]) == (0.3, 0.01)
        if name == "sgd":
            assert group["momentum"] == 0.5
        else:
            assert (tuple(group["betas"]), group["eps"]) == ((0.7, 0.8), 1e-5)


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_steps_are_those_of_torchs_own_class_bit_by_bit(name, kind):
    ours, theirs = Toy().network(), Toy().network()
    made = build_optimiser(ours, protocol(optimiser={"name": name, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}))
    more = {"momentum": 0.9} if name == "sgd" else {}
    own = kind(theirs.parameters(), lr=0.1, weight_decay=0.01, foreach=True, **more)
    for seed in range(3):
        for network, optimiser in ((ours, made), (theirs, own)):
            random = torch.Generator().manual_seed(seed)
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=random)
            optimiser.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(left, right)


def test_every_parameter_is_in_one_group_encoders_in_the_first():
    network = Toy().network()
    groups = build_optimiser(network, protocol()).param_groups
    names = {id(p): name for name, p in network.named_parameters()}
    grouped = [[names[id(p)] for p in group["params"]] for group in groups]
    assert sorted(grouped[0] + grouped[1]) == sorted(names.values())
    assert all(name.startswith("encoders.") for name in grouped[0])
    assert not any(name.startswith("encoders.") for name in grouped[1])


def test_the_encoders_rate_can_be_a_multiple():
    made = build_optimiser(Toy().network(), protocol(optimiser={"encoder_lr_factor": 1.5}))
    set_learning_rate(made, 0.2)
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.3, 0.2])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_an_optimisers_buffers_come_back(name):
    def step(network, optimiser, seed):
        random = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimiser.step()

    settings = protocol(optimiser={"name": name, "lr": 0.01})
    network = Toy().network()
    optimiser = build_optimiser(network, settings)
    step(network, optimiser, 1)
    twin = Toy().network()
    twin.load_state_dict(network.state_dict())
    again = build_optimiser(twin, settings)
    restore_optimiser(again, {key: value.clone() for key, value in optimiser_tensors(optimiser).items()})
    step(network, optimiser, 2)
    step(twin, again, 2)
    for left, right in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(left, right)
