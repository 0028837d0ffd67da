"""A vision transformer's first layers on the patches of one modality: the single-modal part of MBT."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import EncoderBlock

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule
from counterpoise.models.pretrained import PretrainedWeights, State, load_matching


@encoder(
    name="vit",
    title="Vision transformer",
    input="(C, H, W) image or spectrogram, or (T, C, H, W) frames; H and W at least one patch",
    source="single-modal layers of MBT (Nagrani et al., NeurIPS 2021; 6 of them in MMPareto, Appendix B); "
    "layers and weights of torchvision's ViT-B/16",
)
class ViT(Encoder):
    """Patches, a class token, position embeddings, and pre-norm transformer layers.

    The patches of all frames are one sequence, as in MBT; frames share their positions and are told apart by
    an embedding of time that starts at zero. ImageNet weights give the patch convolution (its colour channels
    summed for one-channel input), the positions (interpolated to the input's grid) and the first layers.
    """

    width: int = setting(768, minimum=1, doc="d: features")
    layers: int = setting(6, minimum=1, doc="single-modal layers (MMPareto, Appendix B)")
    heads: int = setting(12, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(3072, minimum=1, doc="hidden units of each layer's perceptron")
    patch: int = setting(16, minimum=1, doc="side of a patch; what is left over at the right and bottom is cut off")
    dropout: float = setting(0.0, minimum=0.0, below=1.0, doc="after attention and perceptron; MMPareto states none")
    weights: str | None = setting(None, choices=("vit_b_16_imagenet", None), doc="pretrained weights; null: random")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if min(shape[-2:]) < self.patch:
            raise UserError(f"encoder 'vit': an input of {shape} is smaller than one patch of {self.patch}")
        if self.width % self.heads != 0:
            raise UserError(f"encoder 'vit': width {self.width} is not a multiple of heads {self.heads}")
        return _ViT(shape, self)

    def load_pretrained(self, module: EncoderModule, weights: PretrainedWeights) -> None:
        if self.weights is not None:
            module.load_image_weights(weights.state(self.weights), f"encoder 'vit': weights '{self.weights}'")


class _ViT(SequenceEncoderModule):
    def __init__(self, shape: tuple[int, ...], settings: ViT) -> None:
        super().__init__()
        self.width = settings.width
        self.frames = shape[0] if len(shape) == 4 else 1
        self.grid = tuple(side // settings.patch for side in shape[-2:])
        self.patches = nn.Conv2d(shape[-3], settings.width, settings.patch, stride=settings.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, settings.width))
        self.place = nn.Parameter(torch.empty(1, 1 + math.prod(self.grid), settings.width).normal_(std=0.02))
        self.time = nn.Parameter(torch.zeros(1, self.frames, 1, settings.width))
        self.layers = transformer_layers(
            settings.layers, settings.width, settings.heads, settings.hidden, settings.dropout
        )
        nn.init.trunc_normal_(self.patches.weight, std=math.sqrt(1 / self.patches.weight[0].numel()))
        nn.init.zeros_(self.patches.bias)

    @property
    def last_layer(self) -> nn.Module:
        return self.layers[-1].mlp[3]

    def pool(self, features: Tensor) -> Tensor:
        """Return the class token of positions ``(B, N, d)``."""
        return features[:, 0] if features.ndim == 3 else features

    def positions(self, x: Tensor) -> Tensor:  # (B, C, H, W) or (B, T, C, H, W) -> (B, 1 + T * H' * W', d)
        batch = len(x)
        tokens = self.patches(x.flatten(0, -4)).flatten(2).transpose(1, 2)  # (B * T, H' * W', d)
        tokens = tokens.unflatten(0, (batch, self.frames)) + self.place[:, None, 1:] + self.time
        first = (self.class_token + self.place[:, :1]).expand(batch, -1, -1)
        tokens = torch.cat([first, tokens.flatten(1, 2)], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens

    def load_image_weights(self, state: State, what: str) -> None:
        """Take over what torchvision's ViT shares with this module, from its ``state_dict``."""
        own = {
            "patches.weight": _for_channels(state["conv_proj.weight"], self.patches.in_channels, what),
            "patches.bias": state["conv_proj.bias"],
            "class_token": state["class_token"],
            "place": _for_grid(state["encoder.pos_embedding"], self.grid),
            "time": torch.zeros_like(self.time),
        }
        load_matching(self, own | layer_state(state, 0, len(self.layers), "layers"), what)


def transformer_layers(count: int, width: int, heads: int, hidden: int, dropout: float) -> nn.ModuleList:
    """Return pre-norm transformer layers mapping ``(B, N, width)`` to the same shape."""
    return nn.ModuleList(EncoderBlock(heads, width, hidden, dropout, dropout) for _ in range(count))


def layer_state(state: State, first: int, count: int, prefix: str) -> State:
    """Return ``count`` layers of a torchvision ViT's state from ``first`` on, named ``<prefix>.<n>.``."""
    found = {}
    for number in range(count):
        start = f"encoder.layers.encoder_layer_{first + number}."
        found |= {
            f"{prefix}.{number}.{key.removeprefix(start)}": value
            for key, value in state.items()
            if key.startswith(start)
        }
    return found


def _for_channels(weight: Tensor, channels: int, what: str) -> Tensor:
    """Return patch weights for one channel, a gray image standing for three equal ones, or for three."""
    if channels == weight.shape[1]:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    raise UserError(f"{what}: made for {weight.shape[1]} channels, fit 1 or {weight.shape[1]}, not {channels}")


def _for_grid(place: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return position embeddings ``(1, 1 + n * n, d)`` interpolated to a grid: ``(1, 1 + H' * W', d)``."""
    first, rest = place[:, :1], place[:, 1:]
    side = math.isqrt(rest.shape[1])
    maps = rest.transpose(1, 2).unflatten(2, (side, side))
    if grid != (side, side):
        maps = functional.interpolate(maps, grid, mode="bicubic", align_corners=True)
    return torch.cat([first, maps.flatten(2).transpose(1, 2)], dim=1)
