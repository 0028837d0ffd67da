"""What a step of each family touches, runs and refuses."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import MethodInfo
from counterpoise.engine.step import initial_state, step_function
from counterpoise.errors import UserError
from counterpoise.methods.interface import LossMethod, Method, ModulationMethod, State, Step
from counterpoise.models.network import Network
from counterpoise.testing.toy import Toy, make_method

TOY = Toy(dtype=torch.float64)


class Scaling(ModulationMethod):
    """Scales the first modality by 3 and the second by 5."""

    info = MethodInfo("scaling", "Scaling", "modulation", "", "")

    def __init__(self, where: str = "encoder", noise: bool = False, until: int = 99) -> None:
        self.where, self.noisy, self.until = where, noise, until

    @property
    def modulated(self) -> str:
        return self.where

    @property
    def noise(self) -> bool:
        return self.noisy

    def active(self, epoch: int) -> bool:
        return epoch <= self.until

    def scores(self, step: Step) -> Tensor:
        return torch.ones(2, dtype=torch.float64)

    def coefficients(self, scores: Tensor, state: State) -> tuple[Tensor, State]:
        return scores * torch.tensor([3.0, 5.0], dtype=torch.float64), state


def take(method: Method, network: Network, toy: Toy = TOY, epoch: int = 0, seed: int = 0, **more: object) -> State:
    inputs, targets = toy.batch()
    generator = torch.Generator().manual_seed(seed)
    step = step_function(method, network, **more)
    return step(inputs, targets, initial_state(method, network), epoch, generator)[1]


def gradients(method: Method, epoch: int = 0, seed: int = 0) -> dict[str, Tensor | None]:
    network = TOY.network()
    take(method, network, epoch=epoch, seed=seed)
    return {name: p.grad for name, p in network.named_parameters()}


def ratios(found: dict[str, Tensor | None], plain: dict[str, Tensor | None]) -> dict[str, float]:
    """By which factor each gradient was scaled."""
    factors = {}
    for name, gradient in found.items():
        nonzero = plain[name].abs() > 1e-12
        each = gradient[nonzero] / plain[name][nonzero]
        assert torch.allclose(each, each[:1].expand_as(each)), name
        factors[name] = round(float(each[0]), 9)
    return factors


@pytest.fixture(scope="module")
def plain() -> dict[str, Tensor | None]:
    return gradients(make_method("uniform"))


class TestModulation:
    def test_an_encoder_is_scaled_with_all_its_parameters(self, plain):
        factors = ratios(gradients(Scaling()), plain)
        assert {v for name, v in factors.items() if name.startswith("encoders.left.")} == {3.0}
        assert {v for name, v in factors.items() if name.startswith("encoders.right.")} == {5.0}
        assert {v for name, v in factors.items() if not name.startswith("encoders.")} == {1.0}

    def test_convolutions_are_scaled_alone(self, plain):
        factors = ratios(gradients(Scaling("convolutions")), plain)
        shapes = {name: p.ndim for name, p in TOY.network().named_parameters()}
        for name, factor in factors.items():
            scaled = name.startswith("encoders.") and shapes[name] == 4
            assert factor == ((3.0 if ".left." in name else 5.0) if scaled else 1.0), name

    def test_a_modality_is_its_encoder_its_head_and_its_columns_of_the_fusion(self, plain):
        found = gradients(Scaling("modality"))
        width = TOY.network().encoders["left"].width
        weight, before = found.pop("fusion.linear.weight"), plain["fusion.linear.weight"]
        assert torch.allclose(weight[:, :width], 3 * before[:, :width])
        assert torch.allclose(weight[:, width:], 5 * before[:, width:])
        factors = ratios(found, plain)
        assert factors.pop("fusion.linear.bias") == 1.0
        assert factors == {name: 3.0 if ".left." in name else 5.0 for name in factors}

    @pytest.mark.parametrize(
        ("fusion", "own"),
        [
            ("mid_mlp", {"left": ["project.left.weight"], "right": ["project.right.weight"]}),
            ("gated", {"left": ["gate.weight", "gate.bias"], "right": ["value.weight", "value.bias"]}),
            ("film", {}),
        ],
    )
    def test_a_modality_takes_in_the_layers_of_the_fusion_that_it_alone_passes(self, fusion, own):
        """As MLB's code, which goes by names: fc_0_lin.weight of Mid-MLP, fc_mod0_x of Gated, none of FiLM."""

        def gradients_of(method) -> dict[str, Tensor | None]:
            network = Toy(fusion=fusion, dtype=torch.float64).network().eval()  # no dropout
            take(method, network)
            return {name: p.grad for name, p in network.named_parameters()}

        factors = ratios(gradients_of(Scaling("modality")), gradients_of(make_method("uniform")))
        expected = {f"fusion.{name}": 3.0 if side == "left" else 5.0 for side, names in own.items() for name in names}
        found = {name: factor for name, factor in factors.items() if name.startswith("fusion.") and factor != 1.0}
        assert found == expected

    def test_a_modality_without_columns_in_the_fusion_is_encoder_and_head(self, plain):
        class Opaque(nn.Module):
            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, features):
                return self.inner(features)

        network = TOY.network()
        network.fusion = Opaque(network.fusion)
        take(Scaling("modality"), network)
        assert torch.allclose(network.fusion.inner.linear.weight.grad, plain["fusion.linear.weight"])
        assert torch.allclose(network.heads["right"].weight.grad, 5 * plain["heads.right.weight"])

    def test_outside_its_epochs_nothing_is_scaled(self, plain):
        assert set(ratios(gradients(Scaling(until=3), epoch=4), plain).values()) == {1.0}

    def test_noise_has_the_deviation_that_the_gradient_had(self, plain):
        name = "encoders.left.conv4.weight"
        draws = torch.stack([gradients(Scaling(noise=True), seed=s)[name] - 3 * plain[name] for s in range(30)])
        assert float(draws.std() / plain[name].std()) == pytest.approx(1.0, abs=0.05)
        assert float(draws.mean()) == pytest.approx(0.0, abs=0.1 * float(plain[name].std()))

    def test_noise_comes_from_the_steps_generator(self):
        one, same, other = (gradients(Scaling(noise=True), seed=s) for s in (1, 1, 2))
        name = "encoders.right.conv1.weight"
        assert torch.equal(one[name], same[name])
        assert not torch.equal(one[name], other[name])

    def test_noise_on_a_single_number_is_finite(self):
        found = gradients(Scaling(noise=True))
        assert found["encoders.left.norm.weight"].numel() == 1
        assert torch.isfinite(found["encoders.left.norm.weight"]).all()

    def test_an_encoder_without_convolutions_is_refused_by_name(self):
        network = TOY.network()
        network.encoders["right"] = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
        with pytest.raises(UserError, match="the encoder of 'right' has none"):
            step_function(make_method("ogm", "released"), network)


