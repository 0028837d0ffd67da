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
from counterpoise.engine.loop import Data
from counterpoise.engine.streams import generator
from counterpoise.models.network import Network

Row = dict[str, float | str]


def measure(network: Network, data: Data, batch_size: int, seed: int, batches: int = 100) -> Iterator[Row]:
    """Yield the norm of both gradients of every encoder for each of ``batches`` mini-batches.

    Columns: ``batch``, ``encoder``, ``multimodal`` and ``unimodal`` (norms), ``multimodal_loss`` and
    ``unimodal_loss`` (whose gradients they are), and ``k``, the trace of the unimodal gradient's covariance
    over batches divided by that of the multimodal one's, the same in every row of an encoder. The network is
    in training mode, as in a step, and its statistics are put back afterwards. An encoder that is wholly
    frozen has no rows.
    """
    network.train()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    owned = {name: engine.trainable(module) for name, module in network.encoders.items()}
    parameters = {name: found for name, found in owned.items() if found}
    numbers: dict[str, list[Tensor]] = {name: [] for name in parameters}
    moments = {name: _Moments() for name in parameters}
    for inputs, targets in _batches(data, batch_size, seed, batches):
        for name, (losses, pair) in _gradients(network, inputs, targets, parameters).items():
            numbers[name].append(torch.stack([*(engine.total_norm(found) for found in pair), *losses]))
            moments[name].add(pair)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    columns = ("multimodal", "unimodal", "multimodal_loss", "unimodal_loss")
    for name, values in numbers.items():
        ratio = moments[name].ratio()
        for batch, found in enumerate(torch.stack(values).tolist()):
            yield {"batch": batch, "encoder": name, **dict(zip(columns, found, strict=True)), "k": ratio}


def _batches(data: Data, size: int, seed: int, count: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Yield up to ``count`` whole mini-batches of the training split, without augmentation."""
    order = data.train_order[torch.randperm(len(data.train_order), generator=generator(seed, "gradients"))]
    whole = order[: max(size, len(order) // size * size)]
    for inputs, targets, _ in itertools.islice(data.train_plain.batches(whole, size), count):
        yield inputs, targets


def _gradients(
    network: Network, inputs: dict[str, Tensor], targets: dict[str, Tensor], parameters: dict[str, list]
) -> dict[str, tuple[list[Tensor], list[engine.Gradients]]]:
    """Return the multimodal and the unimodal loss of every encoder, and the gradient of each."""
    cut = engine.cut_at_features(network.run_encoders(inputs))
    outputs = network.predict(network.mix(cut.leaves), network.objectives)
    losses = {name: network.loss(name, output, targets[network.targets[name]]) for name, output in outputs.items()}
    cotangents = engine.backward_heads(network, cut, losses)
    last = list(cotangents)[-1]
    found = {}
    for name, owned in parameters.items():
        reaching = engine.objectives_of(network, name, list(cotangents)).values()
        totals = [torch.stack([losses[loss].detach().double() for loss in names]).sum() for names in reaching]
        pair = [
            engine.pull_back([cut.attached[name]], owned, [vectors[name]], last=group is last)
            for group, vectors in cotangents.items()
        ]
        found[name] = totals, pair
    return found


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
