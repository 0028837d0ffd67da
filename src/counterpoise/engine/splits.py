"""The splits of prepared data as a run sees them: presented to the model, with validation data held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from counterpoise.data.batches import Batches, open_batches
from counterpoise.data.transforms import InputTransform

if TYPE_CHECKING:
    from counterpoise.data.prepared import PreparedData
    from counterpoise.protocol import Protocol


@dataclass
class Splits:
    """``train`` is augmented, ``train_plain`` the same samples without anything random.

    ``train_order`` and ``val_order`` ``(N,)`` index the samples that are trained on and held out.
    """

    train: Batches
    train_order: Tensor
    train_plain: Batches
    test: Batches
    val: Batches | None = None
    val_order: Tensor | None = None

    def split(self, name: str) -> tuple[Batches, Tensor]:
        """Return a split's batches without augmentation and the order of its samples."""
        if name == "train":
            return self.train_plain, self.train_order
        if name == "val" and self.val is not None:
            return self.val, self.val_order  # type: ignore[return-value]  # both or neither
        if name == "test":
            return self.test, torch.arange(len(self.test))
        raise ValueError(f"this run has no split '{name}'")


def open_splits(model: dict[str, Any], protocol: Protocol, data: PreparedData, device: torch.device) -> Splits:
    """Return the splits of prepared data for the ``model`` part of a resolved configuration."""
    transforms = {name: _transform(settings) for name, settings in model["inputs"].items()}
    plain = {name: transform.for_evaluation() for name, transform in transforms.items()}
    train = open_batches(data, "train", device, transforms)
    train_plain = train if transforms == plain else open_batches(data, "train", device, plain)
    order = torch.arange(len(train))
    test = open_batches(data, "test", device, plain)
    if "val" in data.splits:
        val = open_batches(data, "val", device, plain)
        return Splits(train, order, train_plain, test, val, torch.arange(len(val)))
    if protocol.validation_fraction > 0:
        # Every n-th sample is held out, the same for every seed: changing the seed never changes the split.
        held_out = max(1, round(protocol.validation_fraction * len(order)))
        chosen = torch.zeros(len(order), dtype=torch.bool)
        chosen[torch.linspace(0, len(order) - 1, held_out).round().long()] = True
        return Splits(train, order[~chosen], train_plain, test, train_plain, order[chosen])
    return Splits(train, order, train_plain, test)


def _transform(settings: dict[str, Any]) -> InputTransform:
    return InputTransform(**{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})  # type: ignore[arg-type]
