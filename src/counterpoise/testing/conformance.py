"""What every method must satisfy, checked on a small task: the suite behind ``counterpoise check NAME``.

Each property is a function of a :class:`Case` that returns when the property holds and raises :class:`Violation` with
what it saw when it does not. Any other exception is a property that does not hold, too, with the line of source that
raised it. It is the same for built-in and third-party methods, and for each of their variants.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import math
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from counterpoise.components import component, components
from counterpoise.engine import gradients as engine
from counterpoise.engine.loop import Trainer
from counterpoise.engine.step import step_function
from counterpoise.errors import UserError
from counterpoise.methods.interface import IntegrationMethod, Method, State
from counterpoise.models.network import Network, digest_state
from counterpoise.testing.toy import CLASSES, Toy, make_method

LEARNT = 0.7
"""A method has learnt the toy when the loss of some output is below this share of guessing's."""

Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


class Violation(Exception):
    """A property does not hold; the message says what was seen."""


@dataclass(frozen=True)
class PropertyResult:
    """One property of one variant of a method; ``detail`` says what was seen where it fails."""

    variant: str
    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """A variant of a method on a toy."""

    name: str
    variant: str = "published"
    toy: Toy = field(default_factory=Toy)

    def method(self) -> Method:
        """Return the method."""
        return make_method(self.name, self.variant, self.toy)

    def trainer(self, seed: int = 0, epochs: int = 8) -> Trainer:
        """Return a fresh training loop."""
        return self.toy.trainer(self.method(), epochs, seed)

    def started(self) -> Trainer:
        """Return a training loop whose first epoch has begun, for single steps."""
        trainer = self.trainer()
        trainer.state = {name: value.clone() for name, value in _first_state(self).items()}
        trainer.network.train()
        return trainer

    def step(self, trainer: Trainer, batch: Batch, epoch: int = 0) -> dict[str, Tensor]:
        """Set the gradients of one step, without moving the network, and return the losses."""
        noise = torch.Generator(self.toy.device).manual_seed(1)
        losses, trainer.state = trainer.step_of(*batch, trainer.state, epoch, noise)
        return losses


@functools.cache
def _first_state(case: Case) -> State:
    """Return the method's state when the first epoch has begun; some train branches for it."""
    trainer = case.trainer()
    return trainer.method.start_epoch(trainer, trainer.state)


@functools.cache
def _trained(case: Case) -> Trainer:
    """Return a finished training, which nobody may change."""
    trainer = case.trainer()
    trainer.run()
    return trainer


def check_method(name: str) -> list[PropertyResult]:
    """Check every property on every variant of a method, on all toys that it is defined for.

    Raises:
        UserError: there is no such method.
    """
    return [check(label, case) for label, case in all_cases(name)]


def all_cases(name: str) -> list[tuple[str, Case]]:
    """Return what is checked on all variants of a method: names of properties, each with a case.

    Raises:
        UserError: there is no such method.
    """
    return [case for variant in component("method", name).info.variants for case in cases_of(name, variant)]


def cases_of(name: str, variant: str) -> list[tuple[str, Case]]:
    """Return what is checked on a variant of a method: names of properties, each with a case.

    A method's first variant is also taken to three modalities and to two tasks, where the method is defined for them.
    """
    info = component("method", name).info
    toys = [Toy()]
    if variant == next(iter(info.variants)):
        toys += [Toy(modalities=3)] if info.modalities[1] is None or info.modalities[1] > 2 else []
        toys += [Toy(tasks=True)] if info.tasks else []
    return [
        (label, Case(name, variant, toy))
        for label in PROPERTIES
        for toy in (toys if label in ON_EVERY_TOY else toys[:1])
    ]


def check(label: str, case: Case) -> PropertyResult:
    """Check one property. Whatever the method raises makes it fail; others can still be checked."""
    toy = case.toy
    where = " (two tasks)" if toy.tasks else f" ({toy.modalities} modalities)" if toy.modalities > 2 else ""
    try:
        PROPERTIES[label](case)
    except (Violation, UserError) as error:
        return PropertyResult(case.variant, label + where, False, str(error))
    except Exception as error:  # a method may raise anything
        return PropertyResult(case.variant, label + where, False, _raised(error, case))
    return PropertyResult(case.variant, label + where, True)


