"""Every method passes the conformance suite, and the suite sees what it is there to see."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from counterpoise.cli.app import main
from counterpoise.components import components
from counterpoise.declare import MethodInfo
from counterpoise.errors import UserError
from counterpoise.methods.interface import IntegrationMethod, LossMethod, Method, State, Step
from counterpoise.methods.mmpareto import MMPareto
from counterpoise.methods.uniform import Uniform
from counterpoise.models.network import JOINT
from counterpoise.testing import conformance
from counterpoise.testing.conformance import PROPERTIES, Case, Violation, cases_of, check, check_method

CASES = [
    (label, case)
    for name, found in components("method").items()
    for variant in found.info.variants
    for label, case in cases_of(name, variant)
]


def described(value: object) -> str:
    if not isinstance(value, Case):
        return str(value)
    toy = "two tasks" if value.toy.tasks else f"{value.toy.modalities} modalities"
    return f"{value.name} {value.variant}, {toy}"


@pytest.mark.parametrize(("label", "case"), CASES, ids=described)
def test_method_conforms(label, case):
    result = check(label, case)
    assert result.passed, result.detail


def test_every_property_is_checked_on_every_variant():
    results = check_method("joint")
    assert {result.variant for result in results} == {"published"}
    assert {result.name.partition(" (")[0] for result in results} == set(PROPERTIES)
    assert all(result.passed for result in results)


def test_unknown_method_is_an_error():
    with pytest.raises(UserError, match="did you mean 'mmpareto'"):
        check_method("mmparetto")


# Methods with one fault each, and the property that has to see it.

INFO = MethodInfo("faulty", "Faulty", "loss", "", "", tasks=True)


class Faulty(LossMethod):
    info = INFO


class DividesByTheLoss(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        return sum(loss / loss.detach() for loss in step.losses.values()), state


class AddsToOldGradients(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        old = [p.grad for p in step.network.parameters() if p.grad is not None]
        return super().loss(step, state)[0] + sum(g.sum() for g in old) * step.losses[JOINT], state


class MovesWhatItDoesNotTrain(Faulty):
    def objectives(self, network):
        return (JOINT,)

    def after_backward(self, step: Step, state: State) -> State:
        for head in step.network.heads.values():
            for parameter in head.parameters():
                parameter.mul_(0.9)
        return state


class AsksTheDevice(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        return (step.losses[JOINT] if step.losses[JOINT].item() > 0.1 else super().loss(step, state)[0]), state


class BranchesOnAValue(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        total = super().loss(step, state)[0]
        return (total if total > 0.5 else 2 * total), state


class MakesATensorOnTheHost(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        total = super().loss(step, state)[0]
        return total * torch.ones(()).to(total.device), state


class DrawsFromNowhere(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        draw = torch.rand((), generator=torch.Generator().manual_seed(torch.seed() % 2**31))
        return super().loss(step, state)[0] * draw, state


class RemembersByItself(Faulty):
    def __init__(self) -> None:
        self.steps = 0

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        self.steps += 1
        return super().loss(step, state)[0] / self.steps, state


class StateGrows(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        total = super().loss(step, state)[0]
        seen = torch.cat([state.get("seen", total.new_zeros(0)), total.detach()[None]])
        return total, {"seen": seen}


class StateKeepsTheGraph(Faulty):
    def initial_state(self, network):
        return {"last": torch.zeros(())}

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        total = super().loss(step, state)[0]
        return total, {"last": total}


class RunsTheEncodersTwice(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        again = step.network.encode(step.inputs)
        return super().loss(step, state)[0] + 0.0 * sum(z.sum() for z in again.values()), state


class GoesUp(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        return -super().loss(step, state)[0].clamp(max=1.0), state


class DoesNothing(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        return 0.0 * super().loss(step, state)[0], state

    def after_backward(self, step: Step, state: State) -> State:
        for parameter in step.network.parameters():
            parameter.grad = None
        return state


class HalfPrecisionState(Faulty):
    def initial_state(self, network):
        return {"mean": torch.zeros(3)}

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        return super().loss(step, state)[0], {"mean": step.outputs[JOINT].detach().mean(dim=0)}


class DividesByTheNorm(IntegrationMethod):
    info = dataclasses.replace(INFO, family="integration")

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        squares = gramian.diagonal(dim1=-2, dim2=-1)
        return squares.sqrt() / squares, state


FAULTS: list[tuple[Callable[[], Method], str]] = [
    (DividesByTheLoss, "gradients are finite on edge cases"),
    (AddsToOldGradients, "gradients are cleared before a step"),
    (MovesWhatItDoesNotTrain, "what no objective reaches stays bit-equal"),
    (DoesNothing, "what no objective reaches stays bit-equal"),
    (AsksTheDevice, "steps wait for nothing on the device"),
    (BranchesOnAValue, "steps wait for nothing on the device"),
    (MakesATensorOnTheHost, "steps stay on the device"),
    (DrawsFromNowhere, "the same seed gives the same bits"),
    (RemembersByItself, "resuming changes nothing"),
    (StateGrows, "its state keeps keys, shapes and types"),
    (StateKeepsTheGraph, "its state keeps keys, shapes and types"),
    (RunsTheEncodersTwice, "it makes no needless pass"),
    (GoesUp, "it learns a small task"),
    (HalfPrecisionState, "gradients are finite in bf16"),
    (DividesByTheNorm, "combining degenerate gradients is finite"),
    (Uniform, "it differs from every other method"),
    (lambda: MMPareto(gamma=2.0), "its declaration can be read without importing it"),
]


@dataclasses.dataclass(frozen=True)
class FaultyCase(Case):
    made: Callable[[], Method] = Faulty

    def method(self) -> Method:
        return self.made()


@pytest.mark.parametrize(("made", "label"), FAULTS)
def test_the_suite_sees_a_fault(made, label):
    result = check(label, FaultyCase("joint", made=made))
    assert not result.passed
    assert result.detail


def test_a_property_says_what_was_seen():
    with pytest.raises(Violation, match="of guessing's"):
        PROPERTIES["it learns a small task"](FaultyCase("joint", made=GoesUp))


class Misspelt(Faulty):
    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        return step.losses["jiont"], state


class UnknownName(IntegrationMethod):
    info = dataclasses.replace(INFO, family="integration")

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.ones_like(losses), stat  # noqa: F821


class LacksItsFormula(IntegrationMethod):
    info = dataclasses.replace(INFO, family="integration")

    def wieghts(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.ones_like(losses), state


class NoState(Faulty):
    def loss(self, step: Step, state: State) -> Tensor:
        return super().loss(step, state)[0]


@pytest.mark.parametrize(
    ("made", "label", "file", "said"),
    [
        (Misspelt, "it learns a small task", "test_conformance.py", "KeyError: 'jiont'"),
        (Misspelt, "steps wait for nothing on the device", "test_conformance.py", "KeyError: 'jiont'"),
        (
            UnknownName,
            "combining degenerate gradients is finite",
            "test_conformance.py",
            "NameError: name 'stat' is not",
        ),
        (
            LacksItsFormula,
            "it learns a small task",
            "interface.py",
            "NotImplementedError: the method has no 'weights'; it has 'wieghts'",
        ),
        (NoState, "gradients are cleared before a step", "step.py", "TypeError"),
    ],
)
def test_an_error_in_a_method_is_a_property_that_fails_with_the_line_that_raised_it(made, label, file, said):
    result = check(label, FaultyCase("joint", made=made))
    assert not result.passed
    assert "\n" not in result.detail
    assert re.search(rf"{re.escape(file)}:\d+: {re.escape(said)}", result.detail), result.detail
    # Raised elsewhere, for example where its result is used: the method's own file is named, too.
    assert str(components("method")["joint"].file) in result.detail


def test_an_error_in_the_methods_own_file_names_its_line_there(monkeypatch):
    own = components("method")["joint"].file
    monkeypatch.setattr(Case, "method", lambda case: exec(compile("\n\n1 / 0", str(own), "exec")))
    result = check("it learns a small task", Case("joint"))
    assert result.detail == f"{own}:3: ZeroDivisionError: division by zero"


def test_the_command_prints_each_property_when_it_is_done_and_shows_brackets(monkeypatch, capsys):
    seen = []

    def first(case):
        raise Violation("(tensor([nan,\n nan]), [bold]x[/])")

    def second(case):
        seen.append(capsys.readouterr().out)

    monkeypatch.setattr(conformance, "PROPERTIES", {"the first": first, "the second": second})
    assert main(["check", "joint"]) == 1
    (before,) = set(seen)
    assert before.splitlines() == [
        "joint: 2 properties to check, in a minute or two",
        "fails   joint (published)  the first: (tensor([nan, nan]), [bold]x[/])",
    ]
    assert capsys.readouterr().out.splitlines() == ["passes  joint (published)  the second", "1 of 2 properties pass"]


def test_a_case_refused_is_a_property_that_fails():
    class Refusing(Faulty):
        def check(self, network):
            raise UserError("not on this network")

    result = check("it learns a small task", FaultyCase("joint", made=Refusing))
    assert (result.passed, result.detail) == (False, "not on this network")
