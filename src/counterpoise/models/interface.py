"""What an encoder and a fusion must provide."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder:
    """Settings of an encoder architecture; subclasses are declared with :func:`counterpoise.declare.encoder`."""

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        """Return a module for inputs ``(B, *shape)``; its features are ``(B, width)``."""
        raise NotImplementedError


class EncoderModule(nn.Module):
    """An encoder: maps ``(B, *shape)`` to features ``(B, width)``.

    ``last_layer`` is the last layer with a weight, where GradNorm measures gradient norms.
    """

    width: int
    last_layer: nn.Module


class Fusion:
    """Settings of a fusion; subclasses are declared with :func:`counterpoise.declare.fusion`."""

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        """Return a module for features ``{modality: (B, widths[modality])}``."""
        raise NotImplementedError


class FusionModule(nn.Module):
    """A fusion: maps features ``{modality: (B, d)}`` to joint logits ``(B, C)``."""

    def contributions(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return each modality's additive part of the joint logits ``{modality: (B, C)}``, bias shared equally.

        Only fusions declared with ``slices=True`` have them (OGM, MSLR: ``W_u z_u + b / M``).
        """
        raise NotImplementedError

    def weight_slices(self) -> dict[str, tuple[nn.Parameter, slice]]:
        """Return, by modality, the weight ``(C, D)`` and the columns of it that its features meet."""
        raise NotImplementedError
