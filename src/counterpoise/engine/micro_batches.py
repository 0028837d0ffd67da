"""One training step on a batch that is passed through the network in micro-batches, where a whole one fits no device.

Every loss is a mean over samples, so a batch of N samples in parts of ``n_i`` has the gradients and the losses

    g_k = sum_i (n_i / N) g_k,i        L_k = sum_i (n_i / N) L_k,i

of each objective k. They are added up over the parts; then the method's formula is asked once, as on a whole batch.
The sum is the whole batch's in mathematics and rounds differently, so the number of samples of a part is in a run's
key. It holds for methods and networks that do not look at the whole batch otherwise: ask
:func:`counterpoise.engine.whole_batch.refusal` first.

Layers that draw (dropout) draw for one part after the other from the step's own stream: a run is repeated and resumed
to the bit, but its masks are others than those of a whole batch.

Only runs whose protocol sets ``micro_batch`` rest on this module (:func:`counterpoise.planning.resolve.modules_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from counterpoise.engine import gradients as engine
from counterpoise.engine.step import StepFunction, Tensors, _IntegrationStep, _LossStep
from counterpoise.methods.interface import State

Batches = Callable[..., Iterator[tuple[Tensors, Tensors]]]
"""(split, fraction) -> batches of (inputs, targets)."""


def in_micro_batches(step: StepFunction, size: int) -> StepFunction:
    """Return what does a step of :func:`counterpoise.engine.step.step_function` in parts of at most ``size`` samples.

    The last part of a batch may be smaller, and a batch of ``size`` samples or fewer is one part. Diagnostics are not
    recorded.
    """
    if isinstance(step, _IntegrationStep):
        return _IntegrationInParts(step, size)
    assert type(step) is _LossStep, "modulation is by scores of the whole batch"
    return _LossInParts(step, size)


def predicted_in_parts(batches: Batches, size: int) -> Batches:
    """Return what gives the batches of :meth:`counterpoise.engine.loop.Trainer.batches` in parts, as a step has them:
    for predictions, each batch is 512 samples, which would fit no better than a step's.
    """

    def parts(split: str, fraction: float = 1.0) -> Iterator[tuple[Tensors, Tensors]]:
        for inputs, targets in batches(split, fraction):
            yield from ((part, labels) for part, labels, _ in _parts(inputs, targets, size))

    return parts


def _parts(inputs: Tensors, targets: Tensors, size: int) -> Iterator[tuple[Tensors, Tensors, float]]:
    """Yield inputs and targets of at most ``size`` consecutive samples, and their share of the batch's samples."""
    count = len(next(iter(targets.values())))
    for start in range(0, count, size):
        stop = min(start + size, count)
        part, labels = ({name: x[start:stop] for name, x in values.items()} for values in (inputs, targets))
        yield part, labels, (stop - start) / count


def _added(total: engine.Gradients, more: engine.Gradients, share: float) -> engine.Gradients:
    """Return ``total + share * more``; ``total`` is changed in place, and empty before the first part."""
    if not total:
        # New tensors, which can be added to: autograd may have handed out one gradient for two parameters.
        return list(torch._foreach_mul(more, share)) if more else []
    torch._foreach_add_(total, more, alpha=share)
    return total


class _LossInParts:
    """One forward and one backward for each part."""

    def __init__(self, whole: _LossStep, size: int) -> None:
        self.method = whole.method
        self.forward = whole.forward
        self.size = size

    def __call__(
        self, inputs: Tensors, targets: Tensors, state: State, epoch: int, noise: torch.Generator
    ) -> tuple[Tensors, State]:
        losses: engine.Gradients = []
        # Nothing of an earlier step may survive, since backward passes add to `.grad`. What no loss reaches keeps the
        # gradient None, as on a whole batch.
        self.forward.network.zero_grad(set_to_none=True)
        for part, labels, share in _parts(inputs, targets, self.size):
            with self.forward.precision():
                step = self.forward.step(part, self.forward.encode(part), labels, epoch, noise)
                loss, state = self.method.loss(step, state)
            (share * loss).backward()
            losses = _added(losses, [value.detach() for value in step.losses.values()], share)
        return dict(zip(step.losses, losses, strict=True)), state


