"""MMTM fusion, and Greedy on it as in its paper, against the algorithm written out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tiny_models import build_network
from torch.nn import functional

from counterpoise.engine.step import initial_state, step_function
from counterpoise.errors import UserError
from counterpoise.methods.greedy import Greedy
from counterpoise.models.network import JOINT, Network
from counterpoise.testing.toy import make_method

NAMES = ("left", "right")


def network(shapes: dict[str, tuple[int, ...]] | None = None, encoder: str = "resnet18") -> Network:
    settings = {"width": 16} if encoder == "resnet18" else {"channels": 2, "width": 16}
    config = {
        "encoders": {name: {"component": encoder, "settings": settings} for name in NAMES},
        "fusion": {"component": "mmtm", "settings": {}},
        "head": {"hidden": None},
        "init": "torch",
    }
    shapes = shapes or dict.fromkeys(NAMES, (1, 32, 32))
    return build_network(config, shapes, {"class": 3}, 0).double()


def batch(seed: int = 0, frames: int | None = None) -> tuple[dict, dict]:
    random = torch.Generator().manual_seed(seed)
    shape = (8, 1, 32, 32) if frames is None else (8, frames, 1, 32, 32)
    left = torch.randn(8, 1, 32, 32, generator=random, dtype=torch.float64)
    right = torch.randn(shape, generator=random, dtype=torch.float64)
    return dict(zip(NAMES, (left, right), strict=True)), {"class": torch.randint(3, (8,), generator=random)}


def test_joint_logits_are_the_mean_of_the_branches():
    made = network()
    features = made.encode(batch()[0])
    branches = made.fusion.branch_logits(features)
    assert torch.allclose(made.fusion(features), (branches["left"] + branches["right"]) / 2)
    assert torch.allclose(sum(made.fusion.contributions(features).values()), made.fusion(features))


def test_every_branch_sees_the_other_modality():
    made = network().eval()
    inputs, _ = batch()
    before = made.fusion.branch_logits(made.encode(inputs))
    changed = made.fusion.branch_logits(made.encode(inputs | {"right": 3 * inputs["right"]}))
    assert not torch.allclose(before["left"], changed["left"])


def test_held_gates_close_a_branch_to_the_other_modality():
    made = network()
    inputs, _ = batch()
    made.encode(inputs)  # an average to stand at
    for module in made.modules():  # so that only gates could carry the other modality over
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    other = inputs | {"right": 3 * inputs["right"]}

    def left(given: dict, held: tuple[bool, bool]) -> torch.Tensor:
        twin = copy.deepcopy(made)
        twin.fusion.held = torch.tensor(held)
        for exchange in twin.fusion.exchanges:
            exchange._average = lambda gates: None
        return twin.fusion.branch_logits(twin.encode(given))["left"]

    assert torch.allclose(left(inputs, (True, False)), left(other, (True, False)))
    assert not torch.allclose(left(inputs, (False, True)), left(other, (False, True)))


def test_a_branch_by_itself_has_the_average_gates_and_leaves_them_as_they_are():
    made = network()
    inputs, _ = batch()
    made.encode(inputs)  # an average to stand at
    average = made.fusion.exchanges[0].average_left.clone()
    for module in made.modules():  # so that batches have no say
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    alone = made.encode({"left": inputs["left"]}, ("left",))
    assert list(alone) == ["left"]
    assert torch.equal(made.fusion.exchanges[0].average_left, average)
    made.fusion.held = torch.tensor([True, False])
    for exchange in made.fusion.exchanges:
        exchange._average = lambda gates: None
    assert torch.allclose(made.encode(inputs)["left"], alone["left"])


def test_gates_are_never_held_in_evaluation():
    made = network()
    made.encode(batch()[0])
    made.eval()
    free = made.encode(batch()[0])
    made.fusion.held = torch.tensor([True, True])
    held = made.encode(batch()[0])
    assert all(torch.equal(free[name], held[name]) for name in NAMES)


def test_average_is_over_all_training_steps_so_far():
    made = network()
    exchange = made.fusion.exchanges[0]
    seen = []
    original = exchange._average
    exchange._average = lambda gates: (seen.append(gates["right"].detach().mean(dim=0)), original(gates))
    for seed in range(3):
        made.encode(batch(seed)[0])
    assert torch.allclose(exchange.average_right, torch.stack(seen).mean(dim=0))
    made.eval()
    made.encode(batch(9)[0])
    assert float(exchange.steps) == 3


def test_frames_of_a_video_share_their_samples_gates():
    made = network({"left": (1, 32, 32), "right": (4, 1, 32, 32)})
    features = made.encode(batch(frames=4)[0])
    assert {name: tuple(values.shape) for name, values in features.items()} == dict.fromkeys(NAMES, (8, 16))


def test_an_encoder_without_stages_is_refused():
    with pytest.raises(UserError, match="the encoder of 'left' has not four stages"):
        network(encoder="conv4").encode(batch()[0])


@pytest.mark.parametrize("name", ["mmpareto", "pcgrad", "gradnorm", "unimodal"])
def test_methods_that_take_encoders_by_themselves_are_refused(name):
    with pytest.raises(UserError, match="by itself"):
        step_function(make_method(name), network())


@pytest.mark.parametrize("name", ["joint", "uniform", "ogm", "mlb", "agm", "mmcosine", "greedy"])
def test_other_methods_take_steps_on_it(name):
    made, method = network(), make_method(name)
    state = initial_state(method, made)
    _, state = step_function(method, made)(*batch(), state, 3, torch.Generator())
    gradients = [p.grad for p in made.encoders.parameters()]
    assert all(torch.isfinite(g).all() for g in gradients)


def greedy_written_out(made: Network, steps: int, settings: Greedy) -> None:
    """As callbacks.py of the released code: speeds, curation, branches' losses; plain descent."""
    m_bypass, m_main, left, care = [0.0, 0.0], [0.0, 0.0], 0, 0
    for number in range(steps):
        inputs, targets = batch(number)
        held = torch.tensor([left > 0 and care == 0, left > 0 and care == 1])
        made.fusion.held = held
        features = made.encode(inputs)
        made.zero_grad(set_to_none=True)
        branches = [made.fusion.branches[name](features[name]) for name in NAMES]
        sum(functional.cross_entropy(logits, targets["class"]) for logits in branches).backward()
        if left > 0:
            left -= 1
        else:
            for k, name in enumerate(NAMES):
                sums = {"main": [0.0, 0.0], "bypass": [0.0, 0.0]}
                for label, p in made.named_parameters():
                    if p.grad is None:
                        continue
                    own = label.startswith((f"encoders.{name}.", f"fusion.branches.{name}."))
                    carries = ".squeeze." in label or f".excite.{name}." in label
                    if own or carries:
                        part = sums["main" if own else "bypass"]
                        part[0] += float((p.grad**2).sum())
                        part[1] += float((p.detach() ** 2).sum())
                m_main[k] += sums["main"][0] / sums["main"][1]
                m_bypass[k] += sums["bypass"][0] / sums["bypass"][1]
            d = math.log10(m_bypass[0] / m_main[0]) - math.log10(m_bypass[1] / m_main[1])
            if abs(d) > settings.tolerance:
                left, care = settings.window, 0 if d > 0 else 1
        for p in made.parameters():
            if p.grad is not None:
                p.data -= 0.05 * p.grad


def test_greedy_on_it_is_as_written_out():
    method = Greedy(starts=0, window=2)
    expected, found = network(), network()
    greedy_written_out(expected, 5, method)
    step, state, alone = step_function(method, found), initial_state(method, found), set()
    for number in range(5):
        inputs, targets = batch(number)
        _, state = step(inputs, targets, state, 0, torch.Generator())
        alone.add(tuple(state["coefficients"].tolist()))
        with torch.no_grad():
            for p in found.parameters():
                if p.grad is not None:
                    p -= 0.05 * p.grad
    assert len(alone) > 1
    for (name, a), (_, b) in zip(found.state_dict().items(), expected.state_dict().items(), strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=1e-9, atol=1e-12), name


def test_greedy_leaves_unimodal_heads_alone():
    made = network()
    step_function(make_method("greedy"), made)(
        *batch(), initial_state(make_method("greedy"), made), 0, torch.Generator()
    )
    assert made.heads["left"].weight.grad is None
    assert made.objectives == (JOINT, *NAMES)
