"""One training step for each family of methods: from a batch to gradients in ``.grad``.

There is one step per family, not per method. A step does the passes and sets gradients; the formula that it calls in
between is the method's (docs/methods.md has each with its equation). The optimiser moves the parameters afterwards, in
:mod:`counterpoise.engine.loop`. Shapes: B samples of a batch, d features, C classes, M modalities, K objectives that
reach an encoder, T parameter tensors of an encoder.

Nothing here waits for the device: no branch depends on a tensor's value, so that a GPU computes one step while Python
queues the next. ``.grad`` is assigned, never added to, so that no gradient of an earlier step can survive.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoise.engine import gradients as engine
from counterpoise.errors import UserError
from counterpoise.methods.interface import (
    COEFFICIENTS,
    IntegrationMethod,
    LossMethod,
    Method,
    ModulationMethod,
    State,
    Step,
    are_linked,
)
from counterpoise.models.interface import FusionModule
from counterpoise.models.network import Network

if TYPE_CHECKING:
    from counterpoise.engine.diagnostics import Recorder

Tensors = dict[str, Tensor]

StepFunction = Callable[[Tensors, Tensors, State, int, torch.Generator], tuple[Tensors, State]]
"""(inputs, targets, state, epoch, generator) -> (losses by objective, next state); sets ``.grad``."""


def step_function(
    method: Method, network: Network, *, recorder: Recorder | None = None, autocast: torch.dtype | None = None
) -> StepFunction:
    """Return the step of the method's family for a network.

    Args:
        recorder: takes diagnostics of every step; ``None`` costs nothing.
        autocast: the type in which encoders, fusion and heads compute (``torch.bfloat16``). Losses, gradients
            and formulas stay in the parameters' type.

    Raises:
        UserError: the method is not defined for this network.
    """
    method.check(network)
    forward = _Forward(method, network, autocast)
    if isinstance(method, IntegrationMethod):
        _check_integration(method, network)
        return _IntegrationStep(method, forward, recorder)
    if isinstance(method, ModulationMethod):
        return _ModulationStep(method, forward, recorder)
    if isinstance(method, LossMethod):
        return _LossStep(method, forward, recorder)
    raise UserError(
        f"method '{method.info.name}': its class must be a LossMethod, ModulationMethod or IntegrationMethod"
    )


def _check_integration(method: IntegrationMethod, network: Network) -> None:
    """Refuse a network whose encoders have no gradients that the method could combine."""
    name = f"method '{method.info.name}'"
    if are_linked(network):
        raise UserError(
            f"{name} combines the gradients of each encoder by itself; encoders that exchange features on the "
            "way have none"
        )
    most, count = method.info.most_tasks, len(engine.integrated_objectives(network, method.objectives(network)))
    if most is not None and count > most:
        raise UserError(f"{name} combines at most {most} objectives, not {count}")
    if method.scope == "last_layer":
        for encoder, module in network.encoders.items():
            weight = getattr(getattr(module, "last_layer", None), "weight", None)
            if engine.trainable(module) and (weight is None or not weight.requires_grad):
                raise UserError(
                    f"{name} measures gradients in the last layer of each encoder; that of '{encoder}' has no "
                    "weight that is trained"
                )


class _Forward:
    """The passes through encoders and heads."""

    def __init__(self, method: Method, network: Network, autocast: torch.dtype | None) -> None:
        self.method = method
        self.network = network
        self.encoders = method.encoders(network)
        self.autocast = autocast
        self.device = next(network.parameters()).device.type

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self.autocast is None else torch.autocast(self.device, self.autocast)

    def encode(self, inputs: Tensors) -> Tensors:
        return self.network.encode(inputs, self.encoders)

    def step(self, inputs: Tensors, features: Tensors, targets: Tensors, epoch: int, noise: torch.Generator) -> Step:
        # Features {modality: (B, d)} -> logits {objective: (B, C)} -> one scalar loss {objective: ()}.
        # The method is asked to predict, not the network: one may train on logits of its own (MMCosine).
        outputs = self.method.predict(self.network, features)
        labels = {objective: targets[self.network.targets[objective]] for objective in outputs}
        losses = {
            objective: self.network.loss(objective, outputs[objective], labels[objective]) for objective in outputs
        }
        return Step(self.network, inputs, features, outputs, losses, labels, epoch, noise)


class _LossStep:
    """One forward, one backward."""

    def __init__(self, method: LossMethod, forward: _Forward, recorder: Recorder | None) -> None:
        self.method = method
        self.forward = forward
        self.recorder = recorder
        self.parameters = engine.trainable(forward.network)

    def __call__(
        self, inputs: Tensors, targets: Tensors, state: State, epoch: int, noise: torch.Generator
    ) -> tuple[Tensors, State]:
        if self.recorder is not None:
            self.recorder.begin_step()
        self.method.before_forward(self.forward.network, state)
        # Forward: inputs {modality: (B, ...)} -> features {modality: (B, d)} -> losses -> one scalar.
        with self.forward.precision():
            step = self.forward.step(inputs, self.forward.encode(inputs), targets, epoch, noise)
            loss, state = self.method.loss(step, state)
        # Backward, outside of autocast, which is for forward passes. Parameters that the loss does not reach get the
        # gradient None and not zeros: the optimiser then leaves them bit-equal, where momentum or weight decay would
        # move a parameter whose gradient is zero.
        kept = self.recorder is not None  # the graph, from which the recorder takes each objective's own gradient
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True, retain_graph=kept)
        engine.assign(self.parameters, list(found))
        # `finish` modulates, and comes first: `after_backward` is told the gradients that the optimiser will use.
        # With autocast, as in the forward pass: scores are computed from parts of the outputs.
        with torch.no_grad(), self.forward.precision():
            state = self.method.after_backward(step, self.finish(step, state))
        if self.recorder is not None:
            if COEFFICIENTS in state:
                self.recorder.coefficients(step.network.modalities, state[COEFFICIENTS])
            self.recorder.separate(step.losses, self.forward.encoders)
        return {name: value.detach() for name, value in step.losses.items()}, state

    def finish(self, step: Step, state: State) -> State:
        """Change the gradients before the method sees them."""
        return state


class _ModulationStep(_LossStep):
    """One forward, one backward, then every modality's gradients times its coefficient."""

    method: ModulationMethod

    def __init__(self, method: ModulationMethod, forward: _Forward, recorder: Recorder | None) -> None:
        super().__init__(method, forward, recorder)
        network = forward.network
        self.modulated = {name: modulated_parameters(method, network, name) for name in network.modalities}
        # A linear fusion W [z_1; ...; z_M] + b has one weight for all modalities: of it, only the columns that meet
        # a modality's features belong to that modality.
        whole = method.modulated == "modality" and has_slices(network.fusion)
        self.slices = network.fusion.weight_slices() if whole else {}

    def finish(self, step: Step, state: State) -> State:
        if not self.method.active(step.epoch):
            return state
        # The method's formula: scores (M,) of the modalities on this batch -> coefficients (M,).
        coefficients, state = self.method.coefficients(self.method.scores(step), state)
        for coefficient, (name, parameters) in zip(coefficients.unbind(), self.modulated.items(), strict=True):
            found = [p.grad for p in parameters if p.grad is not None]
            _scale(found, coefficient, step.generator if self.method.noise else None)
            if name in self.slices:
                weight, columns = self.slices[name]  # (C, D), of which a modality's features meet some columns
                weight.grad[:, columns] *= coefficient
        if self.recorder is not None:
            self.recorder.coefficients(step.network.modalities, coefficients)
        return state