def _raised(error: Exception, case: Case) -> str:
    """Return an exception in one line, with the line of source that raised it and, where that is not in it, the
    method's file: what a method gives may be refused only where it is used.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).exists()]
    outside = [frame for frame in frames if not Path(frame.filename).is_relative_to(Path(torch.__file__).parent)]
    own = component("method", case.name).file.resolve()
    in_method = [frame for frame in outside if Path(frame.filename).resolve() == own]
    frame = (in_method or outside or frames)[-1]
    said = " ".join(str(error).split())
    if isinstance(error, NotImplementedError) and not said:
        said = f"the method has no '{frame.name}'{_nearest_own(frame.name, case)}"
    text = f"{frame.filename}:{frame.lineno}: {type(error).__name__}{f': {said}' if said else ''}"
    return text if in_method else f"{text} (the method is in {own})"


def _nearest_own(wanted: str, case: Case) -> str:
    names = [name for name in vars(type(case.method())) if not name.startswith("_")]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    return f"; it has '{near[0]}'" if near else ""


def _require(holds: bool, detail: str) -> None:
    if not holds:
        raise Violation(detail)


# -- the declaration


def declared_as_built(case: Case) -> None:
    found, method = component("method", case.name), case.method()
    fields = {field.name for field in dataclasses.fields(method)}
    _require(set(found.settings) == fields, f"settings read: {sorted(found.settings)}; fields: {sorted(fields)}")
    _require(found.info == method.info, f"declaration read: {found.info}; the class has {method.info}")


# -- finite numbers


def finite_on_edges(case: Case) -> None:
    for edge, change in EDGES.items():
        trainer = case.started()
        batch = change(trainer.network, *case.toy.batch())
        for number in range(2):
            losses = case.step(trainer, batch)
            bad = [name for name, loss in losses.items() if not _finite(loss)]
            bad += [name for name, p in trainer.network.named_parameters() if not _finite(p.grad)]
            _require(not bad, f"{edge}, step {number}: not finite: {', '.join(bad[:4])}")


def _finite(values: Tensor | None) -> bool:
    return values is None or bool(torch.isfinite(values).all())


def _scaled_features(factor: float) -> Callable[..., Batch]:
    """Scale what encoders put out, and with it gradients."""

    def change(network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Batch:
        with torch.no_grad():
            for encoder in network.encoders.values():
                for parameter in encoder.last_layer.parameters():
                    parameter.mul_(factor)
        return inputs, targets

    return change


def _zero_inputs(network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Batch:
    return {name: torch.zeros_like(x) for name, x in inputs.items()}, targets


def _equal_samples(network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Batch:
    same = {name: x[:1].expand_as(x).clone() for name, x in inputs.items()}
    return same, {name: torch.zeros_like(y) for name, y in targets.items()}


def _absent_class(network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Batch:
    return inputs, {name: y.clamp(max=CLASSES - 2) for name, y in targets.items()}


def _certain(right: bool) -> Callable[..., Batch]:
    """Make every prediction certain of one class: always right, or always wrong."""

    def change(network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Batch:
        outside = [p for name, p in network.named_parameters() if not name.startswith("encoders.")]
        with torch.no_grad():
            for parameter in outside:
                parameter.zero_()
                if parameter.ndim == 1:
                    parameter[0] = 1e4
        label = 0 if right else 1
        return inputs, {name: torch.full_like(y, label) for name, y in targets.items()}

    return change


EDGES: dict[str, Callable[..., Batch]] = {
    "features of zero": _scaled_features(0.0),
    "features times 1e-15": _scaled_features(1e-15),
    "features times 1e15": _scaled_features(1e15),
    "inputs of zero": _zero_inputs,
    "equal samples of one class": _equal_samples,
    "a class absent from the batch": _absent_class,
    "perfect predictions": _certain(True),
    "certain and wrong predictions": _certain(False),
}


def finite_for_degenerate_gradients(case: Case) -> None:
    method = case.method()
    if not isinstance(method, IntegrationMethod):
        return
    for size in (2, 3) if method.info.tasks else (2,):
        for kind, gradients in degenerate_gradients(size):
            state = method.module_state(size, len(gradients[0]))
            drawn = method.random_numbers(size)
            if drawn:
                state["random"] = torch.linspace(0, 1, drawn, dtype=torch.float64)
            for _ in range(2):
                result = engine.integrate(method, gradients, torch.ones(size), state)
                state = result.state
                _require(all(map(_finite, result.combined)), f"{size} gradients, {kind}: {result.combined}")


def degenerate_gradients(size: int) -> Iterator[tuple[str, list[engine.Gradients]]]:
    """Yield lists of ``size`` gradients of three tensors each: zero, equal, opposite, far apart, huge,
    tiny, and so small that float32 squares them to 0.
    """
    random = torch.Generator().manual_seed(0)
    one = [torch.randn(shape, generator=random) for shape in ((4, 3), (5,), (1,))]
    other = [torch.randn(shape, generator=random) for shape in ((4, 3), (5,), (1,))]
    zero = [torch.zeros_like(g) for g in one]

    def times(factor: float, gradients: engine.Gradients) -> engine.Gradients:
        return [factor * g for g in gradients]

    yield "all zero", [zero] * size
    yield "one zero", [zero] + [one] * (size - 1)
    yield "the last zero", [one] * (size - 1) + [zero]
    yield "equal", [one] * size
    yield "opposite", [one, times(-1.0, one), *[other] * (size - 2)]
    yield "nearly opposite", [one, times(-1.0 - 1e-6, one), *[other] * (size - 2)]
    # Squares of 0 in float32 beside products that are not.
    yield "opposite, one of norm 0", [one, times(-1e-25, one), *[other] * (size - 2)]
    yield "far apart", [times(1e15, one), times(1e-15, other), *[one] * (size - 2)]
    for scale in (1e-15, 1e15):
        yield (f"times {scale:g}", [times(scale, one), times(-0.5 * scale, other), *[times(scale, other)] * (size - 2)])


def finite_in_half_precision(case: Case) -> None:
    trainer = case.started()
    step = step_function(trainer.method, trainer.network, autocast=torch.bfloat16)
    _, state = step(*case.toy.batch(), trainer.state, 0, torch.Generator(case.toy.device))
    bad = [name for name, p in trainer.network.named_parameters() if not _finite(p.grad)]
    _require(not bad, f"not finite: {', '.join(bad[:4])}")
    wrong = [name for name, p in trainer.network.named_parameters() if p.grad is not None and p.grad.dtype != p.dtype]
    _require(not wrong, f"gradients not in their parameter's type: {', '.join(wrong[:4])}")
    changed = [name for name, value in state.items() if value.dtype != trainer.state.get(name, value).dtype]
    _require(not changed, f"state changes type: {', '.join(changed)}")


# -- gradients and parameters


def old_gradients_do_not_count(case: Case) -> None:
    clean, dirty = case.started(), case.started()
    for parameter in dirty.network.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    for trainer in (clean, dirty):
        case.step(trainer, case.toy.batch())
    pairs = zip(clean.network.named_parameters(), dirty.network.named_parameters(), strict=True)
    wrong = [name for (name, p), (_, q) in pairs if not _equal(p.grad, q.grad)]
    _require(not wrong, f"what stood in .grad before changes the gradients of {', '.join(wrong[:4])}")


def _equal(left: Tensor | None, right: Tensor | None) -> bool:
    if left is None or right is None:
        return left is right
    return torch.equal(left, right)


def untouched_stays_bit_equal(case: Case) -> None:
    before, trainer = case.trainer(), _trained(case)
    _require(not trainer.progress.diverged, trainer.progress.diverged)
    touched = set(_reached_parameters(trainer))
    start = dict(before.network.named_parameters())
    changed = {name for name, p in trainer.network.named_parameters() if not torch.equal(start[name], p)}
    wrong = sorted(changed - touched)
    _require(not wrong, f"changed, though no trained objective reaches it: {', '.join(wrong[:4])}")
    _require(bool(changed), "training changes nothing")


def _reached_parameters(trainer: Trainer) -> Iterator[str]:
    method, network = trainer.method, trainer.network
    reached = {id(p) for name in method.encoders(network) for p in network.encoders[name].parameters()}
    reached |= {id(p) for objective in method.objectives(network) for p in network.own_parameters(objective)}
    reached |= {id(p) for p in network.shared_parameters()}
    yield from (name for name, p in network.named_parameters() if id(p) in reached)


# -- exactness


def steps_wait_for_nothing(case: Case) -> None:
    real, batch = case.started(), case.toy.batch()
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        network = copy.deepcopy(real.network)
    with mode:
        state, inputs, targets = ({k: mode.from_tensor(v) for k, v in part.items()} for part in (real.state, *batch))
        step = step_function(real.method, network)
        try:
            step(inputs, targets, state, 3, torch.Generator())
        except Exception as error:  # of many types, all from a value that is not there
            raise Violation(_raised(error, case)) from error


def steps_stay_on_the_device(case: Case) -> None:
    """A step on torch's meta device, which stands for any accelerator: the host makes and gets no tensor."""
    trainer, batch = case.started(), case.toy.batch()
    inputs, targets, state = ({k: v.to("meta") for k, v in part.items()} for part in (*batch, trainer.state))
    step = step_function(trainer.method, trainer.network.to("meta"))
    with _HostTensors() as made:
        try:
            step(inputs, targets, state, 3, torch.Generator())
        except (RuntimeError, NotImplementedError) as error:  # tensors of two devices met, or one has no value
            raise Violation(_raised(error, case)) from error
    _require(not made.by, f"a step makes tensors on the host: {', '.join(sorted(made.by))}")


