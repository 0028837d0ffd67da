"""The encoder of Colored-and-gray MNIST: four convolutions and one average pool."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import encoder, setting
from counterpoise.models.interface import Encoder, EncoderModule


@encoder(
    name="conv4",
    title="4 convolutions and average pooling",
    input="(C, H, W) image, at least 8 x 8",
    source="MMPareto, Section 4.1; layers as in PMR's released code",
)
class Conv4(Encoder):
    """BN, conv 5x5 (w), ReLU, max-pool 3 stride 2, conv 3x3 (w), 3x3 stride 2 (2w) and 3x3 (2w), mean, linear."""

    channels: int = setting(32, minimum=1, doc="w: channels of the first two convolutions")
    width: int = setting(512, minimum=1, doc="d: features")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        return _Conv4(shape[0], self.channels, self.width)


class _Conv4(EncoderModule):
    def __init__(self, inputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, channels, 5, padding=2)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.project = nn.Linear(2 * channels, width)

    @property
    def last_layer(self) -> nn.Module:
        return self.project

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, d)
        # One channel says nothing about the memory format: the second convolution's weight does.
        last = not self.conv2.weight.is_contiguous()
        # The widest values are those around the pooling. A CPU pools them several times faster with channels
        # last, and the first convolution's weight gradient too: what follows is small enough to be turned.
        wide_last = last or x.device.type == "cpu"
        x = normalised_convolution(x, self.norm, self.conv1, channels_last=wide_last)
        x = functional.relu(functional.max_pool2d(x, 3, stride=2, padding=1))  # commute: fewer to rectify
        x = x if last else x.contiguous()
        x = functional.relu(self.conv2(x))
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.conv4(x))
        return self.project(spatial_mean(x))


def spatial_mean(x: Tensor) -> Tensor:
    """Return the mean over all places: ``(B, C, H, W)`` to ``(B, C)``.

    The gradient comes back in ``x``'s own memory format; in another, the layers before would have to copy it.
    """
    if x.is_contiguous():
        return x.flatten(2).mean(dim=2)
    return x.permute(0, 2, 3, 1).flatten(1, 2).mean(dim=1)


def normalised_convolution(
    x: Tensor, norm: nn.BatchNorm2d, convolution: nn.Conv2d, *, channels_last: bool = False
) -> Tensor:
    """Return ``convolution(norm(x))`` of data ``(B, C, H, W)`` without a gradient of the convolution's input.

    Norm's scale and shift move into the kernel: ``W * (s x^ + t) = (s W) * x^ + (sum_c t_c W_c) * 1``. The
    ones are a channel of their own, since the padding around them stays zero. Equal up to rounding; the
    gradient of the first convolution's input, a quarter of a step, served only scale and shift.
    """
    if norm.training:
        norm.num_batches_tracked.add_(1)
    centred = functional.batch_norm(
        x, norm.running_mean, norm.running_var, None, None, norm.training, norm.momentum, norm.eps
    )
    weight, scale, shift = convolution.weight, norm.weight[:, None, None], norm.bias[:, None, None]
    kernel = torch.cat([weight * scale, (weight * shift).sum(dim=1, keepdim=True)], dim=1)
    ones = torch.ones_like(centred[:, :1])
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    both = torch.cat([centred, ones], dim=1).contiguous(memory_format=wanted)
    return functional.conv2d(both, kernel, convolution.bias, convolution.stride, convolution.padding)
