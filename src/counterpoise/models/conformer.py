"""Conformer over sequences of features, the refinement that MLB puts on pretrained ones."""

from __future__ import annotations

from torch import Tensor, nn
from torchaudio.models.conformer import ConformerLayer

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule


class ConformerStack(nn.Module):
    """Conformer layers mapping ``(B, T, width)`` to the same shape, without a mask: whole sequences count."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if width % heads != 0:
            raise UserError(f"Conformer: width {width} is not a multiple of heads {heads}")
        if kernel % 2 == 0:
            raise UserError(f"Conformer: kernel {kernel} must be odd")
        self.layers = nn.ModuleList(
            ConformerLayer(width, hidden, heads, kernel, dropout=dropout) for _ in range(layers)
        )

    @property
    def last_layer(self) -> nn.Module:
        """The last layer with a weight: that of the last perceptron."""
        return self.layers[-1].ffn2.sequential[4]

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)  # torchaudio's layers take time first
        for layer in self.layers:
            x = layer(x, None)
        return x.transpose(0, 1)


class Refinement(nn.Module):
    """A narrow projection without bias, one to the Conformer's width, and the Conformer: ``(B, T, F) -> (B,
    T, d)``.

    The projection to 50 channels is that of MLB's released code.
    """

    def __init__(self, inputs: int, narrow: int, stack: ConformerStack, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(inputs, narrow, bias=False)
        self.widen = nn.Linear(narrow, width)
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
    """Projection to 50 channels, 5 Conformer layers; the mean over positions."""

    width: int = setting(512, minimum=1, doc="d: features")
    layers: int = setting(5, minimum=1, doc="Conformer layers (MLB, Section 4.2)")
    narrow: int = setting(50, minimum=1, doc="channels of the projection before the Conformer")
    heads: int = setting(8, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(2048, minimum=1, doc="hidden units of each perceptron")
    kernel: int = setting(31, minimum=1, doc="width of the depthwise convolution, odd")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="in every part of a layer")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if len(shape) != 2:
            raise UserError(f"encoder 'conformer': takes (T, F) sequences, not an input of shape {shape}")
        return _Conformer(refinement(shape[1], self), self.width)


def refinement(inputs: int, settings: Conformer) -> Refinement:
    """Return the refinement of features of ``inputs`` channels that an encoder's settings describe."""
    stack = ConformerStack(
        settings.layers, settings.width, settings.heads, settings.hidden, settings.kernel, settings.dropout
    )
    return Refinement(inputs, settings.narrow, stack, settings.width)


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
