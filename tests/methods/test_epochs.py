"""What methods do before the first step and between epochs: prototypes, branches, accuracies, starting weights."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from counterpoise.errors import UserError
from counterpoise.methods.agm import mono_modal_outputs
from counterpoise.methods.fine_tune import FineTune
from counterpoise.methods.g_blending import GBlending
from counterpoise.methods.interface import Step, evaluating
from counterpoise.methods.mmcosine import MMCosine
from counterpoise.methods.mslr import MSLR, slice_accuracies
from counterpoise.methods.pmr import PMR
from counterpoise.methods.unimodal import Unimodal
from counterpoise.models.network import JOINT, Network
from counterpoise.testing.toy import CLASSES, Toy, make_method

TOY = Toy(dtype=torch.float64)


class BetweenEpochs:
    """What a method sees between epochs, with losses and splits that the test chooses."""

    def __init__(self, network: Network, epoch: int = 0) -> None:
        self.network = network
        self.epoch = epoch
        self.asked: list[tuple[str, float]] = []
        self.trained: list[tuple[tuple[str, ...], int]] = []
        self.losses: dict[tuple[str, str | None], dict[str, float]] = {}
        self.parts = [TOY.batch(20, seed=1), TOY.batch(10, seed=2)]

    def generator(self, name: str) -> torch.Generator:
        return torch.Generator()

    def batches(self, split: str, fraction: float = 1.0) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        self.asked.append((split, fraction))
        yield from self.parts

    def objective_losses(self, split: str, network: object = None) -> dict[str, Tensor]:
        found = self.losses[split, network]
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    def train_branch(self, objectives: tuple[str, ...], epochs: int) -> str:
        self.trained.append((objectives, epochs))
        return objectives[0]


class TestPrototypes:
    def features(self, network: Network, parts: list) -> tuple[dict[str, Tensor], Tensor]:
        with evaluating(network), torch.no_grad():
            found = [network.encode(inputs) for inputs, _ in parts]
        labels = torch.cat([targets["class"] for _, targets in parts])
        return {name: torch.cat([part[name] for part in found]) for name in network.modalities}, labels

    def test_prototypes_are_class_means_over_part_of_the_training_split(self):
        epoch = BetweenEpochs(TOY.network())
        method = PMR(share=0.25)
        state = method.start_epoch(epoch, method.initial_state(epoch.network))
        assert epoch.asked == [("train", 0.25)]
        features, labels = self.features(epoch.network, epoch.parts)
        for name in epoch.network.modalities:
            expected = torch.stack([features[name][labels == k].mean(dim=0) for k in range(CLASSES)])
            assert torch.allclose(state[f"prototypes/{name}"], expected)

    def test_part_of_the_last_prototypes_is_kept(self):
        epoch = BetweenEpochs(TOY.network())
        method = PMR(momentum=0.2)
        first = method.start_epoch(epoch, method.initial_state(epoch.network))
        old = {key: value + 1 for key, value in first.items()}
        epoch.epoch = 1
        second = method.start_epoch(epoch, old)
        key = "prototypes/left"
        assert torch.allclose(second[key], 0.2 * old[key] + 0.8 * first[key])

    def test_in_the_released_variant_nothing_is_kept_before_the_third_prototypes(self):
        """Its code calls the epoch 0 twice: before the training, and at the end of the first epoch."""
        epoch, key = BetweenEpochs(TOY.network()), "prototypes/left"
        method = dataclasses.replace(make_method("pmr", "released"), momentum=0.2)
        first = method.start_epoch(epoch, method.initial_state(epoch.network))
        old = {name: value + 1 for name, value in first.items()}
        epoch.epoch = 1
        assert torch.equal(method.start_epoch(epoch, old)[key], first[key])
        epoch.epoch = 2
        assert torch.allclose(method.start_epoch(epoch, old)[key], 0.2 * old[key] + 0.8 * first[key])

    def test_class_without_a_member_keeps_its_last_prototype(self):
        epoch = BetweenEpochs(TOY.network())
        method = PMR(momentum=0.0)
        first = method.start_epoch(epoch, method.initial_state(epoch.network))
        epoch.parts = without_last_class(epoch.parts)
        second = method.start_epoch(epoch, first)
        key = "prototypes/right"
        assert torch.equal(second[key][CLASSES - 1], first[key][CLASSES - 1])
        assert not torch.equal(second[key][CLASSES - 2], first[key][CLASSES - 2])

    def test_class_never_seen_stands_in_the_middle(self):
        epoch = BetweenEpochs(TOY.network())
        epoch.parts = without_last_class(epoch.parts)
        method = PMR()
        state = method.start_epoch(epoch, method.initial_state(epoch.network))
        features, _ = self.features(epoch.network, epoch.parts)
        assert torch.allclose(state["prototypes/left"][CLASSES - 1], features["left"].mean(dim=0))

    def test_the_network_is_left_in_training_with_its_statistics(self):
        network = TOY.network().train()
        before = copy.deepcopy(network.state_dict())
        epoch = BetweenEpochs(network)
        PMR().start_epoch(epoch, PMR().initial_state(network))
        assert network.training
        assert network.encoders["left"].norm.training
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())

    def test_nothing_is_computed_after_the_last_modulated_epoch(self):
        epoch = BetweenEpochs(TOY.network(), epoch=4)
        method = PMR(ends=3)
        state = {"prototypes/left": torch.zeros(1)} | method.initial_state(epoch.network)
        assert method.start_epoch(epoch, state)["prototypes/left"] is state["prototypes/left"]
        assert epoch.asked == []


def without_last_class(parts: list) -> list:
    """The same batches, with what was of the last class counted to the one before."""
    return [(inputs, {"class": y["class"].clamp(max=CLASSES - 2)}) for inputs, y in parts]


class TestBlending:
    def epoch(self, number: int = 0) -> BetweenEpochs:
        epoch = BetweenEpochs(TOY.network(), number)
        epoch.losses = {
            ("train", None): {"joint": 1.0, "left": 1.0, "right": 1.0},
            ("val", None): {"joint": 1.5, "left": 1.5, "right": 1.5},
        }
        # dG = 0.5, 0.2, 0.6 and dO = 1, 0.5, 1.5: the values of the published example
        for name, gain, overfit in (("joint", 0.5, 1.0), ("left", 0.2, 0.5), ("right", 0.6, 1.5)):
            val = 1.5 - gain
            train = val - 0.5 - overfit
            wrong = {"joint": 9.0, "left": 9.0, "right": 9.0}
            epoch.losses["val", name] = wrong | {name: val}
            epoch.losses["train", name] = wrong | {name: train}
        return epoch

    def test_weights_come_from_a_branch_for_every_objective(self):
        epoch = self.epoch()
        method = GBlending(super_epoch=4)
        state = method.start_epoch(epoch, method.initial_state(epoch.network))
        assert epoch.trained == [(("joint",), 4), (("left",), 4), (("right",), 4)]
        expected = torch.tensor([0.319149, 0.510638, 0.170213], dtype=torch.float64)
        assert torch.allclose(state["weights"], expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("online", "number", "estimates"),
        [(True, 0, True), (True, 3, False), (True, 4, True), (False, 0, True), (False, 4, False)],
    )
    def test_weights_are_estimated_when_due(self, online, number, estimates):
        epoch = self.epoch(number)
        method = GBlending(super_epoch=4, online=online)
        before = method.initial_state(epoch.network)
        state = method.start_epoch(epoch, before)
        assert bool(epoch.trained) == estimates
        assert torch.equal(state["weights"], before["weights"]) != estimates


class TestGreedy:
    def test_the_second_epoch_is_the_first_that_is_balanced(self):
        """Its code counts epochs from 1 and starts at 2."""
        method = make_method("greedy")
        speeds = torch.tensor([1.0, 9.0], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        started = [
            int(method.balance(*speeds, method.initial_state(TOY.network()), epoch >= method.starts)["remaining"])
            for epoch in (0, 1, 2)
        ]
        assert started == [0, method.window, method.window]

    def test_an_encoder_that_is_frozen_is_refused_by_name(self):
        network = TOY.network()
        network.encoders["right"].requires_grad_(False)
        with pytest.raises(UserError, match="encoder of 'right' is frozen"):
            make_method("greedy").check(network)


class TestAccuracies:
    def test_each_modality_is_judged_by_its_part_of_the_joint_logits(self):
        epoch = BetweenEpochs(TOY.network())
        found = slice_accuracies(epoch)
        assert epoch.asked == [("val", 1.0)]
        network, linear = epoch.network, epoch.network.fusion.linear
        width = network.encoders["left"].width
        hits = {"left": 0, "right": 0}
        with evaluating(network), torch.no_grad():
            for inputs, targets in epoch.parts:
                features = network.encode(inputs)
                for name, columns in (("left", slice(0, width)), ("right", slice(width, None))):
                    logits = features[name] @ linear.weight[:, columns].T + linear.bias / 2
                    hits[name] += int((logits.argmax(dim=1) == targets["class"]).sum())
        assert found.tolist() == pytest.approx([hits["left"] / 30, hits["right"] / 30])

    def test_initial_rates_have_one_number_for_each_modality(self):
        with pytest.raises(UserError, match="3 numbers for 2 modalities"):
            MSLR(initial=[1.0, 2.0, 3.0]).check(TOY.network())

    def test_rates_move_smoothly_to_one(self):
        method = MSLR(strategy="smooth", initial=[0.5, 3.0], memory=4)
        state = method.initial_state(TOY.network())
        for number, expected in ((0, [0.5, 3.0]), (2, [0.75, 2.0]), (4, [1.0, 1.0]), (9, [1.0, 1.0])):
            found = method.start_epoch(BetweenEpochs(TOY.network(), number), state)["current"]
            assert found.tolist() == pytest.approx(expected)

    def test_kept_rates_do_not_move(self):
        method = MSLR(strategy="keep", initial=[0.5, 3.0])
        epoch = BetweenEpochs(TOY.network())
        state = method.initial_state(epoch.network)
        assert method.end_epoch(epoch, state) is state
        assert epoch.asked == []


class TestFineTuning:
    def test_encoders_and_heads_start_as_the_unimodal_runs_ended(self):
        network, fresh = TOY.network(seed=0), TOY.network(seed=0)
        ended = {name: TOY.network(seed=number).state_dict() for number, name in enumerate(TOY.names, start=5)}
        FineTune().initialise(network, ended.__getitem__)
        found = network.state_dict()
        for name in found:
            owner = next((part for part in TOY.names if f".{part}." in name), None)
            expected = ended[owner][name] if owner else fresh.state_dict()[name]
            assert torch.equal(found[name], expected), name

    def test_second_stage_says_what_is_trained(self):
        network = TOY.network()
        assert FineTune().objectives(network) == ("joint", "left", "right")
        assert FineTune(second_stage="joint").objectives(network) == ("joint",)


class TestUnimodal:
    def test_a_modality_that_is_not_there_is_refused_with_the_nearest(self):
        with pytest.raises(UserError, match=r"'rigth'.*did you mean 'right'"):
            Unimodal(modality="rigth").check(TOY.network())

    def test_tasks_have_no_modalities(self):
        with pytest.raises(UserError, match="tasks, not modalities"):
            Unimodal(modality="left").check(Toy(tasks=True).network())


class TestCosine:
    def test_lengths_of_features_and_weights_do_not_count(self):
        network = TOY.network()
        features = network.encode(TOY.batch()[0])
        before = MMCosine().predict(network, features)[JOINT]
        with torch.no_grad():
            network.fusion.linear.weight[:, :6] *= 7
            network.fusion.linear.bias += 3
        longer = features | {"right": 1e3 * features["right"]}
        assert torch.allclose(MMCosine().predict(network, longer)[JOINT], before)

    def test_a_feature_of_zero_counts_for_nothing(self):
        network = TOY.network()
        features = network.encode(TOY.batch()[0])
        features["left"] = torch.zeros_like(features["left"], requires_grad=True)
        logits = MMCosine().predict(network, features)[JOINT]
        logits.sum().backward()
        assert torch.isfinite(logits).all()
        assert torch.isfinite(features["left"].grad).all()

    def test_released_evaluation_takes_the_fusions_own_logits(self):
        network, method = TOY.network(), make_method("mmcosine", "released")
        features = network.encode(TOY.batch()[0])
        own = network.fusion(features)
        assert not torch.allclose(method.predict(network, features)[JOINT], own)
        with evaluating(network):
            assert torch.equal(method.predict(network, features)[JOINT], own)
            published = make_method("mmcosine").predict(network, features)[JOINT]
        assert not torch.allclose(published, own)


class TestShapley:
    @pytest.mark.parametrize("modalities", [2, 3])
    def test_shares_add_up_to_the_joint_output(self, modalities):
        toy = Toy(modalities=modalities, dtype=torch.float64)
        network = toy.network().eval()
        inputs, targets = toy.batch()
        features = network.encode(inputs)
        outputs = network.predict(features, (JOINT,))
        labels = {JOINT: targets["class"]}
        step = Step(network, inputs, features, outputs, {}, labels, 0, torch.Generator())
        assert torch.allclose(mono_modal_outputs(step).sum(dim=0), outputs[JOINT])

    def test_share_under_a_linear_fusion_is_the_slice(self):
        """``m_u = W_u z_u + b / 2`` where an input of zero gives a feature of zero."""
        network = TOY.network().eval()
        with torch.no_grad():
            for encoder in network.encoders.values():
                for name, parameter in encoder.named_parameters():
                    if name.endswith("bias"):
                        parameter.zero_()
        inputs, targets = TOY.batch()
        features = network.encode(inputs)
        outputs = network.predict(features, (JOINT,))
        step = Step(network, inputs, features, outputs, {}, {JOINT: targets["class"]}, 0, torch.Generator())
        shares = mono_modal_outputs(step)
        slices = network.fusion.contributions(features)
        for number, name in enumerate(network.modalities):
            assert torch.allclose(shares[number], slices[name])
