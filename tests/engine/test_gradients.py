"""The gradient engine against autograd, objective by objective."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.components import components
from counterpoise.declare import MethodInfo
from counterpoise.engine import gradients as engine
from counterpoise.engine.step import initial_state, step_function
from counterpoise.errors import UserError
from counterpoise.methods.interface import IntegrationMethod, State
from counterpoise.methods.min_norm import LARGEST_NUMBER
from counterpoise.models.interface import EncoderModule, FusionModule
from counterpoise.models.network import Network
from counterpoise.testing.toy import Toy, make_method

KINDS = {
    "two modalities": Toy(dtype=torch.float64),
    "three modalities": Toy(modalities=3, dtype=torch.float64),
    "sum fusion": Toy(fusion="sum", dtype=torch.float64),
    "two tasks": Toy(tasks=True, dtype=torch.float64),
}
every_kind = pytest.mark.parametrize("toy", KINDS.values(), ids=KINDS.keys())


class Probe(IntegrationMethod):
    """Notes the Gramian that it is shown, and combines by fixed weights."""

    info = MethodInfo("probe", "Probe", "integration", "", "", tasks=True)

    def __init__(self, weights: tuple[float, ...], scope: str = "encoder") -> None:
        self.chosen = weights
        self.where = scope
        self.seen: list[Tensor] = []

    @property
    def scope(self) -> str:
        return self.where

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        self.seen.append(gramian)
        chosen = torch.tensor(self.chosen[: gramian.shape[-1]], dtype=gramian.dtype)
        return chosen.expand(gramian.shape[:-1]), state


def by_autograd(network: Network, toy: Toy, objective: str) -> dict[str, Tensor | None]:
    """The gradient of one objective on a copy, by one plain backward pass."""
    twin = copy.deepcopy(network)
    inputs, targets = toy.batch()
    logits = twin.predict(twin.encode(inputs), (objective,))[objective]
    functional.cross_entropy(logits, targets[twin.targets[objective]]).backward()
    return {name: p.grad for name, p in twin.named_parameters()}


def run(method: IntegrationMethod, network: Network, toy: Toy) -> None:
    inputs, targets = toy.batch()
    step_function(method, network)(inputs, targets, initial_state(method, network), 0, torch.Generator())


@every_kind
def test_every_gradient_is_the_weighted_sum_of_autograds(toy):
    network = toy.network()
    expected = {objective: by_autograd(network, toy, objective) for objective in network.objectives}
    weights = (0.3, 2.0)
    run(Probe(weights), network, toy)
    for name, parameter in network.named_parameters():
        reaching = [found[name] for found in expected.values() if found[name] is not None]
        in_encoder = name.startswith("encoders.")
        factors = weights if in_encoder else (1.0,)
        total = sum(factor * g for factor, g in zip(factors, reaching, strict=True))
        assert torch.allclose(parameter.grad, total, rtol=1e-9, atol=1e-14), name


@every_kind
def test_gramian_is_that_of_autograds_gradients(toy):
    network = toy.network()
    expected = {objective: by_autograd(network, toy, objective) for objective in network.objectives}
    whole, parts = Probe((1.0, 1.0)), Probe((1.0, 1.0), scope="tensor")
    run(whole, copy.deepcopy(network), toy)
    run(parts, copy.deepcopy(network), toy)
    for encoder, gramian, per_tensor in zip(network.modalities, whole.seen, parts.seen, strict=True):
        names = [f"encoders.{encoder}.{name}" for name, _ in network.encoders[encoder].named_parameters()]
        rows = [[found[name].flatten() for name in names] for found in expected.values() if found[names[0]] is not None]
        vectors = torch.stack([torch.cat(row) for row in rows])
        assert torch.allclose(gramian, vectors @ vectors.T, rtol=1e-9)
        each = torch.stack([torch.stack(column) @ torch.stack(column).T for column in zip(*rows, strict=True)])
        assert torch.allclose(per_tensor, each, rtol=1e-9, atol=1e-16)


def test_last_layer_gramian_is_of_that_layer_alone():
    toy = KINDS["two modalities"]
    network = toy.network()
    expected = {objective: by_autograd(network, toy, objective) for objective in network.objectives}
    probe = Probe((0.3, 2.0), scope="last_layer")
    run(probe, network, toy)
    name = "encoders.left.project.weight"
    joint, own = (expected[objective][name].flatten() for objective in ("joint", "left"))
    assert torch.allclose(probe.seen[0][0, 1], joint @ own, rtol=1e-9)
    whole = "encoders.left.conv1.weight"
    total = 0.3 * expected["joint"][whole] + 2.0 * expected["left"][whole]
    assert torch.allclose(network.get_parameter(whole).grad, total, rtol=1e-9, atol=1e-14)


def test_batch_norm_statistics_move_as_in_one_forward_pass():
    toy = KINDS["two modalities"]
    network = toy.network()
    twin = copy.deepcopy(network)
    twin.encode(toy.batch()[0])
    run(Probe((1.0, 1.0)), network, toy)
    for (name, found), (_, expected) in zip(network.named_buffers(), twin.named_buffers(), strict=True):
        assert torch.equal(found, expected), name


def test_frozen_parameters_get_no_gradient():
    toy = KINDS["two modalities"]
    network = toy.network()
    network.encoders["left"].conv1.weight.requires_grad_(False)
    network.fusion.linear.bias.requires_grad_(False)
    run(Probe((1.0, 1.0)), network, toy)
    assert network.encoders["left"].conv1.weight.grad is None
    assert network.fusion.linear.bias.grad is None
    assert network.encoders["left"].conv2.weight.grad is not None


def test_unimodal_losses_are_one_objective_and_tasks_one_each():
    network = KINDS["three modalities"].network()
    groups = engine.integrated_objectives(network, network.objectives)
    assert groups == [("joint",), ("left", "right", "third")]
    tasks = KINDS["two tasks"].network()
    assert engine.integrated_objectives(tasks, tasks.objectives) == [("shape",), ("place",)]


def test_weights_of_heads_are_averaged_over_encoders_where_asked_for():
    class Weighing(Probe):
        @property
        def weighs_heads(self) -> bool:
            return True

    toy = KINDS["two modalities"]
    network = toy.network()
    expected = {objective: by_autograd(network, toy, objective) for objective in network.objectives}
    run(Weighing((0.3, 2.0)), network, toy)
    assert torch.allclose(network.fusion.linear.weight.grad, 0.3 * expected["joint"]["fusion.linear.weight"])
    assert torch.allclose(network.heads["right"].weight.grad, 2.0 * expected["right"]["heads.right.weight"])


class Exchange(FusionModule):
    """Features see the mean of all through a layer of its own, before anything is predicted from them."""

    crosses = True

    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.inner = inner
        self.layer = nn.Linear(width, width)

    def mix(self, features):
        mean = torch.stack(list(features.values())).mean(dim=0)
        return {name: values + self.layer(mean).tanh() for name, values in features.items()}

    def mixing_parameters(self):
        return list(self.layer.parameters())

    def forward(self, features):
        return self.inner(features)


class OnTheWay(Exchange):
    """The same between the encoders' own runs: none can be run by itself."""

    def run(self, encoders, inputs, names):
        return Exchange.mix(self, {name: encoders[name](inputs[name]) for name in names})

    def mix(self, features):
        return features


