"""Build a network from a cell's configuration and the prepared data's shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from counterpoise.errors import UserError
from counterpoise.models.interface import EncoderModule, Fusion, SequenceEncoderModule
from counterpoise.models.network import JOINT, Network, build_head

if TYPE_CHECKING:
    from counterpoise.models.pretrained import PretrainedWeights

Load = Callable[[str, str], Callable[..., Any]]
"""(kind, name) -> the class of a component, for example of the encoder ``conv4``."""


def build_network(
    config: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    classes: dict[str, int],
    generator_seed: int,
    *,
    load: Load,
    weights: PretrainedWeights | None = None,
    kinds: dict[str, str] | None = None,
) -> Network:
    """Return a freshly initialised network, with pretrained weights where its settings ask for them.

    Args:
        config: the ``model`` part of a cell's configuration (encoders, inputs, fusion, head, init).
        shapes: modality -> shape of what is stored, without the batch dimension.
        classes: target -> number of classes; 1 for depth.
        generator_seed: seeds the initialisation and nothing else; the global generator is left as it was.
        load: returns the classes of the encoders and the fusion.
        weights: where pretrained weights are looked for, for models that ask for some.
        kinds: target -> its kind; one that is not named is classification.

    Raises:
        UserError: pretrained weights are missing, or a part cannot take its input or other parts' features.
    """
    network = build_architecture(config, shapes, classes, generator_seed, load)
    network.kinds = dict(kinds or {})
    for name, part in config["encoders"].items():
        _made(load, "encoder", part).load_pretrained(network.encoders[name], weights or _NoWeights())
    if config["fusion"] is not None:
        _made(load, "fusion", config["fusion"]).load_pretrained(network.fusion, weights or _NoWeights())
    return network


class _NoWeights:
    """Stands for pretrained weights where none were given: a model that asks for some never starts without."""

    def state(self, name: str) -> Any:
        raise UserError(f"pretrained weights '{name}' are asked for, and nobody said where to look for any")


def build_architecture(
    config: dict[str, Any], shapes: dict[str, tuple[int, ...]], classes: dict[str, int], generator_seed: int, load: Load
) -> Network:
    """Return a network with all parameters at random, for weights that are put into it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(generator_seed)
        settings = {name: _made(load, "encoder", part) for name, part in config["encoders"].items()}
        fusion = None if config["fusion"] is None else _made(load, "fusion", config["fusion"])
        seen = {name: presented_shape(shapes[name], config.get("inputs", {}).get(name)) for name in settings}
        encoders = {name: part.build(seen[name]) for name, part in settings.items()}
        network = _assemble(encoders, fusion, classes, config["head"]["hidden"])
        if config["init"] == "xavier":
            network.apply(_initialise_xavier)
    return network


def presented_shape(stored: tuple[int, ...], settings: dict[str, Any] | None) -> tuple[int, ...]:
    """Return the shape that a model gets of a modality, after frames are chosen and images resized."""
    if settings is None:
        return stored
    frames = () if len(stored) < 4 else (settings["frames"] or stored[0],)
    size = stored[-2:] if settings["size"] is None else tuple(settings["size"])
    return (*frames, stored[-3], *size)


def _assemble(
    encoders: dict[str, EncoderModule], fusion: Fusion | None, classes: dict[str, int], hidden: int | None
) -> Network:
    widths = {name: module.width for name, module in encoders.items()}
    if fusion is None:
        (encoder,) = encoders.values()
        heads = {target: _head(encoder, count, hidden) for target, count in classes.items()}
        return Network(encoders, None, heads, {target: target for target in classes})
    ((target, count),) = classes.items()
    for module in encoders.values():
        if isinstance(module, SequenceEncoderModule):
            module.pooled = not fusion.info.sequence
    joint = fusion.build(widths, count)
    heads = {name: _head(module, count, hidden) for name, module in encoders.items()}
    return Network(encoders, joint, heads, dict.fromkeys((JOINT, *heads), target))


def _head(encoder: EncoderModule, outputs: int, hidden: int | None) -> nn.Module:
    if not encoder.spatial:
        return build_head(encoder.width, outputs, hidden)
    # (B, d, H, W) -> (B, outputs, H, W): a prediction of MTAN's released code, started as all of its layers are.
    head = nn.Sequential(nn.Conv2d(encoder.width, encoder.width, 3, padding=1), nn.Conv2d(encoder.width, outputs, 1))
    for layer in head:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return head


def _made(load: Load, kind: str, part: dict[str, Any]) -> Any:
    """Return a part of the configuration as the settings object of its component."""
    return load(kind, part["component"])(**part["settings"])


def _initialise_xavier(module: nn.Module) -> None:
    """Initialise as OGM-GE's code: Xavier-normal linear, Kaiming fan-out convolution, unit batch norm."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
