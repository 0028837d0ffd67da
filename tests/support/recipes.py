"""An epoch of MMPareto on the CG-MNIST network, data included: by the usual recipe, and by the product.

The usual recipe is written out: a dataset that makes each sample anew from an image (Pillow, to a tensor,
normalised), and a loop with four backward passes, one for each loss and one for their sum, every gradient
copied and joined, and conditions that look at values. What it computes is MMPareto's released update.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scenes import Scene, make_method, one_epoch, scene
from sides import serve
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.data.batches import ResidentBatches
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.engine.loop import Trainer
from counterpoise.engine.splits import Splits
from counterpoise.protocol import Protocol
from counterpoise.runs.machine import keep_freed_memory

SAMPLES, BATCH, LR, GAMMA = 192, 64, 1e-3, 1.5
GRAY = ([0.1307], [0.3081])
COLOUR = ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])

Images = tuple[np.ndarray, np.ndarray, np.ndarray]


def make_images() -> Images:
    """Return gray and coloured images and their classes: synthetic, of CG-MNIST's sizes."""
    random = np.random.default_rng(0)
    gray = random.integers(0, 256, (SAMPLES, 28, 28)).astype(np.uint8)
    colour = random.integers(0, 256, (SAMPLES, 28, 28, 3)).astype(np.uint8)
    return gray, colour, np.arange(SAMPLES) % 10


def prepared(images: Images, folder: Path) -> PreparedData:
    """Return the same images as prepared data."""
    gray, colour, labels = images
    store = ArrayStore(folder / "toy.k", dataset="toy", key="k", settings={})
    store.modality("gray", shape=(1, 28, 28), dtype="uint8", mean=GRAY[0], std=GRAY[1])
    store.modality("colour", shape=(3, 28, 28), dtype="uint8", mean=COLOUR[0], std=COLOUR[1])
    store.target("label", names=[str(digit) for digit in range(10)])
    with store:
        ids = [str(number) for number in range(SAMPLES)]
        painted = np.ascontiguousarray(colour.transpose(0, 3, 1, 2))
        store.append("train", ids, gray=gray[:, None], colour=painted, label=labels)
    return PreparedData.open(store.destination)


# -- the usual recipe


class ImageDataset(torch.utils.data.Dataset):
    """Makes a sample of two images when it is asked for one."""

    def __init__(self, images: Images) -> None:
        from torchvision import transforms

        self.gray, self.colour, self.labels = images
        self.to_gray = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*GRAY)])
        self.to_colour = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*COLOUR)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        gray = self.to_gray(Image.fromarray(self.gray[index]))
        colour = self.to_colour(Image.fromarray(self.colour[index]))
        return gray, colour, int(self.labels[index])


class PlainEncoder(nn.Module):
    """PMR's encoder, layer by layer, over the layers of one of ours."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        ours = self.ours
        x = functional.max_pool2d(functional.relu(ours.conv1(ours.norm(x))), 3, stride=2, padding=1)
        for layer in (ours.conv2, ours.conv3, ours.conv4):
            x = functional.relu(layer(x))
        return ours.project(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def usual_step(seen: Scene, inputs: dict[str, Tensor], labels: Tensor) -> float:
    """Leave MMPareto's gradients (released) in ``.grad``, by four backward passes; return the joint loss."""
    network = seen.network
    features = {name: PlainEncoder(network.encoders[name])(x) for name, x in inputs.items()}
    losses = {"joint": functional.cross_entropy(network.fusion(features), labels)}
    for name in inputs:
        losses[name] = functional.cross_entropy(network.heads[name](features[name]), labels)

    kept: dict[str, dict[str, Tensor]] = {}
    for name, loss in losses.items():
        network.zero_grad()
        loss.backward(retain_graph=True)
        kept[name] = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    sum(losses.values()).backward()
    for modality in inputs:
        prefix = f"encoders.{modality}."
        names = [name for name in kept["joint"] if name.startswith(prefix)]
        joint, own = (torch.cat([kept[of][n].flatten() for n in names]) for of in ("joint", modality))
        cosine = functional.cosine_similarity(joint, own, dim=0)
        share = 0.5
        if cosine <= 0:
            share = min_norm_share(float(joint @ joint), float(joint @ own), float(own @ own))
        for name, parameter in network.named_parameters():
            if not name.startswith(prefix):
                continue
            length = parameter.grad.clone().norm()
            mixed = 2 * share * kept["joint"][name] + 2 * (1 - share) * kept[modality][name]
            ratio = length / mixed.norm()
            if ratio > 1:
                mixed = mixed * ratio
            parameter.grad = mixed * GAMMA
    return losses["joint"].item()


def min_norm_share(first: float, between: float, second: float) -> float:
    """Return the first gradient's share of the shortest combination of two."""
    if between >= first:
        return 0.999
    if between >= second:
        return 0.001
    return (second - between) / (first + second - 2 * between)


def usual_epoch(seen: Scene, images: Images) -> Callable[[], object]:
    loader = torch.utils.data.DataLoader(ImageDataset(images), batch_size=BATCH, shuffle=True)
    optimiser = torch.optim.SGD(seen.network.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4)

    def run() -> float:
        seen.network.train()
        total = 0.0
        for gray, colour, labels in loader:
            optimiser.zero_grad()
            total += usual_step(seen, {"gray": gray, "colour": colour}, labels)
            optimiser.step()
        return total

    return run


# -- ours


def our_epoch(seen: Scene, data: PreparedData, method: str, memory_format: str) -> Callable[[], object]:
    protocol = Protocol.model_validate(
        {
            "optimiser": {"lr": LR, "momentum": 0.9, "weight_decay": 1e-4},
            "epochs": 1,
            "batch_size": BATCH,
            "memory_format": memory_format,
        }
    )
    batches = ResidentBatches(data, "train")
    splits = Splits(batches, torch.arange(SAMPLES), batches, batches)
    made = make_method(method, "released" if method == "mmpareto" else None)
    trainer = Trainer(seen.network, made, protocol, splits, 0, torch.device("cpu"))
    return lambda: one_epoch(trainer)


USUAL, USUAL_KEEPING = "usual recipe", "usual recipe, freed memory kept"
FORMATS = {"ours, contiguous": "contiguous", "ours, channels last": "channels_last"}


def serve_epochs(name: str) -> None:
    """Be the side ``name`` of a comparison: an epoch each time.

    Ours keeps freed memory, as the command that trains does; the usual recipe does not, unless its name says so.
    """
    torch.set_num_threads(1)
    images, seen = make_images(), scene("cg_mnist", BATCH)
    if name != USUAL:
        keep_freed_memory()
    if name not in FORMATS:
        serve(usual_epoch(seen, images))
        return
    with tempfile.TemporaryDirectory() as folder:
        serve(our_epoch(seen, prepared(images, Path(folder)), "mmpareto", FORMATS[name]))
