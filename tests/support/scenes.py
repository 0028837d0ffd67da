"""Networks of the papers' sizes on synthetic values, for measurements: what one training step sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tiny_models import build_network, model
from torch import Tensor

from counterpoise.components import component
from counterpoise.engine.loop import Trainer
from counterpoise.engine.step import initial_state, step_function
from counterpoise.methods.interface import Method, State
from counterpoise.models.network import Network

Shapes = dict[str, tuple[int, ...]]

VIT = {"layers": 2, "width": 192, "heads": 3, "hidden": 768}
CONCAT = ("concat", {})

# name -> encoders, fusion, shapes, classes by target
SETTINGS: dict[str, tuple[dict[str, Any], Any, Shapes, dict[str, int]]] = {
    # MMPareto on CREMA-D: ResNet-18 on a spectrogram and on three frames.
    "resnet18": (
        {"audio": ("resnet18", {}), "visual": ("resnet18", {})},
        CONCAT,
        {"audio": (1, 257, 188), "visual": (3, 3, 224, 224)},
        {"label": 6},
    ),
    "cg_mnist": (
        {"gray": ("conv4", {}), "colour": ("conv4", {})},
        CONCAT,
        {"gray": (1, 28, 28), "colour": (3, 28, 28)},
        {"label": 10},
    ),
    "three_modalities": (
        dict.fromkeys(("gray", "colour", "third"), ("conv4", {})),
        CONCAT,
        {"gray": (1, 28, 28), "colour": (3, 28, 28), "third": (3, 28, 28)},
        {"label": 10},
    ),
    "multi_mnist": ({"image": ("lenet", {})}, None, {"image": (1, 28, 28)}, {"left": 10, "right": 10}),
    # The layers of MBT, two before and two with bottlenecks, narrower than the paper's.
    "mbt": (
        {"audio": ("vit", VIT), "visual": ("vit", VIT)},
        ("bottleneck", {"heads": 3, "hidden": 768, "layers": 2}),
        {"audio": (1, 256, 192), "visual": (1, 3, 224, 224)},
        {"label": 6},
    ),
}
SETTINGS["resnet18_small"] = (*SETTINGS["resnet18"][:2], {"audio": (1, 33, 32), "visual": (2, 3, 32, 32)}, {"label": 6})
SETTINGS["digits"] = (
    dict.fromkeys(("gray", "colour"), ("conv4", {"channels": 8, "width": 32})),
    CONCAT,
    {"gray": (1, 8, 8), "colour": (3, 8, 8)},
    {"label": 10},
)


@dataclass
class Scene:
    """A network and a batch for it."""

    network: Network
    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    @property
    def batch(self) -> int:
        return len(next(iter(self.inputs.values())))

    def step(self, method: Method):
        """Return an action that takes one step of a method: gradients are set, nothing is updated."""
        taken, state = step_function(method, self.network), self.state(method)
        noise = torch.Generator().manual_seed(0)
        self.network.train()
        return lambda: taken(self.inputs, self.targets, state, 0, noise)

    def state(self, method: Method) -> State:
        """Return a method's state as in its first epoch, without looking at any data."""
        state = initial_state(method, self.network)
        random = torch.Generator().manual_seed(0)
        if method.info.name == "pmr":
            classes = self.network.fusion.linear.out_features
            for name in self.network.modalities:
                width = self.network.encoders[name].width
                state[f"prototypes/{name}"] = torch.randn(classes, width, generator=random)
        return state


def scene(name: str, batch: int, *, channels_last: bool = False, seed: int = 0) -> Scene:
    """Return one of :data:`SETTINGS` with a batch of synthetic values."""
    encoders, fusion, shapes, classes = SETTINGS[name]
    network = build_network(model(encoders, fusion), shapes, classes, seed)
    random = torch.Generator().manual_seed(seed + 1)
    inputs = {name: torch.randn(batch, *shape, generator=random) for name, shape in shapes.items()}
    targets = {name: torch.randint(count, (batch,), generator=random) for name, count in classes.items()}
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        inputs = {
            name: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for name, x in inputs.items()
        }
    return Scene(network, inputs, targets)


def make_method(name: str, variant: str | None = None) -> Method:
    """Return a method with the settings of a variant, the first one by default."""
    found = component("method", name)
    chosen = found.info.variants.get(variant or next(iter(found.info.variants), ""), {})
    settings = dict(chosen.get("settings", {}))
    return found.load()(**found.resolve(settings, name))


def one_epoch(trainer: Trainer) -> None:
    """Train the next epoch, without evaluation."""
    before = trainer.progress.step
    trainer._train_epoch(lambda: None)
    trainer.progress.epoch += 1
    assert trainer.progress.step > before