def _scale(gradients: engine.Gradients, coefficient: Tensor, generator: torch.Generator | None) -> None:
    """Multiply gradients in place; with a generator add noise of each one's own standard deviation."""
    if not gradients:
        return
    coefficient = coefficient.to(gradients[0].dtype)
    if generator is None:
        torch._foreach_mul_(gradients, coefficient)
        return
    # OGM-GE: k_u g + xi with xi ~ N(0, std(g)^2), where the deviation is that of the gradient before scaling.
    for gradient in map(_in_memory_order, gradients):
        # One number has no sample deviation (0 / 0): without the correction it is 0. 1e-8 as in the authors' code.
        deviation = gradient.std(correction=min(1, gradient.numel() - 1)) + 1e-8
        noise = torch.empty_like(gradient).normal_(generator=generator)
        gradient.mul_(coefficient).add_(noise.mul_(deviation))


def _in_memory_order(values: Tensor) -> Tensor:
    """Return a flat view ``(n,)`` of all values, in the order in which they lie in memory.

    With channels last, a CPU draws and sums the 4-D tensor one number at a time; on the flat view, many at once.
    """
    order = sorted(range(values.ndim), key=lambda dim: -values.stride(dim))  # type: ignore[operator]
    return values.permute(order).view(-1)


def has_slices(fusion: nn.Module) -> bool:
    """Return whether a fusion can say which columns of its weight belong to which modality."""
    return isinstance(fusion, FusionModule) and type(fusion).weight_slices is not FusionModule.weight_slices


