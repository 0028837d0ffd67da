"""Gated fusion: one modality opens and closes the units of the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoise.declare import fusion, setting
from counterpoise.errors import UserError, suggest
from counterpoise.models.interface import Features, Fusion, FusionModule


@fusion(name="gated", title="Gated", modalities=(2, 2), source="Kiela et al., AAAI 2018; in MLB audio gates video")
class Gated(Fusion):
    """``o = W (sigmoid(W_a z_a + b_a) * (W_v z_v + b_v)) + b``."""

    by: str = setting("", doc="the modality that gates the other; empty: the first")
    hidden: int = setting(512, minimum=1, doc="units that are gated")

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        names = tuple(widths)
        by = self.by or names[0]
        if by not in names:
            raise UserError(f"fusion 'gated': by: no modality '{by}'{suggest(by, names)}")
        (other,) = (name for name in names if name != by)
        return _Gated(by, other, widths, classes, self.hidden)


class _Gated(FusionModule):
    def __init__(self, by: str, other: str, widths: dict[str, int], classes: int, hidden: int) -> None:
        super().__init__()
        self.by, self.other = by, other
        self.gate = nn.Linear(widths[by], hidden)
        self.value = nn.Linear(widths[other], hidden)
        self.last = nn.Linear(hidden, classes)

    def forward(self, features: Features) -> Tensor:
        return self.last(torch.sigmoid(self.gate(features[self.by])) * self.value(features[self.other]))

    def modality_parameters(self) -> dict[str, list[nn.Parameter]]:
        return {self.by: list(self.gate.parameters()), self.other: list(self.value.parameters())}
