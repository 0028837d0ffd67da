"""A task small enough to check a method on in a second: small images in two or more modalities, or two tasks.

Every modality shows the class as a pattern under noise, the first more clearly than the next; of two tasks, one is the
pattern and the other its strength. The architecture is a real one (batch norm, convolutions, linear), only narrow.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from counterpoise.components import component, load_class
from counterpoise.engine.loop import Trainer
from counterpoise.engine.splits import Splits
from counterpoise.methods.interface import Method, Weights
from counterpoise.models.build import build_network
from counterpoise.models.network import Network
from counterpoise.protocol import Optimiser, Protocol

MODALITIES = ("left", "right", "third", "fourth")
TASKS = ("shape", "place")
CLASSES = 3
LR = 0.02
SHAPE = (1, 8, 8)
ENCODER = {"component": "conv4", "settings": {"channels": 3, "width": 6}}


@dataclass(frozen=True)
class Toy:
    """Which toy: how many modalities, or two tasks on one; which fusion; in which precision."""

    modalities: int = 2
    tasks: bool = False
    fusion: str = "concat"
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    clarity: tuple[float, ...] = field(default=(3.0, 1.5, 1.5, 1.5))

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, which are the encoders."""
        return MODALITIES[: 1 if self.tasks else self.modalities]

    def network(self, seed: int = 0) -> Network:
        """Return a freshly initialised network."""
        config = {
            "encoders": dict.fromkeys(self.names, ENCODER),
            "fusion": None if self.tasks else {"component": self.fusion, "settings": {}},
            "head": {"hidden": None},
            "init": "xavier",
        }
        targets = TASKS if self.tasks else ("class",)
        classes = dict.fromkeys(targets, CLASSES)
        made = build_network(config, dict.fromkeys(self.names, SHAPE), classes, seed, load=load_class)
        return made.to(device=self.device, dtype=self.dtype)

    def split(self, size: int, seed: int) -> ToyBatches:
        """Return ``size`` samples, drawn by ``seed``."""
        random = torch.Generator().manual_seed(seed)
        labels = {name: torch.randint(CLASSES, (size,), generator=random) for name in (*TASKS, "class")}
        inputs = {}
        for number, name in enumerate(self.names):
            shown = stripes()[labels["shape" if self.tasks else "class"]]
            if self.tasks:
                shown = shown * (0.5 + 0.5 * labels["place"][:, None, None, None])
            noise = torch.randn(size, *SHAPE, generator=random)
            inputs[name] = (self.clarity[number] * shown + noise).to(self.device, self.dtype)
        targets = {name: labels[name].to(self.device) for name in (TASKS if self.tasks else ("class",))}
        return ToyBatches(inputs, targets)

    def batch(self, size: int = 16, seed: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return one batch of inputs and targets."""
        drawn = self.split(size, seed)
        return drawn.inputs, drawn.targets

    def data(self) -> Splits:
        """Return training, validation and test splits."""
        train, val, test = (_split(self, size, seed) for seed, size in enumerate((72, 24, 24)))
        return Splits(train, torch.arange(72), train, test, val, torch.arange(24))

    def trainer(self, method: Method, epochs: int = 8, seed: int = 0) -> Trainer:
        """Return the training loop of a method on this toy, its network initialised as the method wants."""
        network = self.network(seed)
        method.initialise(network, self.unimodal_run)
        optimiser = Optimiser(lr=LR, momentum=0.9, weight_decay=1e-4)
        protocol = Protocol(optimiser=optimiser, epochs=epochs, batch_size=24, evaluate_every=epochs)
        return Trainer(network, method, protocol, self.data(), seed, torch.device(self.device))

    def unimodal_run(self, modality: str) -> Weights:
        """Return the weights of a network on which one modality was trained alone."""
        return _unimodal_run(self, modality)


@functools.cache
def _split(toy: Toy, size: int, seed: int) -> ToyBatches:
    return toy.split(size, seed)


@functools.cache
def _unimodal_run(toy: Toy, modality: str) -> Weights:
    trainer = toy.trainer(component("method", "unimodal").load()(modality=modality), epochs=2)
    trainer.run()
    return trainer.network.state_dict()


def stripes() -> Tensor:
    """Return one pattern per class, ``(CLASSES, *SHAPE)``: stripes down, stripes across, and a chessboard."""
    rows, columns = torch.meshgrid(torch.arange(SHAPE[1]), torch.arange(SHAPE[2]), indexing="ij")
    return torch.stack([columns % 2, rows % 2, (rows + columns) % 2]).mul(2).sub(1)[:, None].float()


@dataclass
class ToyBatches:
    """Samples in memory, delivered as :class:`counterpoise.data.batches.Batches` does."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def batches(
        self, order: Tensor, size: int, generator: torch.Generator | None = None
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], Tensor]]:
        """Yield ``(inputs, targets, index)`` for consecutive stretches of ``order``."""
        for index in order.split(size):
            inputs = {name: values[index] for name, values in self.inputs.items()}
            targets = {name: values[index] for name, values in self.targets.items()}
            yield inputs, targets, index


def make_method(name: str, variant: str = "published", toy: Toy | None = None) -> Method:
    """Return a method with a variant's settings; one that trains a single modality gets the toy's first."""
    found = component("method", name)
    settings = dict(found.info.variants[variant].get("settings", {}))
    if found.info.trains == "single":
        settings["modality"] = (toy or Toy()).names[0]
    return found.load()(**found.resolve(settings, f"method '{name}', variant '{variant}'"))
