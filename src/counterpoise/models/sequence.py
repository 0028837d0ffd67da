"""A small transformer for sequences of feature vectors (words, frames), as of CMU-MOSI."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule


@encoder(
    name="sequence",
    title="Sequence transformer",
    input="(T, F) sequence of feature vectors",
    source="ours: MMPareto does not say how it encodes CMU-MOSI's features (Appendix D)",
)
class Sequence(Encoder):
    """A linear layer, sinusoidal positions, pre-norm transformer layers; the mean over positions."""

    width: int = setting(128, minimum=1, doc="d: features")
    layers: int = setting(2, minimum=1, doc="transformer layers")
    heads: int = setting(4, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(256, minimum=1, doc="hidden units of each layer's perceptron")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="in attention and perceptron")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if len(shape) != 2:
            raise UserError(f"encoder 'sequence': takes (T, F) sequences, not an input of shape {shape}")
        if self.width % self.heads != 0:
            raise UserError(f"encoder 'sequence': width {self.width} is not a multiple of heads {self.heads}")
        return _Sequence(shape, self)


class _Sequence(SequenceEncoderModule):
    def __init__(self, shape: tuple[int, ...], settings: Sequence) -> None:
        super().__init__()
        self.width = settings.width
        self.project = nn.Linear(shape[1], settings.width)
        self.register_buffer(
            "place", sinusoids(torch.arange(shape[0], dtype=torch.float32), settings.width), persistent=False
        )
        layer = {"dim_feedforward": settings.hidden, "dropout": settings.dropout}
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                settings.width, settings.heads, activation="gelu", batch_first=True, norm_first=True, **layer
            )
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(settings.width)

    @property
    def last_layer(self) -> nn.Module:
        return self.layers[-1].linear2

    def positions(self, x: Tensor) -> Tensor:  # (B, T, F) -> (B, T, d)
        values = self.project(x) + self.place
        for layer in self.layers:
            values = layer(values)
        return self.norm(values)


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Return embeddings ``(N, width)`` of places ``(N,)``, which may be distances with a sign: sines and cosines
    in turn (Vaswani et al., 2017, Section 3.5)."""
    even = torch.arange(0, width, 2, dtype=torch.float32, device=places.device)
    angles = places[:, None] * torch.exp(even * (-math.log(10000.0) / width))  # (N, ceil(width / 2))
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)[:, :width]