class _HostTensors(TorchDispatchMode):
    """Notes which calls give tensors on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.by: set[str] = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        given = result if isinstance(result, (tuple, list)) else (result,)
        if any(isinstance(value, Tensor) and value.device.type == "cpu" for value in given):
            self.by.add(str(function))
        return result


def same_seed_same_bits(case: Case) -> None:
    one, again = case.trainer(epochs=3), case.trainer(epochs=3)
    first, other = case.trainer(epochs=1), case.trainer(epochs=1, seed=1)
    for trainer in (one, again, first, other):
        trainer.run()
    _require(_digest(one) == _digest(again), "two runs with one seed differ")
    _require(_digest(first) != _digest(other), "another seed makes no difference")


def resuming_changes_nothing(case: Case) -> None:
    first, second = case.trainer(epochs=3), case.trainer()
    first.run()
    second.restore(first.snapshot())
    second.run()
    same = _digest(second) == _digest(_trained(case))
    _require(same, "a run that goes on from a saved state differs from one that was never stopped")


def _digest(trainer: Trainer) -> str:
    return digest_state(trainer.network.state_dict())


def state_keeps_its_form(case: Case) -> None:
    trainer = case.started()
    form = _form(trainer)
    for epoch in range(3):
        case.step(trainer, case.toy.batch(seed=epoch), epoch)
        _require(_form(trainer) == form, f"after a step: {_difference(form, _form(trainer))}")
        trainer.state = trainer.method.end_epoch(trainer, trainer.state)
        trainer.progress.epoch = epoch + 1
        trainer.state = trainer.method.start_epoch(trainer, trainer.state)
        _require(_form(trainer) == form, f"after an epoch: {_difference(form, _form(trainer))}")


def _form(trainer: Trainer) -> dict[str, str]:
    tensors = trainer.state.items()
    wrong = [name for name, value in tensors if not isinstance(value, Tensor) or value.requires_grad]
    _require(not wrong, f"not a tensor without a graph: {', '.join(wrong)}")
    return {name: f"{value.dtype} {tuple(value.shape)}" for name, value in tensors}


def _difference(before: dict[str, str], after: dict[str, str]) -> str:
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return ", ".join(f"{name}: {before.get(name)} became {after.get(name)}" for name in names)


# -- cost


def passes_are_few(case: Case) -> None:
    trainer = case.started()
    layers = sum(
        isinstance(module, nn.Conv2d)
        for name in trainer.method.encoders(trainer.network)
        for module in trainer.network.encoders[name].modules()
    )
    with _Convolutions() as counted:
        case.step(trainer, case.toy.batch())
    if "extra_forwards" in trainer.method.info.needs:
        return
    objectives = len(engine.integrated_objectives(trainer.network, trainer.objectives))
    most = objectives if isinstance(trainer.method, IntegrationMethod) else 1
    found = f"{counted.forward / layers:g} forward and {counted.backward / layers:g} backward passes per layer"
    _require(counted.forward == layers and counted.backward <= most * layers, f"{found}, {most} needed")


class _Convolutions(TorchDispatchMode):
    """Counts convolutions, forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.forward += function is torch.ops.aten.convolution.default
        self.backward += function is torch.ops.aten.convolution_backward.default
        return function(*arguments, **(keywords or {}))


