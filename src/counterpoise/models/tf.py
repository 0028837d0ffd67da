"""TF: a small Conformer over the positions of all modalities and a class token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoise.declare import fusion, setting
from counterpoise.errors import UserError
from counterpoise.models.conformer import ConformerStack, linear
from counterpoise.models.interface import Features, Fusion, FusionModule


@fusion(
    name="tf",
    title="TF",
    sequence=True,
    equal_widths=True,
    source="MLB (BMVC 2024), Section 4.3: 2-layer Conformer, class and modality tokens; the projection before it and "
    "the tokens' N(0, 1) as in its released code",
)
class TF(Fusion):
    """Every position of every modality plus its modality's token, a class token before them; all projected, the
    Conformer, and a linear layer on the class token's output.

    A modality whose encoder gives one vector counts as one position. The joint logits have no part that
    belongs to one modality.
    """

    layers: int = setting(2, minimum=1, doc="Conformer layers (MLB, Section 4.3)")
    heads: int = setting(8, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(2048, minimum=1, doc="hidden units of each perceptron")
    kernel: int = setting(31, minimum=1, doc="width of the depthwise convolution, odd")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="in every part of a layer")

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        if len(set(widths.values())) > 1:
            raise UserError(f"fusion 'tf': features must have one width, not {widths}")
        return _TF(tuple(widths), next(iter(widths.values())), classes, self)


class _TF(FusionModule):
    def __init__(self, modalities: tuple[str, ...], width: int, classes: int, settings: TF) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.modality_tokens = nn.ParameterDict({name: nn.Parameter(torch.randn(1, 1, width)) for name in modalities})
        self.project = nn.Sequential(linear(width, width), nn.Dropout(settings.dropout))
        self.stack = ConformerStack(
            settings.layers, width, settings.heads, settings.hidden, settings.kernel, settings.dropout
        )
        self.last = nn.Linear(width, classes)

    def forward(self, features: Features) -> Tensor:
        parts = [self.class_token.expand(len(next(iter(features.values()))), -1, -1)]
        for name, token in self.modality_tokens.items():
            values = features[name]
            parts.append((values if values.ndim == 3 else values[:, None]) + token)
        tokens = torch.cat(parts, dim=1)  # (B, 1 + N_1 + ... + N_M, d)
        return self.last(self.stack(self.project(tokens))[:, 0])
