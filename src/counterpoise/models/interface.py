"""What an encoder and a fusion must provide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from counterpoise.models.pretrained import PretrainedWeights

Features = dict[str, Tensor]
"""Modality -> one vector per sample ``(B, d)``, or positions ``(B, N, d)`` (frames, patches, time steps)."""


class Encoder:
    """Settings of an encoder architecture; declared with :func:`counterpoise.declare.encoder`."""

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        """Return a module for inputs ``(B, *shape)``, all of its parameters at random."""
        raise NotImplementedError

    def load_pretrained(self, module: EncoderModule, weights: PretrainedWeights) -> None:
        """Put pretrained weights into a module that :meth:`build` returned, where the settings ask for some.

        Called once, after the network's initialisation.

        Raises:
            UserError: the file is missing or is not the published one.
        """


class EncoderModule(nn.Module):
    """An encoder: maps ``(B, *shape)`` to features ``(B, width)``.

    ``last_layer`` is the last layer with a weight, where GradNorm measures gradient norms. ``spatial`` says
    that features are maps ``(B, width, H, W)``, on which heads are convolutions.
    """

    width: int
    last_layer: nn.Module
    spatial: bool = False

    def pool(self, features: Tensor) -> Tensor:
        """Return the vector ``(B, width)`` that heads see of positions ``(B, N, width)``: their mean."""
        return features.mean(dim=1) if features.ndim == 3 else features


class SequenceEncoderModule(EncoderModule):
    """An encoder whose features have positions, before they are pooled.

    ``pooled`` is set when the network is built: false where the fusion wants positions (``FusionInfo.sequence``).
    """

    pooled: bool = True

    def positions(self, x: Tensor) -> Tensor:
        """Map ``(B, *shape)`` to features ``(B, N, width)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        features = self.positions(x)
        return self.pool(features) if self.pooled else features


class Fusion:
    """Settings of a fusion; subclasses are declared with :func:`counterpoise.declare.fusion`."""

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        """Return a module for features of ``widths`` by modality."""
        raise NotImplementedError

    def load_pretrained(self, module: FusionModule, weights: PretrainedWeights) -> None:
        """As :meth:`Encoder.load_pretrained`."""


class FusionModule(nn.Module):
    """A fusion: maps features ``{modality: (B, d)}`` to joint logits ``(B, C)``.

    Two hooks are for fusions that do not sit behind finished features (docs/decisions/007): :meth:`mix` lets
    features see each other before joint and unimodal predictions are made of them; :meth:`run` runs encoders
    that exchange something on the way. ``crosses`` says that a fusion does either, so that a modality's own
    prediction depends on, and reaches, the other encoders too.
    """

    crosses: bool = False

    def mix(self, features: Features) -> Features:
        """Return the features that joint and unimodal predictions are made of; by default the same."""
        return features

    def mixing_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of :meth:`mix`, which several objectives reach."""
        return []

    def run(self, encoders: nn.ModuleDict, inputs: dict[str, Tensor], names: tuple[str, ...]) -> Features:
        """Return the features of the encoders ``names``; by default each works for itself."""
        return {name: encoders[name](inputs[name]) for name in names}

    def modality_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Return, by modality, the parameters that see the features of this one alone (but for
        :meth:`weight_slices`), which methods that scale a whole modality scale too; by default none."""
        return {}

    def contributions(self, features: Features) -> dict[str, Tensor]:
        """Return each modality's additive part of the joint logits ``{modality: (B, C)}``, bias shared equally.

        Only fusions declared with ``slices=True`` have them (OGM, MSLR: ``W_u z_u + b / M``).
        """
        raise NotImplementedError

    def weight_slices(self) -> dict[str, tuple[nn.Parameter, slice]]:
        """Return, by modality, the weight ``(C, D)`` and the columns of it that its features meet."""
        raise NotImplementedError
