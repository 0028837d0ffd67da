"""One training step for each family of methods: from a batch to gradients in ``.grad``.

There is one step per family, not per method; which formula runs is the method's business.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.errors import UserError
from counterpoise.methods.interface import IntegrationMethod, LossMethod, Method, ModulationMethod, State, Step
from counterpoise.models.network import Network
from counterpoise.training import gradients as engine

StepFunction = Callable[[dict[str, Tensor], dict[str, Tensor], State, int, torch.Generator], tuple[dict[str, Tensor], State]]
"""(inputs, targets, state, epoch, generator) -> (losses by objective, next state); sets ``.grad``."""


def step_function(method: Method, network: Network) -> StepFunction:
    """Return the step of the method's family for a network."""
    if isinstance(method, IntegrationMethod):
        return _IntegrationStep(method, network)
    if isinstance(method, ModulationMethod):
        return _ModulationStep(method, network)
    if isinstance(method, LossMethod):
        return _LossStep(method, network)
    raise UserError(f"method '{method.info.name}': its class must be a LossMethod, ModulationMethod or IntegrationMethod")


class _Forward:
    def __init__(self, method: Method, network: Network) -> None:
        self.method = method
        self.network = network

    def run(
        self, inputs: dict[str, Tensor], features: dict[str, Tensor], targets: dict[str, Tensor], epoch: int, noise: torch.Generator
    ) -> Step:
        outputs = self.method.predict(self.network, features)
        labels = {objective: targets[self.network.targets[objective]] for objective in outputs}
        losses = {objective: functional.cross_entropy(outputs[objective], labels[objective]) for objective in outputs}
        return Step(self.network, inputs, features, outputs, losses, labels, epoch, noise)


class _LossStep:
    """One forward, one backward."""

    def __init__(self, method: LossMethod, network: Network) -> None:
        self.method = method
        self.forward = _Forward(method, network)
        self.parameters = [p for p in network.parameters() if p.requires_grad]

    def __call__(
        self, inputs: dict[str, Tensor], targets: dict[str, Tensor], state: State, epoch: int, noise: torch.Generator
    ) -> tuple[dict[str, Tensor], State]:
        step = self.forward.run(inputs, self.forward.network.encode(inputs), targets, epoch, noise)
        state = self.backward(step, state)
        return {name: loss.detach() for name, loss in step.losses.items()}, state

    def backward(self, step: Step, state: State) -> State:
        loss, state = self.method.loss(step, state)
        # Parameters that the loss does not reach keep no gradient: the optimiser leaves them bit-equal.
        engine.assign(self.parameters, list(torch.autograd.grad(loss, self.parameters, allow_unused=True)))
        return state


class _ModulationStep(_LossStep):
    """One forward, one backward, then every modality's gradients times its coefficient."""

    method: ModulationMethod

    def __init__(self, method: ModulationMethod, network: Network) -> None:
        super().__init__(method, network)
        self.modulated = {name: _modulated_parameters(method, network, name) for name in network.modalities}
        self.slices = network.fusion.weight_slices() if method.modulated == "modality" else {}

    def backward(self, step: Step, state: State) -> State:
        state = super().backward(step, state)
        if not self.method.active(step.epoch):
            return state
        with torch.no_grad():
            coefficients, state = self.method.coefficients(self.method.scores(step), state)
            for coefficient, (name, parameters) in zip(coefficients.unbind(), self.modulated.items(), strict=True):
                self._scale(parameters, coefficient, step.generator)
                if name in self.slices:
                    weight, columns = self.slices[name]
                    weight.grad[:, columns] *= coefficient
        return state

    def _scale(self, parameters: list[nn.Parameter], coefficient: Tensor, generator: torch.Generator) -> None:
        found = [p.grad for p in parameters if p.grad is not None]
        if not found:
            return
        if not self.method.noise:
            torch._foreach_mul_(found, coefficient)
            return
        for gradient in found:  # the standard deviation is that of the gradient before scaling (facts section 3.2)
            deviation = gradient.std() + 1e-8
            noise = torch.empty_like(gradient).normal_(generator=generator)
            gradient.mul_(coefficient).add_(noise * deviation)


def _modulated_parameters(method: ModulationMethod, network: Network, modality: str) -> list[nn.Parameter]:
    parameters = list(network.encoders[modality].parameters())
    if method.modulated == "convolutions":
        return [p for p in parameters if p.ndim == 4]
    if method.modulated == "modality":
        return parameters + list(network.heads[modality].parameters())
    return parameters


class _IntegrationStep:
    """One forward; per encoder one backward for each objective that reaches it, combined by the method's weights."""

    def __init__(self, method: IntegrationMethod, network: Network) -> None:
        self.method = method
        self.network = network
        self.forward = _Forward(method, network)
        self.parameters = {name: list(module.parameters()) for name, module in network.encoders.items()}

    def __call__(
        self, inputs: dict[str, Tensor], targets: dict[str, Tensor], state: State, epoch: int, noise: torch.Generator
    ) -> tuple[dict[str, Tensor], State]:
        cut = engine.cut_at_features(self.network.encode(inputs))
        step = self.forward.run(inputs, cut.leaves, targets, epoch, noise)
        cotangents = engine.backward_heads(self.network, cut, step.losses)
        losses = {name: loss.detach() for name, loss in step.losses.items()}
        for encoder in self.network.modalities:
            reaching = [objective for objective in losses if encoder in cotangents[objective]]
            vectors = [cotangents[objective][encoder] for objective in reaching]
            values = torch.stack([losses[objective] for objective in reaching])
            part = {key.removeprefix(f"{encoder}/"): v for key, v in state.items() if key.startswith(f"{encoder}/")}
            combined, part = self._combine(encoder, cut.attached[encoder], vectors, values, part)
            engine.assign(self.parameters[encoder], combined)
            state = state | {f"{encoder}/{key}": value for key, value in part.items()}
        return losses, state

    def _combine(
        self, encoder: str, feature: Tensor, cotangents: list[Tensor], losses: Tensor, state: State
    ) -> tuple[engine.Gradients, State]:
        parameters = self.parameters[encoder]
        if self.method.scope == "last_layer":
            return self._combine_by_last_layer(encoder, feature, cotangents, losses, state)
        last = len(cotangents) - 1
        found = [engine.pull_back(feature, parameters, v, last=k == last) for k, v in enumerate(cotangents)]
        return engine.integrate(self.method, found, losses, state)

    def _combine_by_last_layer(
        self, encoder: str, feature: Tensor, cotangents: list[Tensor], losses: Tensor, state: State
    ) -> tuple[engine.Gradients, State]:
        """Weigh by the gradients of the last layer, then pull the weighted cotangent back once."""
        layer = [self.network.encoders[encoder].last_layer.weight]
        found = [engine.pull_back(feature, layer, v, last=False) for v in cotangents]
        weights, state = self.method.weights(engine.gramian(found).sum(dim=0), losses, state)
        cotangent = engine.combine([[v] for v in cotangents], weights)[0]
        return engine.pull_back(feature, self.parameters[encoder], cotangent, last=True), state


def initial_state(method: Method, network: Network) -> State:
    """Return a method's state before the first step, with one set per encoder for integration methods."""
    state = dict(method.initial_state(network))
    if isinstance(method, IntegrationMethod):
        objectives = method.objectives(network)
        for encoder, module in network.encoders.items():
            count = sum(encoder in network.reach(objective) for objective in objectives)
            tensors = len(list(module.parameters()))
            made = method.module_state(count, tensors)
            state |= {f"{encoder}/{key}": value for key, value in made.items()}
    return state