class _IntegrationInParts(_IntegrationStep):
    """For each part one forward and K backward passes per encoder; the K sums of gradients are combined once."""

    def __init__(self, whole: _IntegrationStep, size: int) -> None:
        super().__init__(whole.method, whole.forward, None)
        self.size = size
        inside = {id(p) for owned in self.parameters.values() for p in owned}
        self.outside = [p for p in engine.trainable(self.network) if id(p) not in inside]

    def __call__(
        self, inputs: Tensors, targets: Tensors, state: State, epoch: int, noise: torch.Generator
    ) -> tuple[Tensors, State]:
        trained = [name for name in self.forward.encoders if self.parameters[name]]
        sums: dict[tuple[str, int], engine.Gradients] = {}  # of an encoder's gradients of its k-th objective
        heads: engine.Gradients = []
        total: engine.Gradients = []
        for part, labels, share in _parts(inputs, targets, self.size):
            with self.forward.precision():
                cut = engine.cut_at_features(self.network.run_encoders(part, self.forward.encoders))
                step = self.forward.step(part, self.network.mix(cut.leaves), labels, epoch, noise)
            cotangents = engine.backward_heads(self.network, cut, step.losses)
            reached = [p for p in self.outside if p.grad is not None]
            heads = _added(heads, [p.grad for p in reached if p.grad is not None], share)
            total = _added(total, [value.detach() for value in step.losses.values()], share)
            for encoder in trained:
                feature, last = [cut.attached[encoder]], len(cotangents) - 1
                for k, found in enumerate(cotangents.values()):
                    own = engine.pull_back(feature, self.parameters[encoder], [found[encoder]], last=k == last)
                    sums[encoder, k] = _added(sums.get((encoder, k), []), own, share)
        engine.assign(reached, heads)
        # From here on as on a whole batch (_IntegrationStep), whose gradients and losses these are.
        losses = dict(zip(step.losses, total, strict=True))
        used: dict[str, list[Tensor]] = {name: [] for name in losses}
        for encoder in trained:
            reaching = engine.objectives_of(self.network, encoder, list(cotangents))
            values = torch.stack([sum(losses[name] for name in names) for names in reaching.values()])  # type: ignore[misc]
            gradients = [sums[encoder, k] for k in range(len(reaching))]
            result = self._integrated(encoder, gradients, values, self._part(encoder, state, len(reaching), noise))
            engine.assign(self.parameters[encoder], result.combined)
            result.state.pop("random", None)  # drawn anew in each step, so it is no state
            state = state | {f"{encoder}/{key}": value for key, value in result.state.items()}
            for names, weight in zip(reaching.values(), result.weights.unbind(dim=-1), strict=True):
                for name in names:
                    used[name].append(weight.mean())
        if self.method.weighs_heads:
            self._weigh_heads(used)
        return losses, state

    def _integrated(
        self, encoder: str, gradients: list[engine.Gradients], losses: Tensor, state: State
    ) -> engine.Integration:
        if self.method.scope != "last_layer":
            return engine.integrate(self.method, gradients, losses, state)
        # The weights are known after the last part, when no graph is left to pull a weighted cotangent through. So all
        # gradients are there, of which those of the last layer are measured.
        weight = self.network.encoders[encoder].last_layer.weight
        place = next(i for i, p in enumerate(self.parameters[encoder]) if p is weight)
        gramian = engine.gramian([[found[place]] for found in gradients]).sum(dim=0)  # (T, K, K) -> (K, K)
        weights, state = self.method.weights(gramian, losses, state)
        return engine.Integration(engine.combine(gradients, weights), gramian, weights, state)
