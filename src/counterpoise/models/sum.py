"""Late fusion by summation: each modality has its own linear layer, and the logits are added."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoise.declare import fusion
from counterpoise.models.interface import Fusion, FusionModule


@fusion(name="sum", title="Summation", slices=True, source="summation fusion of OGM-GE (Peng et al., CVPR 2022)")
class Sum(Fusion):
    """``o = sum_u (W_u z_u + b_u)``."""

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        return _Sum(widths, classes)


class _Sum(FusionModule):
    def __init__(self, widths: dict[str, int], classes: int) -> None:
        super().__init__()
        self.linear = nn.ModuleDict({name: nn.Linear(width, classes) for name, width in widths.items()})

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return torch.stack(list(self.contributions(features).values())).sum(dim=0)

    def weight_slices(self) -> dict[str, tuple[nn.Parameter, slice]]:
        return {name: (layer.weight, slice(None)) for name, layer in self.linear.items()}

    def contributions(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: layer(features[name]) for name, layer in self.linear.items()}
