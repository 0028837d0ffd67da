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
        ``unimodal_loss`` (whose gradients they are), and ``k``, the same in every row of an encoder: the trace of
        the unimodal gradient's covariance over mini-batches divided by that of the multimodal one's (MMPareto,
        Section 3.3.3). An encoder that is wholly frozen has no rows.

        Raises:
            UserError: the network has no joint prediction, so that no gradient is multimodal.
        """
        if JOINT not in network.objectives:
            raise UserError("the measurement 'gradients' needs a multimodal model; this one has several tasks")
        network.train()
        # A forward pass in training mode moves the running averages of batch norm: they are put back.
        buffers = {name: value.clone() for name, value in network.named_buffers()}
        trained = {name: engine.trainable(module) for name, module in network.encoders.items()}
        parameters = {name: owned for name, owned in trained.items() if owned}
        values: dict[str, list[Tensor]] = {name: [] for name in parameters}
        moments = {name: _Moments() for name in parameters}
        for inputs, targets in _batches(data, batch_size, seed, self.batches):
            for name, (losses, pair) in _gradients(network, inputs, targets, parameters).items():
                norms = [engine.total_norm(found) for found in pair]
                values[name].append(torch.stack([number.double() for number in (*norms, *losses)]))  # (4,)
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
) -> dict[str, tuple[list[Tensor], list[engine.Gradients]]]:
    """Return, by encoder, the multimodal and the unimodal loss that reach it, and the gradient of each."""
    cut = engine.cut_at_features(network.run_encoders(inputs))
    outputs = network.predict(network.mix(cut.leaves), network.objectives)
    losses = {name: network.loss(name, output, targets[network.targets[name]]) for name, output in outputs.items()}
    cotangents = engine.backward_heads(network, cut, losses)
    last = list(cotangents)[-1]
    found = {}
    for name, owned in parameters.items():
        # Where features see each other before they are predicted from, every unimodal loss reaches every encoder.
        reaching = [[losses[loss] for loss in group if name in network.reach(loss)] for group in cotangents]
        pair = [
            engine.pull_back([cut.attached[name]], owned, [vectors[name]], last=group is last)
            for group, vectors in cotangents.items()
        ]
        found[name] = [torch.stack(each).sum().detach() for each in reaching], pair
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
            self.sums = [torch._foreach_add(s, w) for s, w in zip(self.sums, wide, strict=True)]  # type: ignore[misc]
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