def modulated_parameters(method: ModulationMethod, network: Network, modality: str) -> list[nn.Parameter]:
    """Return the parameters of a modality that a modulation method scales, but for columns of the fusion's weight."""
    parameters = engine.trainable(network.encoders[modality])
    if method.modulated == "modality":
        fused = network.fusion.modality_parameters() if isinstance(network.fusion, FusionModule) else {}
        own = [p for p in fused.get(modality, []) if p.requires_grad]
        return parameters + engine.trainable(network.heads[modality]) + own
    if method.modulated != "convolutions":
        return parameters
    convolutions = [p for p in parameters if p.ndim == 4]
    if not convolutions:
        raise UserError(
            f"method '{method.info.name}' scales convolution weights only; the encoder of '{modality}' has "
            "none: use the variant that scales the whole encoder"
        )
    return convolutions


class _IntegrationStep:
    """One forward; per encoder one backward for each objective, combined by the method's weights.

    An encoder gets ``h = s sum_k w_k g_k`` of its K objectives' gradients, where the method makes the weights ``w`` of
    their inner products (Gramian) and losses, and the rescaling ``s`` of norms (MMPareto: Algorithm 1, Equation 16).
    What comes after the encoders gets the plain sum of its gradients, or with ``weighs_heads`` each head its own
    objective's weight.
    """

    def __init__(self, method: IntegrationMethod, forward: _Forward, recorder: Recorder | None) -> None:
        self.method = method
        self.network = forward.network
        self.forward = forward
        self.recorder = recorder
        self.parameters = {name: engine.trainable(module) for name, module in self.network.encoders.items()}

    def __call__(
        self, inputs: Tensors, targets: Tensors, state: State, epoch: int, noise: torch.Generator
    ) -> tuple[Tensors, State]:
        if self.recorder is not None:
            self.recorder.begin_step()
        # Forward, with the graph cut at the features {encoder: (B, d)}: what comes after them starts from leaves.
        with self.forward.precision():
            cut = engine.cut_at_features(self.network.run_encoders(inputs, self.forward.encoders))
            step = self.forward.step(inputs, self.network.mix(cut.leaves), targets, epoch, noise)
        # One backward pass through heads and fusion sets their gradients and gives, by objective, the gradient with
        # respect to every encoder's features: {objective: {encoder: (B, d)}}.
        cotangents = engine.backward_heads(self.network, cut, step.losses)
        losses = {name: loss.detach() for name, loss in step.losses.items()}
        used: dict[str, list[Tensor]] = {name: [] for name in losses}
        for encoder in self.forward.encoders:
            if not self.parameters[encoder]:  # frozen, or nothing to train: no gradients to combine
                continue
            reaching = engine.objectives_of(self.network, encoder, list(cotangents))
            # K objectives reach this encoder: K cotangents (B, d), each the gradient of one objective at this
            # encoder's features, and the losses (K,), summed where an objective is several losses. Both are in the
            # order of `cotangents`, which `reaching` keeps.
            vectors = {name: found[encoder] for name, found in zip(reaching, cotangents.values(), strict=True)}
            values = torch.stack([sum(losses[name] for name in names) for names in reaching.values()])  # type: ignore[misc]
            part = self._part(encoder, state, len(reaching), noise)
            # K backward passes through the encoder, one weighted sum of their gradients: weights (K,) or (T, K).
            weights, part = self._combine(encoder, cut, vectors, values, part)
            part.pop("random", None)  # drawn anew in each step, so it is no state
            state = state | {f"{encoder}/{key}": value for key, value in part.items()}
            # The weight of an objective in this encoder, () or (T,), is noted for the heads of all of its losses.
            for names, weight in zip(reaching.values(), weights.unbind(dim=-1), strict=True):
                for name in names:
                    used[name].append(weight.mean())
        if self.method.weighs_heads:
            self._weigh_heads(used)
        if self.recorder is not None:
            self.recorder.losses(losses)
        return losses, state

    def _part(self, encoder: str, state: State, objectives: int, noise: torch.Generator) -> State:
        """Return an encoder's part of the state, with the random numbers that the formula wants."""
        prefix = f"{encoder}/"
        part = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
        drawn = self.method.random_numbers(objectives)
        if drawn:
            part["random"] = torch.rand(drawn, generator=noise, dtype=torch.float64, device=noise.device)
        return part

    def _combine(
        self, encoder: str, cut: engine.Cut, cotangents: Tensors, losses: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Set the encoder's gradients; return the weights of its objectives and the next state."""
        if self.method.scope == "last_layer":
            return self._combine_by_last_layer(encoder, cut, cotangents, losses, state)
        feature, parameters = [cut.attached[encoder]], self.parameters[encoder]
        last = len(cotangents) - 1
        found = [
            engine.pull_back(feature, parameters, [vector], last=k == last)  # the last one frees the graph
            for k, vector in enumerate(cotangents.values())
        ]
        with self._timed(encoder):
            result = engine.integrate(self.method, found, losses, state)
        return self._finish(encoder, tuple(cotangents), found, result)

    def _combine_by_last_layer(
        self, encoder: str, cut: engine.Cut, cotangents: Tensors, losses: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Weigh by the gradients of the last layer, then pull the weighted cotangent back once."""
        feature, layer = [cut.attached[encoder]], [self.network.encoders[encoder].last_layer.weight]
        found = [engine.pull_back(feature, layer, [vector], last=False) for vector in cotangents.values()]
        with self._timed(encoder):
            gramian = engine.gramian(found).sum(dim=0)  # (T, K, K) -> (K, K)
            weights, state = self.method.weights(gramian, losses, state)  # (K,)
            # Pulling back is linear: the weighted sum of cotangents gives the weighted sum of gradients, in one pass.
            cotangent = engine.combine([[vector] for vector in cotangents.values()], weights)
        combined = engine.pull_back(feature, self.parameters[encoder], cotangent, last=True)
        result = engine.Integration(combined, gramian, weights, state)
        return self._finish(encoder, tuple(cotangents), found, result)

    def _finish(
        self, encoder: str, objectives: tuple[str, ...], found: list[engine.Gradients], result: engine.Integration
    ) -> tuple[Tensor, State]:
        engine.assign(self.parameters[encoder], result.combined)
        if self.recorder is not None:
            self.recorder.integration(encoder, objectives, found, result)
        return result.weights, result.state

    def _timed(self, encoder: str) -> contextlib.AbstractContextManager[None]:
        if self.recorder is None:
            return contextlib.nullcontext()
        return self.recorder.timed(f"integration_seconds.{encoder}")

    def _weigh_heads(self, used: dict[str, list[Tensor]]) -> None:
        for objective, weights in used.items():
            if not weights:  # every encoder that it reaches is frozen
                continue
            factor = torch.stack(weights).mean()
            found = [p.grad for p in self.network.own_parameters(objective) if p.grad is not None]
            if found:
                torch._foreach_mul_(found, factor.to(found[0].dtype))


def initial_state(method: Method, network: Network) -> State:
    """Return a method's state before the first step, on the network's device, with one set per encoder for
    integration methods (keys ``<encoder>/<name>``)."""
    state = dict(method.initial_state(network))
    if isinstance(method, IntegrationMethod):
        count = len(engine.integrated_objectives(network, method.objectives(network)))
        for encoder, module in network.encoders.items():
            made = method.module_state(count, len(engine.trainable(module)))
            state |= {f"{encoder}/{key}": value for key, value in made.items()}
    device = next(network.parameters()).device
    return {key: value.to(device) for key, value in state.items()}
