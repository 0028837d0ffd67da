"""Mid fusion: each modality's linear layer, summed, then a perceptron (MLB's Mid-MLP)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import fusion, setting
from counterpoise.models.interface import Features, Fusion, FusionModule


@fusion(
    name="mid_mlp",
    title="Mid-MLP",
    source="MLB (BMVC 2024), Section 4.3: 2-layer perceptron, on a projection of each modality; its released code",
)
class MidMLP(Fusion):
    """``s = sum_u W_u z_u + b``, then ReLU, dropout, linear, ReLU, dropout, linear. No part of the logits belongs
    to one modality, but ``W_u`` sees its features alone."""

    hidden: int = setting(64, minimum=1, doc="units")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="after each ReLU")

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        return _MidMLP(widths, classes, self.hidden, self.dropout)


class _MidMLP(FusionModule):
    def __init__(self, widths: dict[str, int], classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleDict({name: nn.Linear(width, hidden, bias=False) for name, width in widths.items()})
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.middle = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features) -> Tensor:
        total = torch.stack([layer(features[name]) for name, layer in self.project.items()]).sum(dim=0) + self.bias
        hidden = self.middle(self.dropout(functional.relu(total)))
        return self.last(self.dropout(functional.relu(hidden)))

    def modality_parameters(self) -> dict[str, list[nn.Parameter]]:
        return {name: [layer.weight] for name, layer in self.project.items()}
