"""The LeNet of MultiMNIST: two convolutions and a linear layer, shared by the tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoise.declare import encoder, setting
from counterpoise.models.interface import Encoder, EncoderModule


@encoder(
    name="lenet",
    title="LeNet",
    input="(C, H, W) image, at least 16 x 16 (16 with kernel 5)",
    source="MultiLeNetR of Sener & Koltun's code (NeurIPS 2018), without the mask that drops half of the second "
    "convolution's channels; with heads of 50 hidden units it is theirs, without the mask on those",
)
class LeNet(Encoder):
    """Conv k x k (w), max-pool 2, ReLU, conv k x k (2w), max-pool 2, ReLU, linear (d), ReLU."""

    channels: int = setting(10, minimum=1, doc="w: channels of the first convolution")
    kernel: int = setting(5, minimum=1, doc="k: size of both kernels, not padded")
    width: int = setting(50, minimum=1, doc="d: features")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        return _LeNet(shape, self.channels, self.kernel, self.width)


class _LeNet(EncoderModule):
    def __init__(self, shape: tuple[int, ...], channels: int, kernel: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv2d(shape[0], channels, kernel)
        self.conv2 = nn.Conv2d(channels, 2 * channels, kernel)
        with torch.no_grad():
            flat = self._convolve(torch.zeros(1, *shape)).shape[1]
        self.project = nn.Linear(flat, width)

    @property
    def last_layer(self) -> nn.Module:
        return self.project

    def _convolve(self, x: Tensor) -> Tensor:
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, d)
        return functional.relu(self.project(self._convolve(x)))
