"""The linear probe: how much each frozen encoder knows by itself, by a classifier trained afterwards.

The unimodal accuracies of MMPareto's starred rows (Table 1) come from such a classifier, because those
methods give no unimodal prediction of their own. A probe can be trained on any run, so that unimodal
accuracies of all rows can be compared like for like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.engine.optimiser import SGD
from counterpoise.engine.splits import Splits
from counterpoise.engine.streams import generator, stream_seed
from counterpoise.models.network import JOINT, Network

if TYPE_CHECKING:
    from counterpoise.planning.probe import Probe

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Probed:
    """What probing one encoder gave: logits of the test split ``(N, C)`` and the accuracy on the training split."""

    logits: Tensor
    train_accuracy: float


def probe_encoder(network: Network, modality: str, data: Splits, settings: Probe, seed: int) -> Probed:
    """Train a linear classifier on one encoder's features; the encoder stays as it is."""
    target = network.targets[JOINT]
    classes = _classes(network, modality)
    frozen = _FrozenEncoder(network, modality, target, data, settings, seed)
    classifier = _linear(network.encoders[modality].width, classes, seed, modality).to(frozen.device)
    optimiser = SGD(classifier.parameters(), settings.lr, settings.momentum, weight_decay=settings.weight_decay)
    for epoch in range(settings.epochs):
        for features, labels in frozen.batches(epoch):
            loss = functional.cross_entropy(classifier(features), labels)
            for parameter, gradient in zip(
                classifier.parameters(), torch.autograd.grad(loss, list(classifier.parameters())), strict=True
            ):
                parameter.grad = gradient
            optimiser.step()
    with torch.no_grad():
        features, labels = frozen.whole("train")
        right = (classifier(features).argmax(dim=1) == labels).double().mean()
        return Probed(classifier(frozen.whole("test")[0]).float().cpu(), float(right))


def _classes(network: Network, modality: str) -> int:
    head = network.heads[modality]
    last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
    return last.out_features


def _linear(width: int, classes: int, seed: int, modality: str) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(stream_seed(seed, f"probe/{modality}/initialisation"))
        return nn.Linear(width, classes)


class _FrozenEncoder:
    """One encoder's features of the splits; taken once where they are the same in every epoch."""

    def __init__(self, network: Network, modality: str, target: str, data: Splits, settings: Probe, seed: int) -> None:
        self.network = network
        self.modality = modality
        self.target = target
        self.data = data
        self.settings = settings
        self.seed = seed
        self.device = next(network.parameters()).device
        self.fixed = settings.batch_norm == "eval" and not settings.augment
        self.stored = self.whole("train") if self.fixed else None

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features ``(B, d)`` and labels ``(B,)`` of the training split, shuffled."""
        order = self.data.train_order
        shuffle = generator(self.seed, f"probe/{self.modality}/shuffle", epoch)
        places = torch.randperm(len(order), generator=shuffle)
        if self.stored is not None:
            features, labels = self.stored
            for index in places.split(self.settings.batch_size):
                yield features[index.to(self.device)], labels[index.to(self.device)]
            return
        source = self.data.train if self.settings.augment else self.data.train_plain
        augment = generator(self.seed, f"probe/{self.modality}/augment", epoch)
        for inputs, targets, _ in source.batches(order[places], self.settings.batch_size, augment):
            yield self._features(inputs, training=self.settings.batch_norm == "train"), targets[self.target]

    def whole(self, split: str) -> tuple[Tensor, Tensor]:
        """Return features ``(N, d)`` and labels ``(N,)`` of a split as it is evaluated."""
        source, order = self.data.split(split)
        parts = [
            (self._features(inputs, training=False), targets[self.target])
            for inputs, targets, _ in source.batches(order, EVALUATION_BATCH)
        ]
        features, labels = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(labels)

    def _features(self, inputs: dict[str, Tensor], *, training: bool) -> Tensor:
        """Return what the encoder by itself makes of its modality; its statistics stay as they are."""
        before = {name: buffer.clone() for name, buffer in self.network.named_buffers()} if training else {}
        self.network.train(training)
        with torch.no_grad():
            found = self.network.encode({self.modality: inputs[self.modality]}, (self.modality,))
            for name, buffer in self.network.named_buffers():
                if name in before:
                    buffer.copy_(before[name])
        return self.network.vectors(found)[self.modality]
