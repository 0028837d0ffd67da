"""Loss and accuracy around a solution, along random directions (MMPareto, Figure 5).

The method is that of Li et al., Visualizing the Loss Landscape of Neural Nets, NeurIPS 2018: a direction is
Gaussian, each filter of it has the norm of the filter that it moves, and biases and norms do not move.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from counterpoise.declare import measurement, setting
from counterpoise.engine.splits import Splits
from counterpoise.engine.streams import generator
from counterpoise.models.network import JOINT, Network

Row = dict[str, float | str]

EVALUATION_BATCH = 512


@measurement(name="landscape", title="Loss around a solution", source="Li et al., NeurIPS 2018; MMPareto, Figure 5")
class Landscape:
    """Joint loss and accuracy on the test split at ``points`` steps from -1 to 1 along each of ``directions``.

    The paper states neither number of directions nor range, and gives no number for sharpness.
    """

    directions: int = setting(3, minimum=1)
    points: int = setting(21, minimum=3, doc="an odd number, so that the solution itself is one of them")
    radius: float = setting(0.5, above=0.0, maximum=1.0, doc="how far sharpness looks, in filter norms")

    def measure(self, network: Network, data: Splits, batch_size: int, seed: int) -> Iterator[Row]:
        """Yield a row per direction and step.

        Columns: ``direction``, ``step``, ``loss``, ``accuracy``, and ``sharpness``, the same in every row: the
        largest rise of the loss within ``radius``, relative to one more than the loss itself (after Keskar et
        al., ICLR 2017), averaged over directions.
        """
        network.eval()
        start = [parameter.detach().clone() for parameter in network.parameters()]
        steps = torch.linspace(-1.0, 1.0, self.points).tolist()
        rows: list[Row] = []
        rises = []
        centre, _ = _evaluate(network, data)
        for direction in range(self.directions):
            moves = random_direction(start, seed, direction)
            near = [0.0]
            for step in steps:
                _move(network, start, moves, step)
                loss, accuracy = _evaluate(network, data)
                rows.append({"direction": direction, "step": step, "loss": loss, "accuracy": accuracy})
                if abs(step) <= self.radius:
                    near.append(loss - centre)
            rises.append(max(near) / (1 + centre))
        _move(network, start, start, 0.0)
        sharpness = sum(rises) / len(rises)
        yield from (row | {"sharpness": sharpness} for row in rows)


def random_direction(parameters: list[Tensor], seed: int, number: int) -> list[Tensor]:
    """Return a filter-normalised Gaussian direction, one tensor for each parameter; zero for vectors."""
    drawn = generator(seed, "landscape", number)
    moves = []
    for parameter in parameters:
        move = torch.randn(parameter.shape, generator=drawn).to(parameter)
        if parameter.ndim < 2:
            moves.append(torch.zeros_like(parameter))
            continue
        filters, lengths = move.flatten(1), parameter.flatten(1).norm(dim=1, keepdim=True)
        moves.append((filters * lengths / (filters.norm(dim=1, keepdim=True) + 1e-10)).view_as(parameter))
    return moves


def _move(network: Network, start: list[Tensor], moves: list[Tensor], step: float) -> None:
    with torch.no_grad():
        for parameter, origin, move in zip(network.parameters(), start, moves, strict=True):
            parameter.copy_(origin + step * move)


def _evaluate(network: Network, data: Splits) -> tuple[float, float]:
    source, order = data.split("test")
    total, right = 0.0, 0.0
    with torch.no_grad():
        for inputs, targets, _ in source.batches(order, EVALUATION_BATCH):
            labels = targets[network.targets[JOINT]]
            logits = network.predict(network.encode(inputs), (JOINT,))[JOINT]
            total += float(network.loss(JOINT, logits, labels)) * len(labels)
            right += float((logits.argmax(dim=1) == labels).sum())
    return total / len(order), right / len(order)