def with_fusion(toy: Toy, kind: type[Exchange]) -> Network:
    network = toy.network()
    width = network.encoders["left"].width
    network.fusion = kind(network.fusion, width).to(toy.dtype)
    return network


def test_where_modalities_see_each_other_unimodal_losses_are_summed():
    toy = KINDS["two modalities"]
    network = with_fusion(toy, Exchange)
    expected = {objective: by_autograd(network, toy, objective) for objective in network.objectives}
    run(Probe((0.3, 2.0)), network, toy)
    for name in ("encoders.left.conv2.weight", "encoders.right.norm.bias"):
        total = 0.3 * expected["joint"][name] + 2.0 * (expected["left"][name] + expected["right"][name])
        assert torch.allclose(network.get_parameter(name).grad, total, rtol=1e-9, atol=1e-14), name


def test_what_features_exchange_through_gets_the_plain_sum():
    toy = KINDS["two modalities"]
    network = with_fusion(toy, Exchange)
    expected = {objective: by_autograd(network, toy, objective) for objective in network.objectives}
    run(Probe((0.3, 2.0)), network, toy)
    name = "fusion.layer.weight"
    total = sum(found[name] for found in expected.values())
    assert torch.allclose(network.get_parameter(name).grad, total, rtol=1e-9, atol=1e-14)
    assert torch.allclose(
        network.get_parameter("fusion.inner.linear.weight").grad, expected["joint"]["fusion.inner.linear.weight"]
    )


def test_encoders_that_exchange_features_on_the_way_are_refused():
    toy = KINDS["two modalities"]
    with pytest.raises(UserError, match="exchange features on the way"):
        step_function(Probe((1.0, 1.0)), with_fusion(toy, OnTheWay))


