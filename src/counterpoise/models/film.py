"""FiLM: one modality scales and shifts the other's features."""

from __future__ import annotations

from torch import Tensor, nn

from counterpoise.declare import fusion, setting
from counterpoise.errors import UserError, suggest
from counterpoise.models.interface import Features, Fusion, FusionModule


@fusion(name="film", title="FiLM", modalities=(2, 2), source="Perez et al., AAAI 2018; in MLB audio conditions video")
class FiLM(Fusion):
    """``o = W (gamma * z_v + beta) + b`` with ``(gamma, beta) = W' z_a + b'``."""

    by: str = setting("", doc="the modality that conditions the other; empty: the first")

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        names = tuple(widths)
        by = self.by or names[0]
        if by not in names:
            raise UserError(f"fusion 'film': by: no modality '{by}'{suggest(by, names)}")
        (other,) = (name for name in names if name != by)
        return _FiLM(by, other, widths, classes)


class _FiLM(FusionModule):
    def __init__(self, by: str, other: str, widths: dict[str, int], classes: int) -> None:
        super().__init__()
        self.by, self.other = by, other
        self.condition = nn.Linear(widths[by], 2 * widths[other])
        self.last = nn.Linear(widths[other], classes)

    def forward(self, features: Features) -> Tensor:
        gamma, beta = self.condition(features[self.by]).chunk(2, dim=1)
        return self.last(gamma * features[self.other] + beta)
