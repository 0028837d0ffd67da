"""From a resolved configuration to a run that can be trained. The import closure of this module is what every run's
key has in common; the method's, the encoders' and the fusion's modules are added to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from counterpoise.engine.loop import Trainer
from counterpoise.engine.splits import open_splits
from counterpoise.engine.streams import stream_seed
from counterpoise.models.build import Load, build_network

if TYPE_CHECKING:
    from counterpoise.data.prepared import PreparedData
    from counterpoise.engine.diagnostics import Recorder
    from counterpoise.models.network import Network
    from counterpoise.models.pretrained import PretrainedWeights
    from counterpoise.protocol import Protocol


def make_trainer(
    config: dict[str, Any],
    protocol: Protocol,
    data: PreparedData,
    seed: int,
    device: torch.device,
    *,
    load: Load,
    weights: PretrainedWeights | None = None,
    recorder: Callable[[Network], Recorder] | None = None,
) -> Trainer:
    """Build network, method and data of a run from a cell's resolved configuration.

    Args:
        load: returns the class of a component by kind and name.
        weights: where pretrained weights are looked for.
        recorder: makes what records diagnostics; used where the protocol asks for them.

    Raises:
        UserError: a part cannot take its input, or pretrained weights are missing.
    """
    shapes, classes = shapes_and_classes(config, data)
    kinds = {name: target["kind"] for name, target in data.targets.items()}
    network = build_network(
        config["model"], shapes, classes, stream_seed(seed, "initialisation"), load=load, weights=weights, kinds=kinds
    ).to(device)
    method = load("method", config["method"]["name"])(**config["method"]["settings"])
    splits = open_splits(config["model"], protocol, data, device)
    recording = recorder(network) if recorder is not None and protocol.diagnostics else None
    return Trainer(network, method, protocol, splits, seed, device, recording)


def shapes_and_classes(config: dict[str, Any], data: PreparedData) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return each modality's stored shape of a cell's model, and the classes of each target (depth: 1)."""
    shapes = {name: tuple(data.modalities[name]["shape"]) for name in config["model"]["encoders"]}
    return shapes, {name: target.get("classes", 1) for name, target in data.targets.items()}
