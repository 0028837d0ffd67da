"""MBT's cross-modal layers: modalities exchange what a few bottleneck tokens can carry."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoise.declare import fusion, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Features, Fusion, FusionModule
from counterpoise.models.pretrained import PretrainedWeights, State, load_matching
from counterpoise.models.vit import layer_state, transformer_layers


@fusion(
    name="bottleneck",
    title="Attention bottlenecks",
    slices=True,
    sequence=True,
    equal_widths=True,
    source="MBT (Nagrani et al., NeurIPS 2021); 2 layers with cross-modal interaction (MMPareto, Appendix B)",
)
class Bottleneck(Fusion):
    """Each modality's layers see its own tokens and the bottleneck tokens, which are then averaged over modalities.

    After the last layer each modality's own class token makes its unimodal prediction, and the joint one is a
    linear layer on all class tokens side by side, so that it has one weight slice per modality. MMPareto
    states neither; MBT's own code averages the class tokens' logits.
    """

    layers: int = setting(2, minimum=1, doc="layers with cross-modal interaction (MMPareto, Appendix B)")
    bottlenecks: int = setting(4, minimum=1, doc="bottleneck tokens (MBT's released configuration)")
    heads: int = setting(12, minimum=1, doc="attention heads; must divide the width")
    hidden: int = setting(3072, minimum=1, doc="hidden units of each layer's perceptron")
    dropout: float = setting(0.0, minimum=0.0, below=1.0, doc="after attention and perceptron; MMPareto states none")
    weights: str | None = setting(None, choices=("vit_b_16_imagenet", None), doc="pretrained weights; null: random")
    first_layer: int = setting(
        6, minimum=0, doc="layer of the pretrained transformer that the first of these starts from (6 came before)"
    )

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        if len(set(widths.values())) > 1:
            raise UserError(f"fusion 'bottleneck': features must have one width, not {widths}")
        width = next(iter(widths.values()))
        if width % self.heads != 0:
            raise UserError(f"fusion 'bottleneck': width {width} is not a multiple of heads {self.heads}")
        return _Bottleneck(tuple(widths), width, classes, self)

    def load_pretrained(self, module: FusionModule, weights: PretrainedWeights) -> None:
        if self.weights is not None:
            what = f"fusion 'bottleneck': weights '{self.weights}'"
            module.load_image_weights(weights.state(self.weights), self.first_layer, what)


class _Bottleneck(FusionModule):
    crosses = True

    def __init__(self, modalities: tuple[str, ...], width: int, classes: int, settings: Bottleneck) -> None:
        super().__init__()
        self.modalities = modalities
        self.width = width
        self.tokens = nn.Parameter(torch.empty(1, settings.bottlenecks, width).normal_(std=0.02))
        self.branches = nn.ModuleDict({name: _Branch(width, settings) for name in modalities})
        self.depth = settings.layers
        self.joint = nn.Linear(len(modalities) * width, classes)

    def mix(self, features: Features) -> Features:  # {modality: (B, N_u, d)} -> {modality: (B, d)}
        """Run the layers on the modalities that are given and return each one's class token."""
        batch = len(next(iter(features.values())))
        shared, own = self.tokens.expand(batch, -1, -1), dict(features)
        for depth in range(self.depth):
            seen = []
            for name, tokens in own.items():
                both = self.branches[name].layers[depth](torch.cat([tokens, shared], dim=1))
                own[name], bottleneck = both[:, : tokens.shape[1]], both[:, tokens.shape[1] :]
                seen.append(bottleneck)
            shared = torch.stack(seen).mean(dim=0)
        return {name: self.branches[name].norm(tokens[:, 0]) for name, tokens in own.items()}

    def mixing_parameters(self) -> list[nn.Parameter]:
        return [self.tokens, *self.branches.parameters()]

    def forward(self, features: Features) -> Tensor:
        return self.joint(torch.cat([features[name] for name in self.modalities], dim=1))

    def weight_slices(self) -> dict[str, tuple[nn.Parameter, slice]]:
        width = self.width
        return {name: (self.joint.weight, slice(i * width, (i + 1) * width)) for i, name in enumerate(self.modalities)}

    def contributions(self, features: Features) -> dict[str, Tensor]:
        share = self.joint.bias / len(self.modalities)
        return {
            name: features[name] @ weight[:, columns].T + share
            for name, (weight, columns) in self.weight_slices().items()
        }

    def load_image_weights(self, state: State, first: int, what: str) -> None:
        """Start every modality's layers and norm from a torchvision ViT's, layers from ``first`` on."""
        for branch in self.branches.values():
            own = {f"norm.{key}": state[f"encoder.ln.{key}"] for key in ("weight", "bias")}
            load_matching(branch, own | layer_state(state, first, self.depth, "layers"), what)


class _Branch(nn.Module):
    """One modality's cross-modal layers and the norm of its class token."""

    def __init__(self, width: int, settings: Bottleneck) -> None:
        super().__init__()
        self.layers = transformer_layers(settings.layers, width, settings.heads, settings.hidden, settings.dropout)
        self.norm = nn.LayerNorm(width)
