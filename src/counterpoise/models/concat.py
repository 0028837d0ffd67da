"""Late fusion: concatenate the features, one linear layer (Late-Linear)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoise.declare import fusion
from counterpoise.models.interface import Fusion, FusionModule


@fusion(
    name="concat",
    title="Concatenation",
    slices=True,
    source="MMPareto, Section 4.1 and Appendix B (late fusion); MLB's Late-Linear",
)
class Concat(Fusion):
    """``o = W [z_1; ...; z_M] + b = sum_u W_u z_u + b``."""

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        return _Concat(widths, classes)


class _Concat(FusionModule):
    def __init__(self, widths: dict[str, int], classes: int) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.linear = nn.Linear(sum(widths.values()), classes)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return self.linear(torch.cat([features[name] for name in self.widths], dim=1))

    def weight_slices(self) -> dict[str, tuple[nn.Parameter, slice]]:
        slices, start = {}, 0
        for name, width in self.widths.items():
            slices[name] = (self.linear.weight, slice(start, start + width))
            start += width
        return slices

    def contributions(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        share = self.linear.bias / len(self.widths)
        return {
            name: features[name] @ weight[:, columns].T + share
            for name, (weight, columns) in self.weight_slices().items()
        }
