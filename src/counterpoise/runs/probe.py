"""The linear probe: how much each frozen encoder knows by itself, by a classifier trained afterwards.

The unimodal accuracies of MMPareto's starred rows (Table 1) come from such a classifier, because those
methods give no unimodal prediction of their own. A probe can be trained on any run, so that unimodal
accuracies of all rows can be compared like for like.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise import files
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.device import describe, exactness
from counterpoise.engine.loop import Data
from counterpoise.engine.optimiser import SGD
from counterpoise.engine.streams import generator, stream_seed
from counterpoise.models.build import build_architecture
from counterpoise.models.network import JOINT, Network
from counterpoise.planning.probe import Probe
from counterpoise.protocol import Protocol
from counterpoise.runs.record import read_record
from counterpoise.runs.stages import WEIGHTS, read_weights
from counterpoise.runs.train import CellToTrain, open_splits, run_directory, shapes_and_classes

SCHEMA = 1
EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Probed:
    """What probing one encoder gave: logits of the test split ``(N, C)`` and the accuracy on the training
    split.
    """

    logits: Tensor
    train_accuracy: float


def probe_run(cell: CellToTrain, seed: int, settings: Probe, name: str, device: torch.device) -> Path:
    """Probe every trained encoder of a finished run; write ``<name>.npz`` and ``<name>.json`` into its
    folder.

    The arrays are ``logits.<modality>``, float32 ``(N, C)``. A run that diverged gives none.

    Raises:
        UserError: the run, its weights or its data are not there or not what their records say.
    """
    folder = run_directory(cell, seed)
    record = read_record(folder, cell.key, seed)
    started = datetime.datetime.now(datetime.UTC)
    found: dict[str, Probed] = {}
    if record["status"] == "completed":
        found = _probe_all(cell, seed, settings, device, _trained(record))
    with files.atomic_path(folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **{f"logits.{modality}": probed.logits.numpy() for modality, probed in found.items()})
    written = {
        "schema": SCHEMA,
        "key": cell.key,
        "seed": seed,
        "status": record["status"],
        "settings": settings.model_dump(mode="json"),
        "weights_sha256": record["files"][WEIGHTS],
        "train_accuracy": {modality: probed.train_accuracy for modality, probed in found.items()},
        "environment": describe(device, Protocol.model_validate(cell.config["protocol"])),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.datetime.now(datetime.UTC) - started).total_seconds(), 3),
        "files": {f"{name}.npz": files.sha256_file(folder / f"{name}.npz")},
    }
    files.write_json(folder / f"{name}.json", written)
    return folder / f"{name}.json"


def _trained(record: dict[str, Any]) -> Callable[[str], bool]:
    """Return which encoders a run has trained: all, or where it has no joint prediction those that it has."""
    outputs = record["output_targets"]
    return lambda modality: JOINT in outputs or modality in outputs


def _probe_all(
    cell: CellToTrain, seed: int, settings: Probe, device: torch.device, wanted: Callable[[str], bool]
) -> dict[str, Probed]:
    protocol = Protocol.model_validate(cell.config["protocol"])
    data = PreparedData.open(cell.data_of(seed))
    with exactness(protocol, device):
        network = build_architecture(cell.config["model"], *shapes_and_classes(cell.config, data), 0)
        network.load_state_dict(read_weights(run_directory(cell, seed), cell.key, seed))
        network.to(device).requires_grad_(False)
        splits = open_splits(cell.config["model"], protocol, data, device)
        return {
            name: probe_encoder(network, name, splits, settings, seed) for name in filter(wanted, network.modalities)
        }


def probe_encoder(network: Network, modality: str, data: Data, settings: Probe, seed: int) -> Probed:
    """Train a linear classifier on one encoder's features; the encoder stays as it is."""
    target = network.targets[JOINT]
    classes = _classes(network, modality)
    frozen = _Frozen(network, modality, target, data, settings, seed)
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


class _Frozen:
    """One encoder's features of the splits; taken once where they are the same in every epoch."""

    def __init__(self, network: Network, modality: str, target: str, data: Data, settings: Probe, seed: int) -> None:
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
