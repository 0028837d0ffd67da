"""A perceptron for one feature vector per sample."""

from __future__ import annotations

import math

from torch import Tensor, nn

from counterpoise.declare import encoder, setting
from counterpoise.models.interface import Encoder, EncoderModule


@encoder(
    name="mlp",
    title="Perceptron",
    input="(F,) feature vector; other shapes are flattened",
    source="ours: MMPareto does not say how it encodes CMU-MOSI's features (Appendix D)",
)
class MLP(Encoder):
    """Linear layers with ReLU and dropout between them; ReLU also on the features."""

    width: int = setting(128, minimum=1, doc="d: features, and units of each hidden layer")
    layers: int = setting(2, minimum=1, doc="linear layers")
    dropout: float = setting(0.0, minimum=0.0, below=1.0, doc="after each ReLU but the last")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        return _MLP(math.prod(shape), self)


class _MLP(EncoderModule):
    def __init__(self, inputs: int, settings: MLP) -> None:
        super().__init__()
        self.width = settings.width
        parts: list[nn.Module] = [nn.Flatten()]
        for number in range(settings.layers):
            parts += [nn.Linear(inputs if number == 0 else settings.width, settings.width), nn.ReLU()]
            if number + 1 < settings.layers and settings.dropout > 0:
                parts.append(nn.Dropout(settings.dropout))
        self.layers = nn.Sequential(*parts)

    @property
    def last_layer(self) -> nn.Module:
        return self.layers[-2]

    def forward(self, x: Tensor) -> Tensor:  # (B, F) -> (B, d)
        return self.layers(x)
