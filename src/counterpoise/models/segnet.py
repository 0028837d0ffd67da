"""SegNet: the shared trunk of NYUv2's two tasks, a map of features for every pixel."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Encoder, EncoderModule

CONVOLUTIONS = (2, 2, 3, 3, 3)
MULTIPLES = (1, 2, 4, 8, 8)
REDUCTION = 2 ** len(CONVOLUTIONS)


@encoder(
    name="segnet",
    title="SegNet",
    input="(C, H, W) image, H and W multiples of 32",
    source="Badrinarayanan et al., 2017, as the 'split' model of MTAN's released code",
)
class SegNet(Encoder):
    """Five blocks of convolutions (VGG-16's), each followed by pooling; five more that undo the pooling by its indices.

    A block of the second half has as many convolutions as its counterpart, and reduces the channels in the
    first of them. Every task has its own head: a 3 x 3 and a 1 x 1 convolution on the last block's features.
    All of it starts as in MTAN's code: convolutions Xavier-normal, their biases 0, batch norm 1 and 0.
    """

    width: int = setting(64, minimum=1, doc="d: features per pixel; blocks have d, 2 d, 4 d, 8 d and 8 d channels")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if len(shape) != 3 or shape[1] % REDUCTION or shape[2] % REDUCTION:
            raise UserError(f"encoder 'segnet': height and width must be multiples of {REDUCTION}, not {shape}")
        return _SegNet(shape[0], self.width)


class _SegNet(EncoderModule):
    spatial = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        channels = [width * multiple for multiple in MULTIPLES]
        before = [inputs, *channels[:-1]]
        after = [channels[0], *channels[:-1]]
        self.down = nn.ModuleList(_block([i, *[c] * n]) for i, c, n in zip(before, channels, CONVOLUTIONS, strict=True))
        self.up = nn.ModuleList(_block([c, *[o] * n]) for c, o, n in zip(channels, after, CONVOLUTIONS, strict=True))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    @property
    def last_layer(self) -> nn.Module:
        return self.up[0][-3]

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, d, H, W)
        taken = []
        for block in self.down:  # d at H/2, 2d at H/4, 4d at H/8, 8d at H/16, 8d at H/32
            x, places = functional.max_pool2d(block(x), 2, return_indices=True)
            taken.append(places)
        for block, places in zip(reversed(self.up), reversed(taken), strict=True):  # and all the way back
            x = block(unpool(x, places))
        return x


def _block(channels: list[int]) -> nn.Sequential:
    """Return 3 x 3 convolutions between ``channels``, each with batch norm and ReLU."""
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(channels):
        parts += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def unpool(x: Tensor, places: Tensor) -> Tensor:
    """Return ``x`` (B, C, H, W) at ``places`` of a map (B, C, 2 H, 2 W) of zeros.

    As ``max_unpool2d``, which has no deterministic form on a GPU; no two values share a place.
    """
    batch, channels, height, width = x.shape
    empty = torch.zeros((batch, channels, 4 * height * width), dtype=x.dtype, device=x.device)
    return empty.scatter(2, places.flatten(2), x.flatten(2)).unflatten(2, (2 * height, 2 * width))
