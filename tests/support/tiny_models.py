"""Tiny networks of every architecture, on random inputs."""

from __future__ import annotations

from typing import Any

import torch

from counterpoise.components import component, load_class
from counterpoise.models import build as building
from counterpoise.models.network import Network
from counterpoise.models.pretrained import PretrainedWeights

Part = tuple[str, dict[str, Any]]

CONFORMER = {"width": 32, "heads": 2, "hidden": 32, "kernel": 3, "layers": 1}
ENCODERS: dict[str, tuple[Part, tuple[int, ...]]] = {
    "conv4": (("conv4", {"channels": 4, "width": 32}), (3, 16, 16)),
    "resnet18": (("resnet18", {"width": 32}), (1, 33, 40)),
    "resnet18_frames": (("resnet18", {"width": 32}), (2, 3, 32, 32)),
    "vit": (("vit", {"width": 32, "layers": 2, "heads": 2, "hidden": 32, "patch": 8}), (1, 16, 24)),
    "vit_frames": (("vit", {"width": 32, "layers": 2, "heads": 2, "hidden": 32, "patch": 8}), (2, 3, 16, 16)),
    "conformer": (("conformer", CONFORMER), (6, 12)),
    "wav2vec2": (("wav2vec2_conformer", {"architecture": "tiny", "kept_layers": 2, **CONFORMER}), (4000,)),
    "efficientnet": (("efficientnet_conformer", {"trunk": "tiny", **CONFORMER}), (3, 3, 16, 16)),
    "mlp": (("mlp", {"width": 32}), (20,)),
    "sequence": (("sequence", {"width": 32, "heads": 2, "hidden": 32}), (6, 12)),
}
FUSIONS: dict[str, dict[str, Any]] = {
    "concat": {},
    "sum": {},
    "mid_mlp": {"hidden": 8},
    "film": {},
    "gated": {"hidden": 8},
    "tf": {"layers": 1, "heads": 2, "hidden": 16, "kernel": 3},
    "bottleneck": {"heads": 2, "hidden": 32, "layers": 2},
}


def part(kind: str, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A component with all of its settings, as in a cell's configuration."""
    return {"component": name, "settings": component(kind, name).resolve(settings, f"{kind} {name}")}


def model(encoders: dict[str, Part], fusion: Part | None, **rest: Any) -> dict[str, Any]:
    """The ``model`` part of a cell's configuration."""
    return {
        "encoders": {name: part("encoder", *of) for name, of in encoders.items()},
        "fusion": None if fusion is None else part("fusion", *fusion),
        "head": {"hidden": None},
        "init": "torch",
        "inputs": {},
        **rest,
    }


def build_network(
    config: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    classes: dict[str, int],
    seed: int,
    weights: PretrainedWeights | None = None,
) -> Network:
    """A network of the components that are installed."""
    return building.build_network(config, shapes, classes, seed, load=load_class, weights=weights)


def build(
    fusion: str, /, init: str = "torch", seed: int = 0, **encoders: str
) -> tuple[Network, dict[str, torch.Tensor]]:
    """A network of 5 classes (``build("concat", audio="resnet18", visual="vit")``) and 3 samples."""
    config = model({name: ENCODERS[kind][0] for name, kind in encoders.items()}, (fusion, FUSIONS[fusion]), init=init)
    shapes = {name: ENCODERS[kind][1] for name, kind in encoders.items()}
    generator = torch.Generator().manual_seed(1)
    inputs = {name: torch.randn(3, *shape, generator=generator) for name, shape in shapes.items()}
    return build_network(config, shapes, {"label": 5}, seed), inputs
