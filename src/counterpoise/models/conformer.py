"""Conformer over sequences of features, the refinement that MLB puts on pretrained ones.

Blocks as in Gulati et al. (Interspeech 2020), with the sizes, dropouts and initialisation of the code that MLB
imports (VAVL's copy of sooftware/conformer). Two slips of that code are not repeated (configs/papers/mlb/
choices.yaml): it is handed (T, B, F) where it takes (B, T, F), so that it attends over the samples of a batch,
and its shift gives a key that lies ahead a score of the next query.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule
from counterpoise.models.sequence import sinusoids


class ConformerStack(nn.Module):
    """Conformer blocks mapping ``(B, T, width)`` to the same shape, without a mask: whole sequences count."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if width % heads != 0:
            raise UserError(f"Conformer: width {width} is not a multiple of heads {heads}")
        if kernel % 2 == 0:
            raise UserError(f"Conformer: kernel {kernel} must be odd")
        self.layers = nn.ModuleList(_Block(width, heads, hidden, kernel, dropout) for _ in range(layers))

    @property
    def last_layer(self) -> nn.Module:
        """The last layer with a matrix: that of the last perceptron."""
        return self.layers[-1].second[4]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Block(nn.Module):
    """Half a perceptron, attention, convolution, half a perceptron, norm; each but the last beside a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first = _perceptron(width, hidden, dropout)
        self.attention = _RelativeAttention(width, heads, dropout)
        self.convolution = _Convolution(width, kernel, dropout)
        self.second = _perceptron(width, hidden, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d) -> (B, T, d)
        x = x + 0.5 * self.first(x)
        x = x + self.attention(x)
        x = x + self.convolution(x)
        x = x + 0.5 * self.second(x)
        return self.norm(x)


def _perceptron(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        linear(width, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        linear(hidden, width),
        nn.Dropout(dropout),
    )


class _RelativeAttention(nn.Module):
    """Multi-head attention that knows how far apart two positions are (Dai et al., Transformer-XL, 2019).

    The score of query i and key j is ``((q_i + u) . k_j + (q_i + v) . W r_(i-j)) / sqrt(d)``, with ``r`` the
    sinusoids of the signed distance. The divisor is the whole width's, as in the code, not a head's.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (linear(width, width) for _ in range(3))
        self.place = linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(heads, width // heads))  # u
        self.place_bias = nn.Parameter(torch.empty(heads, width // heads))  # v
        nn.init.xavier_uniform_(self.content_bias)
        nn.init.xavier_uniform_(self.place_bias)
        self.out = linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d) -> (B, T, d)
        x = self.norm(x)
        length, width = x.shape[1:]
        distances = torch.arange(length - 1, -length, -1, device=x.device, dtype=x.dtype)  # T - 1 ... 1 - T
        places = self._split(self.place(sinusoids(distances, width).to(x.dtype))[None])  # (1, h, 2T - 1, d/h)
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))  # (B, h, T, d/h)
        content = (query + self.content_bias[:, None]) @ key.transpose(2, 3)  # (B, h, T, T)
        position = by_distance((query + self.place_bias[:, None]) @ places.transpose(2, 3))  # (B, h, T, T)
        weights = ((content + position) / math.sqrt(width)).softmax(dim=-1)
        mixed = self.dropout(weights) @ value  # (B, h, T, d/h)
        return self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))

    def _split(self, x: Tensor) -> Tensor:
        """Return ``(B, T, d)`` as ``(B, h, T, d/h)``."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def by_distance(scores: Tensor) -> Tensor:
    """Return ``(..., T, T)``, whose entry (i, j) is that of distance i - j in row i of ``(..., T, 2T - 1)``,
    where distances go from T - 1 down to 1 - T.

    Done by padding each row by one and reading the same memory in rows of another length, so that there is no
    gather, whose gradient has no deterministic form on a GPU.
    """
    length = scores.shape[-2]
    padded = functional.pad(scores, (1, 0)).flatten(-2)  # rows of 2T
    return padded[..., length:].unflatten(-1, (length, 2 * length - 1))[..., :length]


class _Convolution(nn.Module):
    """A gated pointwise convolution, a depthwise one over time, and another pointwise one."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gated = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.batch_norm = nn.BatchNorm1d(width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d) -> (B, T, d)
        x = functional.glu(self.gated(self.norm(x)), dim=2)
        x = self.batch_norm(self.depthwise(x.transpose(1, 2)))  # (B, d, T)
        return self.dropout(self.out(functional.silu(x).transpose(1, 2)))


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer that starts as the code's: Xavier-uniform, bias 0."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Refinement(nn.Module):
    """A narrow projection without bias, one to the Conformer's width, and the Conformer: ``(B, T, F) -> (B, T, d)``.

    The projection to 50 channels is that of MLB's released code, the second one is its Conformer's own.
    """

    def __init__(self, inputs: int, narrow: int, stack: ConformerStack, width: int, dropout: float) -> None:
        super().__init__()
        self.narrow = nn.Linear(inputs, narrow, bias=False)
        self.widen = nn.Sequential(linear(narrow, width), nn.Dropout(dropout))
        self.stack = stack

    def forward(self, x: Tensor) -> Tensor:
        return self.stack(self.widen(self.narrow(x)))


@encoder(
    name="conformer",
    title="Conformer",
    input="(T, F) sequence of feature vectors",
    source="MLB (BMVC 2024), Section 4.2; sizes as in its released code",
)
class Conformer(Encoder):
    """Projection to 50 channels, 5 Conformer blocks with relative positions; the mean over positions."""

    width: int = setting(512, minimum=1, doc="d: features")
    layers: int = setting(5, minimum=1, doc="Conformer blocks (MLB, Section 4.2)")
    narrow: int = setting(50, minimum=1, doc="channels of the projection before the Conformer")
    heads: int = setting(8, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(2048, minimum=1, doc="hidden units of each perceptron")
    kernel: int = setting(31, minimum=1, doc="width of the depthwise convolution, odd")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="in every part of a block")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if len(shape) != 2:
            raise UserError(f"encoder 'conformer': takes (T, F) sequences, not an input of shape {shape}")
        return _Conformer(refinement(shape[1], self), self.width)


def refinement(inputs: int, settings: Conformer) -> Refinement:
    """Return the refinement of features of ``inputs`` channels that an encoder's settings describe."""
    stack = ConformerStack(
        settings.layers, settings.width, settings.heads, settings.hidden, settings.kernel, settings.dropout
    )
    return Refinement(inputs, settings.narrow, stack, settings.width, settings.dropout)


class _Conformer(SequenceEncoderModule):
    def __init__(self, refine: Refinement, width: int) -> None:
        super().__init__()
        self.width = width
        self.refine = refine

    @property
    def last_layer(self) -> nn.Module:
        return self.refine.stack.last_layer

    def positions(self, x: Tensor) -> Tensor:  # (B, T, F) -> (B, T, d)
        return self.refine(x)
