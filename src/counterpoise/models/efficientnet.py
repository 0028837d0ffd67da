"""Conformer over a frozen EfficientNet-B2's features of a video's frames."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig, efficientnet_b2

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.conformer import Refinement, refinement
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule
from counterpoise.models.pretrained import PretrainedWeights, load_matching


@encoder(
    name="efficientnet_conformer",
    title="EfficientNet-B2 and Conformer",
    input="(T, 3, H, W) frames of faces",
    source="MLB (BMVC 2024), Section 4.2: EfficientNet-B2 as a frozen descriptor, 5 Conformer layers. Its "
    "weights were trained on faces and are not in torchvision; ImageNet's are",
)
class EfficientNetConformer(Encoder):
    """Each frame described by the frozen network, always in evaluation mode; a Conformer over time; the mean.

    Where descriptors are stored instead of frames, use the encoder ``conformer``.
    """

    trunk: str = setting("b2", choices=("b2", "tiny"), doc="the frozen network; tiny is for tests")
    weights: str | None = setting(
        None, choices=("efficientnet_b2_imagenet", None), doc="pretrained weights; null: random"
    )
    width: int = setting(512, minimum=1, doc="d: features")
    layers: int = setting(5, minimum=1, doc="Conformer layers (MLB, Section 4.2)")
    narrow: int = setting(50, minimum=1, doc="channels of the projection before the Conformer")
    heads: int = setting(8, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(2048, minimum=1, doc="hidden units of each perceptron")
    kernel: int = setting(31, minimum=1, doc="width of the depthwise convolution, odd")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="in every part of a Conformer layer")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if len(shape) != 4 or shape[1] != 3:
            raise UserError(f"encoder 'efficientnet_conformer': takes (T, 3, H, W) frames, not shape {shape}")
        network = efficientnet_b2(weights=None) if self.trunk == "b2" else _tiny()
        return _EfficientNetConformer(network, refinement(network.classifier[1].in_features, self), self.width)

    def load_pretrained(self, module: EncoderModule, weights: PretrainedWeights) -> None:
        if self.weights is not None:
            state = weights.state(self.weights)
            kept = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
            load_matching(module.described, kept, f"encoder 'efficientnet_conformer': weights '{self.weights}'")


def _tiny() -> EfficientNet:
    block = functools.partial(MBConvConfig, width_mult=1.0, depth_mult=1.0)
    return EfficientNet([block(1, 3, 1, 8, 8, 1), block(4, 3, 2, 8, 16, 1)], dropout=0.0, last_channel=32)


class _EfficientNetConformer(SequenceEncoderModule):
    def __init__(self, network: EfficientNet, refine: Refinement, width: int) -> None:
        super().__init__()
        self.width = width
        self.described = network.features.requires_grad_(False)
        self.refine = refine

    @property
    def last_layer(self) -> nn.Module:
        return self.refine.stack.last_layer

    def train(self, mode: bool = True) -> _EfficientNetConformer:
        """Set the mode of everything but the frozen network, whose statistics must not move."""
        super().train(mode)
        self.described.eval()
        return self

    def positions(self, x: Tensor) -> Tensor:  # (B, T, 3, H, W) -> (B, T, d)
        with torch.no_grad():
            maps = self.described(x.flatten(0, 1))
        return self.refine(maps.mean(dim=(2, 3)).unflatten(0, x.shape[:2]))
