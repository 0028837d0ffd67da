"""Build a network from a cell's configuration and the prepared data's shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from counterpoise.models.network import JOINT, Network, build_head
from counterpoise.spec.components import component


def build_network(
    config: dict[str, Any], shapes: dict[str, tuple[int, ...]], classes: dict[str, int], generator_seed: int
) -> Network:
    """Return a freshly initialised network.

    Args:
        config: the ``model`` part of a cell's configuration (encoders, fusion, head, init).
        shapes: modality -> input shape without the batch dimension.
        classes: target -> number of classes.
        generator_seed: seeds the initialisation and nothing else; the global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(generator_seed)
        encoders = {
            name: _settings("encoder", part).build(shapes[name]) for name, part in config["encoders"].items()
        }  # fmt: skip
        network = _assemble(config, encoders, classes)
        if config["init"] == "xavier":
            network.apply(_initialise_xavier)
    return network


def _assemble(config: dict[str, Any], encoders: dict[str, nn.Module], classes: dict[str, int]) -> Network:
    hidden = config["head"]["hidden"]
    widths = {name: module.width for name, module in encoders.items()}
    if config["fusion"] is None:
        width = sum(widths.values())
        heads = {target: build_head(width, count, hidden) for target, count in classes.items()}
        return Network(encoders, None, heads, {target: target for target in classes})
    ((target, count),) = classes.items()
    fusion = _settings("fusion", config["fusion"]).build(widths, count)
    heads = {name: build_head(width, count, hidden) for name, width in widths.items()}
    return Network(encoders, fusion, heads, dict.fromkeys((JOINT, *heads), target))


def _settings(kind: str, part: dict[str, Any]) -> Any:
    return component(kind, part["component"]).load()(**part["settings"])


def _initialise_xavier(module: nn.Module) -> None:
    """Initialise as OGM-GE's code: Xavier-normal linear, Kaiming fan-out convolution, unit batch norm."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
