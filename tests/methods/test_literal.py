"""Three training steps of methods, in every variant, against the method written out a second time (literal.py).

A method is written out there, or has a test of its own, ``test_<method>.py``, that compares it with something else.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from counterpoise.components import components
from counterpoise.engine.step import initial_state, step_function
from counterpoise.models.network import Network
from counterpoise.testing.toy import CLASSES, Toy, make_method

LR, MOMENTUM, DECAY = 0.05, 0.9, 1e-3
BUILT_IN = {name: method for name, method in components("method").items() if method.module.startswith("counterpoise.")}
WRITTEN_OUT = {name for name in BUILT_IN if not Path(__file__).with_name(f"test_{name}.py").exists()}
VARIANTS = [(name, variant) for name in BUILT_IN if name in WRITTEN_OUT for variant in BUILT_IN[name].info.variants]
TASK_VARIANTS = [(name, variant) for name, variant in VARIANTS if BUILT_IN[name].info.tasks]

# Settings under which the special cases of a method occur within three steps.
SPECIAL = {
    "greedy": {"starts": 0, "window": 1},
    "mlb": {"alpha": 0.5, "beta_max": 10.0},
    "mslr": {"initial": [0.7, 1.3]},
    "pmr": {"alpha": 1.5},
}


def prepared(name: str, variant: str, toy: Toy) -> tuple[object, Network]:
    method = make_method(name, variant, toy)
    method = dataclasses.replace(method, **SPECIAL.get(name, {}))
    return method, toy.network(seed=4)


def start_state(method, network: Network, toy: Toy) -> dict[str, Tensor]:
    """The state before the first step, with what would come out of looking at the data put in by hand."""
    state = initial_state(method, network)
    random = torch.Generator().manual_seed(8)
    if method.info.name == "pmr":
        for name in network.modalities:
            made = torch.randn(CLASSES, network.encoders[name].width, generator=random, dtype=torch.float64)
            state[f"prototypes/{name}"] = made.to(toy.dtype)
    if method.info.name == "g_blending":
        state["weights"] = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    return state


def steps_of_the_product(name: str, variant: str, toy: Toy) -> Network:
    method, network = prepared(name, variant, toy)
    optimiser = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    step, state = step_function(method, network), start_state(method, network, toy)
    for number in range(3):
        inputs, targets = toy.batch(seed=number)
        _, state = step(inputs, targets, state, number, torch.Generator().manual_seed(number))
        optimiser.step()
    return network


def steps_written_out(literal, name: str, variant: str, toy: Toy) -> Network:
    method, network = prepared(name, variant, toy)
    settings = dataclasses.asdict(method)
    descent = literal.Descent(network, LR, MOMENTUM, DECAY)
    memory = dict(start_state(method, network, toy))
    for number in range(3):
        inputs, targets = toy.batch(seed=number)
        untouched = copy.deepcopy(network.encoders)
        noise = torch.Generator().manual_seed(number)
        scene = literal.Scene(network, inputs, targets, memory, noise, epoch=number)
        gradients = literal.METHODS[name](scene, settings)
        if name == "unimodal":
            for other in network.modalities:
                if other != settings["modality"]:
                    network.encoders[other].load_state_dict(untouched[other].state_dict())
        descent.step(gradients)
    return network


def largest_difference(found: Network, expected: Network) -> float:
    """The largest relative difference of any tensor of the two networks."""
    differences = []
    for (name, a), (_, b) in zip(found.state_dict().items(), expected.state_dict().items(), strict=True):
        assert a.shape == b.shape, name
        differences.append(float((a - b).double().norm() / b.double().norm().clamp_min(1e-12)))
    return max(differences)


def moved(name: str, variant: str, toy: Toy, network: Network) -> bool:
    fresh = prepared(name, variant, toy)[1]
    return largest_difference(network, fresh) > 1e-4


TOYS = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.mark.parametrize("dtype", TOYS, ids=["float64", "float32"])
@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_steps_are_those_written_out(literal, name, variant, dtype):
    toy = Toy(dtype=dtype)
    found = steps_of_the_product(name, variant, toy)
    expected = steps_written_out(literal, name, variant, toy)
    assert moved(name, variant, toy, expected)
    assert largest_difference(found, expected) < TOYS[dtype]


@pytest.mark.parametrize("dtype", TOYS, ids=["float64", "float32"])
@pytest.mark.parametrize(("name", "variant"), TASK_VARIANTS)
def test_steps_on_tasks_are_those_written_out(literal, name, variant, dtype):
    toy = Toy(tasks=True, dtype=dtype)
    found = steps_of_the_product(name, variant, toy)
    expected = steps_written_out(literal, name, variant, toy)
    assert largest_difference(found, expected) < TOYS[dtype]


@pytest.mark.parametrize("variant", ["published", "released"])
def test_agms_averages_hold_the_steps_before_its_window(literal, variant, monkeypatch):
    """Epochs 0 and 1 are not modulated here and the third step is, by averages of all three."""
    monkeypatch.setitem(SPECIAL, "agm", {"starts": 2})
    toy = Toy(dtype=torch.float64)
    found = steps_of_the_product("agm", variant, toy)
    assert largest_difference(found, steps_written_out(literal, "agm", variant, toy)) < 1e-10
    assert largest_difference(found, steps_of_the_product("joint", "published", toy)) > 1e-6


def test_every_built_in_method_without_a_test_of_its_own_is_written_out(literal):
    assert set(literal.METHODS) == WRITTEN_OUT


def test_conflicts_occur_in_these_steps(literal):
    """Otherwise the comparison above would not see the Pareto branch of MMPareto."""
    toy = Toy(dtype=torch.float64)
    uniform = steps_of_the_product("uniform", "published", toy)
    mmpareto = steps_of_the_product("mmpareto", "gamma_1", toy)
    assert largest_difference(mmpareto, uniform) > 1e-3


@pytest.mark.parametrize("dtype", TOYS, ids=["float64", "float32"])
@pytest.mark.parametrize("conflicting", [False, True])
@pytest.mark.parametrize("variant", ["published", "released"])
def test_mmparetos_gradients_are_those_written_out_in_both_branches(literal, variant, conflicting, dtype):
    toy = Toy(dtype=dtype)
    method, network = prepared("mmpareto", variant, toy)
    with torch.no_grad():  # unimodal heads that agree with the joint one, or say the opposite
        for name, (weight, columns) in network.fusion.weight_slices().items():
            head = network.heads[name]
            head.weight.copy_((-1 if conflicting else 1) * weight[:, columns])
            head.bias.copy_((-1 if conflicting else 1) * network.fusion.linear.bias)
    twin, (inputs, targets) = copy.deepcopy(network), toy.batch()
    step_function(method, network)(inputs, targets, initial_state(method, network), 0, torch.Generator())
    scene = literal.Scene(twin, inputs, targets, {}, torch.Generator())
    expected = literal.METHODS["mmpareto"](scene, dataclasses.asdict(method))
    for encoder in twin.encoders:
        names = scene.names_of(encoder)
        both = [scene.backward(scene.losses[name]) for name in ("joint", encoder)]
        inner = literal.dot(*(literal.flat(gradients, names) for gradients in both))
        assert (inner < 0) == conflicting
    for name, parameter in network.named_parameters():
        difference = (parameter.grad - expected[name]).double().norm() / expected[name].double().norm()
        assert float(difference) < TOYS[dtype], name


def test_greedy_trains_one_modality_alone_in_these_steps(literal):
    toy = Toy(dtype=torch.float64)
    greedy = steps_of_the_product("greedy", "published", toy)
    joint = steps_of_the_product("joint", "published", toy)
    assert largest_difference(greedy, joint) > 1e-3
