"""How large multimodal and unimodal gradients are at fixed parameters, mini-batch by mini-batch.

MMPareto, Figures 1d and 4b: each count is one mini-batch. The ratio of the two covariances' traces is the
``k`` of its Section 3.3.3.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from counterpoise.engine import gradients as engine
from counterpoise.engine.splits import Splits
from counterpoise.engine.streams import generator
from counterpoise.models.network import Network

Row = dict[str, float | str]


def measure(network: Network, data: Splits, batch_size: int, seed: int, batches: int = 100) -> Iterator[Row]:
    """Yield the norm of both gradients of every encoder for each of ``batches`` mini-batches.

    Columns: ``batch``, ``encoder``, ``multimodal`` and ``unimodal`` (norms), and ``k``, the trace of the
    unimodal gradient's covariance over batches divided by that of the multimodal one's, the same in every row
    of an encoder. The network is in training mode, as in a step, and its statistics are put back afterwards.
    """
    network.train()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    parameters = {name: engine.trainable(module) for name, module in network.encoders.items()}
    norms: dict[str, list[Tensor]] = {name: [] for name in parameters}
    moments = {name: _Moments() for name in parameters}
    for inputs, targets in _batches(data, batch_size, seed, batches):
        for name, pair in _gradients(network, inputs, targets, parameters).items():
            norms[name].append(torch.stack([engine.total_norm(found) for found in pair]))
            moments[name].add(pair)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    for name, values in norms.items():
        ratio = moments[name].ratio()
        for batch, (multimodal, unimodal) in enumerate(torch.stack(values).tolist()):
            yield {"batch": batch, "encoder": name, "multimodal": multimodal, "unimodal": unimodal, "k": ratio}


def _batches(data: Splits, size: int, seed: int, count: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Yield up to ``count`` whole mini-batches of the training split, without augmentation."""
    order = data.train_order[torch.randperm(len(data.train_order), generator=generator(seed, "gradients"))]
    whole = order[: max(size, len(order) // size * size)]
    for inputs, targets, _ in itertools.islice(data.train_plain.batches(whole, size), count):
        yield inputs, targets


def _gradients(
    network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor], parameters: dict[str, list]
) -> dict[str, list[engine.Gradients]]:
    """Return the multimodal and the unimodal gradient of every encoder."""
    cut = engine.cut_at_features(network.run_encoders(inputs))
    outputs = network.predict(network.mix(cut.leaves), network.objectives)
    losses = {name: network.loss(name, output, targets[network.targets[name]]) for name, output in outputs.items()}
    cotangents = list(engine.backward_heads(network, cut, losses).values())
    return {
        name: [
            engine.pull_back([cut.attached[name]], owned, [found[name]], last=found is cotangents[-1])
            for found in cotangents
        ]
        for name, owned in parameters.items()
    }


class _Moments:
    """Running sums from which the traces of two gradients' covariances follow."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[engine.Gradients] = []
        self.squares = torch.zeros(2, dtype=torch.float64)

    def add(self, pair: list[engine.Gradients]) -> None:
        wide = [[tensor.double() for tensor in found] for found in pair]
        if self.count > 0:
            wide_sums = [torch._foreach_add(s, w) for s, w in zip(self.sums, wide, strict=True)]
        else:
            wide_sums = wide
        self.sums = wide_sums
        self.squares = self.squares + torch.stack([engine.total_norm(found) for found in wide]).square().cpu()
        self.count += 1

    def ratio(self) -> float:
        """Return ``tr C_u / tr C_m``; not a number where one batch was all there is."""
        if self.count < 2:
            return float("nan")
        means = torch.stack([engine.total_norm(found) / self.count for found in self.sums]).square().cpu()
        multimodal, unimodal = (self.squares / self.count - means).tolist()
        return unimodal / multimodal if multimodal > 0 else float("nan")