def vectors(scale: float) -> list[engine.Gradients]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 3), (7,), (1,))
    return [[scale * torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_inner_products_in_single_precision_keep_their_digits(scale):
    left, right = vectors(scale)
    exact = torch.stack([(a.double() * b.double()).sum() for a, b in zip(left, right, strict=True)])
    found = engine.inner_products(left, right)
    lengths = engine.norms(left) * engine.norms(right)
    assert ((found - exact).abs() <= 1e-6 * lengths).all()


@pytest.mark.parametrize("name", ["conventional_pareto", "gradnorm", "metabalance", "mmpareto", "pcgrad"])
@pytest.mark.parametrize("sizes", [(1.0, 1e-25), (1e-25, 1.0), (1e-25, 1e-25)])
def test_gradients_whose_square_is_nothing_in_float32_combine_to_finite_ones(name, sizes):
    """Opposite gradients, one so small that its square is 0 while its product with the other is not."""
    both = [[torch.full((4, 3), size)] for size in (sizes[0], -sizes[1])]
    method = make_method(name)
    losses = torch.ones(2)
    (combined,) = engine.integrate(method, both, losses, method.module_state(2, 1)).combined
    assert torch.isfinite(combined).all()
    if name == "pcgrad":  # there is nothing to project on: the larger one stays as it is
        ((left,), (right,)) = both
        assert torch.allclose(combined, left + right, rtol=1e-6, atol=0)


def test_a_gradient_whose_square_is_nothing_counts_as_zero():
    found = engine.gramian([[torch.ones(3)], [torch.full((3,), -1e-25)]])
    assert torch.allclose(found[0], torch.tensor([[3.0, 0.0], [0.0, 0.0]], dtype=torch.float64))
    assert not found[0, 0, 1]


class Still(EncoderModule):
    """An encoder without parameters: the mean of each channel, repeated to its width."""

    width = 6

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)).expand(-1, self.width)


INTEGRATION = sorted(
    name
    for name, found in components("method").items()
    if found.info.family == "integration" and found.module.startswith("counterpoise.")
)


@pytest.mark.parametrize("kind", ["frozen", "without parameters", "all frozen"])
@pytest.mark.parametrize("name", INTEGRATION)
def test_an_encoder_that_is_not_trained_is_left_out_and_the_others_are_combined_as_before(name, kind):
    toy = KINDS["two modalities"]
    method, network, reference = make_method(name, "published", toy), toy.network(), toy.network()
    if kind == "without parameters":
        network.encoders["left"] = Still()
        reference = copy.deepcopy(network)
    frozen = network.encoders if kind == "all frozen" else network.encoders["left"]
    frozen.requires_grad_(False)
    run(method, network, toy)
    for part in (network.fusion, network.heads):
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in part.parameters())
    assert all(p.grad is None for p in frozen.parameters())
    if kind == "frozen":
        run(method, reference, toy)
        for ours, theirs in zip(
            network.encoders["right"].parameters(), reference.encoders["right"].parameters(), strict=True
        ):
            assert torch.equal(ours.grad, theirs.grad)


def test_a_last_layer_that_is_frozen_is_refused_by_name():
    network = KINDS["two modalities"].network()
    network.encoders["right"].project.requires_grad_(False)
    with pytest.raises(UserError, match="last layer of each encoder; that of 'right' has no weight that is trained"):
        step_function(make_method("gradnorm"), network)


@pytest.mark.parametrize("name", ["mmpareto", "conventional_pareto"])
def test_more_tasks_than_the_solver_takes_are_refused_before_the_first_step(name):
    network = KINDS["two tasks"].network()
    assert make_method(name).info.most_tasks == LARGEST_NUMBER
    for number in range(LARGEST_NUMBER - 1):
        network.heads[f"more{number}"] = copy.deepcopy(network.heads["shape"])
        network.targets[f"more{number}"] = "shape"
    with pytest.raises(UserError, match=f"'{name}' combines at most 8 objectives, not 9"):
        step_function(make_method(name), network)


def test_infinite_weight_of_a_zero_gradient_is_nothing():
    gradients = [[torch.ones(3)], [torch.zeros(3)]]
    (combined,) = engine.combine(gradients, torch.tensor([1.0, torch.inf], dtype=torch.float64))
    assert torch.equal(combined, torch.ones(3))


def test_assigned_gradients_replace_what_was_there():
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), torch.nan)
    engine.assign([parameter], [torch.ones(2)])
    assert torch.equal(parameter.grad, torch.ones(2))


def count_convolutions(action: Callable[[], object]) -> tuple[int, int]:
    """How often the action runs a convolution forwards and backwards."""
    from torch.utils._python_dispatch import TorchDispatchMode

    counts = {"aten.convolution.default": 0, "aten.convolution_backward.default": 0}

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            if str(function) in counts:
                counts[str(function)] += 1
            return function(*arguments, **(keywords or {}))

    with Count():
        action()
    return tuple(counts.values())


@every_kind
def test_every_encoder_is_passed_once_and_pulled_back_once_per_objective(toy):
    network = toy.network()
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    method = Probe((1.0, 1.0))
    state, step = initial_state(method, network), step_function(method, network)
    inputs, targets = toy.batch()
    found = count_convolutions(lambda: step(inputs, targets, state, 0, torch.Generator()))
    assert found == (convolutions, 2 * convolutions)
