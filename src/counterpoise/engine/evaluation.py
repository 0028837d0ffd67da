"""What a network predicts for a split, and how good that is: for choosing epochs, and for methods between epochs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from counterpoise.engine.selection import Logits
from counterpoise.methods.interface import Method, evaluating
from counterpoise.models.network import JOINT, Network
from counterpoise.models.tasks import DENSE, dense_score, dense_statistics

BATCH = 512
DENSE_BATCH = 16  # a dense output is as large as its input

Pairs = Iterable[tuple[dict[str, Tensor], dict[str, Tensor]]]
"""Batches of (inputs, targets)."""


def evaluation_batch(network: Network) -> int:
    """Return how many samples are predicted at a time."""
    return DENSE_BATCH if any(network.kind(name) in DENSE for name in network.objectives) else BATCH


def predictions(network: Network, method: Method, batches: Pairs) -> tuple[Logits, dict[str, float]]:
    """Return what a method's outputs say of all batches, and the accuracy of each.

    An output is kept as its logits ``(N, C)`` on the CPU, a dense one as the statistics that its scores are made of.
    """
    objectives = method.objectives(network)
    parts: dict[str, list[Tensor]] = {name: [] for name in objectives}
    labels: dict[str, list[Tensor]] = {name: [] for name in objectives}
    encoders = method.encoders(network)
    with evaluating(network), torch.no_grad():
        for inputs, targets in batches:
            features = network.encode(inputs, encoders)  # {modality: (B, d)}
            for name, output in method.predict(network, features).items():  # (B, C), dense: (B, C, H, W)
                kind, target = network.kind(name), targets[network.targets[name]]
                if kind in DENSE:
                    parts[name].append(dense_statistics(kind, output.float(), target))
                else:
                    parts[name].append(output.float())
                    labels[name].append(target)
    kept, scores = {}, []
    for name, values in parts.items():
        kind = network.kind(name)
        if kind in DENSE:
            kept[name] = torch.stack(values).sum(dim=0)
            scores.append(dense_score(kind, kept[name]))
        else:
            kept[name] = torch.cat(values)  # (N, C)
            scores.append((kept[name].argmax(dim=1) == torch.cat(labels[name])).double().mean())
    # One transfer for all scores: each .item() would wait for the device.
    accuracies = dict(zip(parts, torch.stack(scores).tolist(), strict=True))
    return {name: values.cpu() for name, values in kept.items()}, accuracies


def mean_losses(network: Network, batches: Pairs, device: torch.device) -> dict[str, Tensor]:
    """Return every objective's mean loss over all batches, in evaluation mode."""
    total = dict.fromkeys(network.objectives, torch.zeros((), device=device))
    count = 0
    with evaluating(network), torch.no_grad():
        for inputs, targets in batches:
            outputs = network.predict(network.encode(inputs), network.objectives)
            size = len(next(iter(targets.values())))
            for name, logits in outputs.items():
                total[name] = total[name] + size * network.loss(name, logits, targets[network.targets[name]])
            count += size
    return {name: value / count for name, value in total.items()}


def primary_accuracy(accuracies: dict[str, float]) -> float:
    """Return what epochs are chosen by: the joint accuracy, or without one the mean over the outputs."""
    if JOINT in accuracies:
        return accuracies[JOINT]
    return sum(accuracies.values()) / len(accuracies)
