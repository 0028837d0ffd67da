"""ResNet-18 from scratch, for spectrograms, images and the frames of a video."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from counterpoise.declare import encoder, setting
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule


@encoder(
    name="resnet18",
    title="ResNet-18",
    input="(C, H, W) image or spectrogram of any number of channels, or (T, C, H, W) frames",
    source="He et al., CVPR 2016, as in torchvision; frames folded into the batch and averaged over time as "
    "in MMPareto (Appendix B) and OGM-GE's released code",
)
class ResNet18(Encoder):
    """Stem, four stages of two basic blocks, and the mean over positions and frames."""

    width: int = setting(512, minimum=8, doc="d: features; a multiple of 8, the first stage has d / 8 channels")
    norm_init: str = setting(
        "ones",
        choices=("ones", "normal"),
        doc="batch norm's first weights: 1 as in torchvision, or N(1, 0.02) as in MMPareto's backbone.py",
    )

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        return _ResNet18(shape[-3], self.width, self.norm_init)


class _ResNet18(SequenceEncoderModule):
    """Entries are named as in torchvision's ``ResNet`` without its ``fc``."""

    def __init__(self, inputs: int, width: int, norm_init: str) -> None:
        super().__init__()
        first = width // 8
        self.width = 8 * first
        self.conv1 = nn.Conv2d(inputs, first, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(first, first, stride=1)
        self.layer2 = _stage(first, 2 * first, stride=2)
        self.layer3 = _stage(2 * first, 4 * first, stride=2)
        self.layer4 = _stage(4 * first, 8 * first, stride=2)
        self._initialise(norm_init)

    def _initialise(self, norm_init: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d) and norm_init == "normal":
                nn.init.normal_(module.weight, mean=1.0, std=0.02)

    @property
    def last_layer(self) -> nn.Module:
        return self.layer4[1].conv2

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The four stages, between which an intermediate fusion may act."""
        return (self.layer1, self.layer2, self.layer3, self.layer4)

    def stem(self, x: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)``, or frames ``(B, T, C, H, W)`` folded into the batch, to the first maps."""
        maps = self.bn1(self.conv1(x.flatten(0, -4)))
        return self.relu(self.maxpool(maps))  # they commute, bit by bit: a quarter as many to rectify

    def finish(self, maps: Tensor, batch: int) -> Tensor:
        """Map the last maps ``(B * T, d, H, W)`` to positions ``(B, T * H * W, d)``."""
        return maps.unflatten(0, (batch, -1)).movedim(2, -1).flatten(1, 3)

    def positions(self, x: Tensor) -> Tensor:  # (B, C, H, W) or (B, T, C, H, W) -> (B, N, d)
        maps = self.stem(x)
        for stage in self.stages:
            maps = stage(maps)
        return self.finish(maps, len(x))


def _stage(inputs: int, width: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inputs != width:
        shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))
    return nn.Sequential(BasicBlock(inputs, width, stride, shortcut), BasicBlock(width, width))