# -- what it does


def learns(case: Case) -> None:
    trainer = case.trainer(epochs=16)
    progress = trainer.run()
    _require(not progress.diverged, progress.diverged)
    last = min(progress.history[-1][f"train_loss.{name}"] for name in trainer.objectives)
    share = last / math.log(CLASSES)
    _require(share < LEARNT, f"its best loss ends at {share:.2f} of guessing's, {LEARNT} or less is wanted")


def differs_from_all_others(case: Case) -> None:
    own = _digest(_trained(case))
    for name in components("method"):
        if name != case.name and _digest(_trained(Case(name))) == own:
            raise Violation(f"trains exactly as '{name}' on a task that tells methods apart")


PROPERTIES: dict[str, Callable[[Case], None]] = {
    "its declaration can be read without importing it": declared_as_built,
    "gradients are finite on edge cases": finite_on_edges,
    "combining degenerate gradients is finite": finite_for_degenerate_gradients,
    "gradients are finite in bf16": finite_in_half_precision,
    "gradients are cleared before a step": old_gradients_do_not_count,
    "what no objective reaches stays bit-equal": untouched_stays_bit_equal,
    "steps wait for nothing on the device": steps_wait_for_nothing,
    "steps stay on the device": steps_stay_on_the_device,
    "the same seed gives the same bits": same_seed_same_bits,
    "resuming changes nothing": resuming_changes_nothing,
    "its state keeps keys, shapes and types": state_keeps_its_form,
    "it makes no needless pass": passes_are_few,
    "it learns a small task": learns,
    "it differs from every other method": differs_from_all_others,
}

ON_EVERY_TOY = {
    "gradients are finite on edge cases",
    "gradients are cleared before a step",
    "steps wait for nothing on the device",
    "it makes no needless pass",
}
"""Properties that are also checked on three modalities and on two tasks."""