class TestWhatIsRun:
    def test_a_single_modality_runs_its_encoder_alone(self):
        network = TOY.network()
        before = copy.deepcopy(network.state_dict())
        take(make_method("unimodal"), network)
        after = network.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == {name for name in before if name.startswith("encoders.left.") and "running" in name} | {
            "encoders.left.norm.num_batches_tracked"
        }
        assert network.encoders["right"].conv1.weight.grad is None
        assert network.fusion.linear.weight.grad is None

    def test_one_joint_loss_leaves_unimodal_heads_without_gradient(self):
        network = TOY.network()
        take(make_method("joint"), network)
        assert network.heads["left"].weight.grad is None
        assert network.fusion.linear.weight.grad is not None

    def test_losses_are_reported_by_objective(self):
        network = TOY.network()
        method = make_method("mmpareto")
        inputs, targets = TOY.batch()
        outputs = network.predict(network.encode(inputs), network.objectives)
        losses, _ = step_function(method, network)(
            inputs, targets, initial_state(method, network), 0, torch.Generator()
        )
        assert set(losses) == {"joint", "left", "right"}
        for name, loss in losses.items():
            expected = functional.cross_entropy(outputs[name], targets["class"])
            assert torch.allclose(loss, expected)
            assert not loss.requires_grad

    def test_a_class_of_no_family_is_refused(self):
        class Odd(Method):
            info = MethodInfo("odd", "Odd", "", "", "")

        with pytest.raises(UserError, match=r"'odd'.*LossMethod, ModulationMethod or IntegrationMethod"):
            step_function(Odd(), TOY.network())

    def test_state_is_made_on_the_networks_device(self):
        class Remembers(LossMethod):
            info = MethodInfo("remembers", "Remembers", "", "", "")

            def initial_state(self, network):
                return {"x": torch.zeros(2)}

        network = TOY.network().to("meta")
        assert initial_state(Remembers(), network)["x"].device.type == "meta"

    def test_every_encoder_has_its_own_state(self):
        state = initial_state(make_method("gradnorm"), TOY.network())
        assert set(state) == {
            f"{encoder}/{key}" for encoder in ("left", "right") for key in ("weights", "initial_losses")
        }


class TestHalfPrecision:
    TOY = Toy()

    @pytest.mark.parametrize("name", ["uniform", "mlb", "mmpareto", "gradnorm", "agm"])
    def test_gradients_are_near_those_of_full_precision(self, name):
        found = []
        for autocast in (None, torch.bfloat16):
            network = self.TOY.network()
            take(make_method(name), network, self.TOY, autocast=autocast)
            parts = [p.grad.flatten() for p in network.encoders.parameters()]
            found.append(torch.cat(parts))
        full, half = found
        assert half.dtype == torch.float32
        assert float(functional.cosine_similarity(full, half, dim=0)) > 0.95
        assert not torch.equal(full, half)


def test_greedy_freezes_the_other_modality_while_one_is_trained_alone():
    method = make_method("greedy")
    network = TOY.network()
    state = initial_state(method, network)
    state |= {"remaining": torch.tensor(2), "alone": torch.tensor(1)}
    inputs, targets = TOY.batch()
    _, after = step_function(method, network)(inputs, targets, state, 3, torch.Generator())
    assert float(network.encoders["left"].conv1.weight.grad.norm()) == 0.0
    assert float(network.encoders["right"].conv1.weight.grad.norm()) > 0.0
    assert int(after["remaining"]) == 1


def test_settings_reach_the_step():
    mild, strong = (dataclasses.replace(make_method("ogm"), alpha=alpha) for alpha in (0.01, 2.0))
    left = [gradients(method)["encoders.left.conv1.weight"].norm() for method in (mild, strong)]
    right = [gradients(method)["encoders.right.conv1.weight"].norm() for method in (mild, strong)]
    assert (left[0] > left[1]) != (right[0] > right[1])
