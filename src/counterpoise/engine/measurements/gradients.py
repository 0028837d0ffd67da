"""How large multimodal and unimodal gradients are at fixed parameters, mini-batch by mini-batch.

MMPareto, Figures 1d and 4b: each count is one mini-batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from counterpoise.declare import measurement, setting
from counterpoise.engine import gradients as engine
from counterpoise.engine.splits import Splits
from counterpoise.engine.streams import generator
from counterpoise.errors import UserError
from counterpoise.models.network import JOINT, Network

Row = dict[str, float | str]


@measurement(name="gradients", title="Gradients at fixed parameters", source="MMPareto, Figures 1d and 4b")
class Gradients:
    """The norms of both gradients of every encoder, and both losses, for each of ``batches`` mini-batches."""

    batches: int = setting(100, minimum=1, doc="mini-batches, or as many whole ones as the training split has")

    def measure(self, network: Network, data: Splits, batch_size: int, seed: int) -> Iterator[Row]:
        """Yield a row per encoder and mini-batch; the network is in training mode, as in a step.

        Columns: ``batch``, ``encoder``, ``multimodal`` and ``unimodal`` (norms), ``multimodal_loss`` and
        ``unimodal_loss``, and ``k``, the same in every row of an encoder: the trace of the unimodal gradient's
        covariance over mini-batches divided by that of the multimodal one's (MMPareto, Section 3.3.3).

        Raises:
            UserError: the network has no joint prediction, so that no gradient is multimodal.
        """
        if JOINT not in network.objectives:
            raise UserError("the measurement 'gradients' needs a multimodal model; this one has several tasks")
        network.train()
        # A forward pass in training mode moves the running averages of batch norm: they are put back.
        buffers = {name: value.clone() for name, value in network.named_buffers()}
        owned = {name: engine.trainable(module) for name, module in network.encoders.items()}
        parameters = {name: found for name, found in owned.items() if found}  # a frozen encoder has no gradients
        values: dict[str, list[Tensor]] = {name: [] for name in parameters}
        moments = {name: _Moments() for name in parameters}
        for inputs, targets in _batches(data, batch_size, seed, self.batches):
            losses, gradients = _gradients(network, inputs, targets, parameters)
            for name, pair in gradients.items():
                norms = [engine.total_norm(found) for found in pair]
                values[name].append(torch.stack([n.double() for n in (*norms, losses[JOINT], losses[name])]))  # (4,)
                moments[name].add(pair)
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
        columns = ("multimodal", "unimodal", "multimodal_loss", "unimodal_loss")
        for name, found in values.items():
            ratio = moments[name].ratio()
            for batch, numbers in enumerate(torch.stack(found).tolist()):
                yield {"batch": batch, "encoder": name, **dict(zip(columns, numbers, strict=True)), "k": ratio}


def _batches(data: Splits, size: int, seed: int, count: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Yield up to ``count`` whole mini-batches of the training split, without augmentation."""
    order = data.train_order[torch.randperm(len(data.train_order), generator=generator(seed, "gradients"))]
    whole = order[: max(size, len(order) // size * size)]
    for inputs, targets, _ in itertools.islice(data.train_plain.batches(whole, size), count):
        yield inputs, targets


def _gradients(
    network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor], parameters: dict[str, list]
) -> tuple[dict[str, Tensor], dict[str, list[engine.Gradients]]]:
    """Return the loss of every objective, and the multimodal and the unimodal gradient of every encoder."""
    cut = engine.cut_at_features(network.run_encoders(inputs))
    outputs = network.predict(network.mix(cut.leaves), network.objectives)
    losses = {name: network.loss(name, output, targets[network.targets[name]]) for name, output in outputs.items()}
    cotangents = list(engine.backward_heads(network, cut, losses).values())
    gradients = {
        name: [
            engine.pull_back([cut.attached[name]], owned, [found[name]], last=found is cotangents[-1])
            for found in cotangents
        ]
        for name, owned in parameters.items()
    }
    return {name: loss.detach() for name, loss in losses.items()}, gradients


class _Moments:
    """Running sums from which the traces of two gradients' covariances follow."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[engine.Gradients] = []
        self.squares = torch.zeros(2, dtype=torch.float64)

    def add(self, pair: list[engine.Gradients]) -> None:
        wide = [[tensor.double() for tensor in found] for found in pair]
        if self.count > 0:
            self.sums = [torch._foreach_add(s, w) for s, w in zip(self.sums, wide, strict=True)]
        else:
            self.sums = wide
        self.squares = self.squares + torch.stack([engine.total_norm(found) for found in wide]).square().cpu()
        self.count += 1

    def ratio(self) -> float:
        """Return ``tr C_u / tr C_m``; not a number where one batch was all there is."""
        if self.count < 2:
            return float("nan")
        # tr C = E|g|^2 - |E g|^2, for the multimodal and the unimodal gradient: (2,)
        means = torch.stack([engine.total_norm(found) / self.count for found in self.sums]).square().cpu()
        multimodal, unimodal = (self.squares / self.count - means).tolist()
        return unimodal / multimodal if multimodal > 0 else float("nan")
