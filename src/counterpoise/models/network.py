"""A network of encoders, fusion and heads, seen as objectives that each reach some of the encoders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from counterpoise.models.interface import Features, FusionModule
from counterpoise.models.tasks import CLASSIFICATION, task_loss

JOINT = "joint"


class Network(nn.Module):
    """Encoders (one per modality), the fusion of their features, and a head per objective.

    Multimodal: the objectives are ``joint`` (the fusion's prediction, reaching every encoder) and one per
    modality (its unimodal head's prediction). A unimodal prediction reaches its own encoder, and all of them
    where the fusion lets features see each other before (``FusionModule.crosses``). Multi-task: one objective
    per target, all of which reach every encoder; there is no fusion.

    Args:
        encoders: modality name -> module mapping ``(B, ...)`` to features ``(B, d)`` or ``(B, N, d)``.
        fusion: module mapping a dict of features to joint logits ``(B, C)``, or ``None`` (multi-task).
        heads: objective -> module mapping features ``(B, d)`` to logits ``(B, C)``.
        targets: objective -> name of the target that it predicts.
        kinds: target -> its kind (:mod:`counterpoise.models.tasks`); one that is not named is classification.
    """

    def __init__(
        self,
        encoders: dict[str, nn.Module],
        fusion: nn.Module | None,
        heads: dict[str, nn.Module],
        targets: dict[str, str],
        kinds: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        # Any, to a type checker: encoders and fusions of other packages need not derive from this package's classes,
        # and a method that asks a fusion for something (its slices) has declared that it needs it: planning refuses
        # networks that lack it.
        self.encoders = nn.ModuleDict(encoders)  # type: Any
        self.fusion = fusion  # type: Any
        self.heads = nn.ModuleDict(heads)
        self.targets = dict(targets)
        self.kinds = dict(kinds or {})

    @property
    def modalities(self) -> tuple[str, ...]:
        """The encoders' names."""
        return tuple(self.encoders)

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives, the joint one first."""
        return (JOINT, *self.heads) if self.fusion is not None else tuple(self.heads)

    def reach(self, objective: str) -> tuple[str, ...]:
        """Return the encoders that an objective's gradient reaches."""
        if objective == JOINT or self.fusion is None or _crosses(self.fusion):
            return self.modalities
        return (objective,)

    def own_parameters(self, objective: str) -> list[nn.Parameter]:
        """Return the parameters that only this objective reaches: those of its fusion or its head."""
        if objective != JOINT:
            return list(self.heads[objective].parameters())
        shared = {id(p) for p in self.shared_parameters()}
        return [p for p in self.fusion.parameters() if id(p) not in shared]

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters outside the encoders that several objectives reach: those of the mixing."""
        return self.fusion.mixing_parameters() if isinstance(self.fusion, FusionModule) else []

    def run_encoders(self, inputs: dict[str, Tensor], modalities: Iterable[str] | None = None) -> Features:
        """Map inputs ``{modality: (B, ...)}`` to the encoders' own features ``(B, d)`` or ``(B, N, d)``."""
        names = self.modalities if modalities is None else tuple(modalities)
        if isinstance(self.fusion, FusionModule):
            return self.fusion.run(self.encoders, inputs, names)
        return {name: self.encoders[name](inputs[name]) for name in names}

    def mix(self, features: Features) -> Features:
        """Let the encoders' features see each other, where the fusion does that before all predictions."""
        return self.fusion.mix(features) if isinstance(self.fusion, FusionModule) else features

    def encode(self, inputs: dict[str, Tensor], modalities: Iterable[str] | None = None) -> Features:
        """Map inputs ``{modality: (B, ...)}`` to the features that all predictions are made of."""
        return self.mix(self.run_encoders(inputs, modalities))

    def vectors(self, features: Features) -> dict[str, Tensor]:
        """Return one vector per sample and modality, ``(B, d)``: positions pooled as their encoder says."""
        return {name: _pooled(self.encoders[name], values) for name, values in features.items()}

    def predict(self, features: Features, objectives: Iterable[str]) -> dict[str, Tensor]:
        """Map features to logits ``{objective: (B, C)}``."""
        return {objective: self._logits(features, objective) for objective in objectives}

    def kind(self, objective: str) -> str:
        """Return the kind of the target that an objective predicts."""
        return self.kinds.get(self.targets[objective], CLASSIFICATION)

    def loss(self, objective: str, output: Tensor, target: Tensor) -> Tensor:
        """Return an objective's mean loss on a batch, a scalar."""
        return task_loss(self.kind(objective), output, target)

    def _logits(self, features: Features, objective: str) -> Tensor:
        if objective == JOINT:
            return self.fusion(features)
        encoder = objective if self.fusion is not None else self.modalities[0]
        return self.heads[objective](_pooled(self.encoders[encoder], features[encoder]))


def _crosses(fusion: nn.Module) -> bool:
    return isinstance(fusion, FusionModule) and fusion.crosses


def _pooled(encoder: Any, features: Tensor) -> Tensor:
    return encoder.pool(features) if features.ndim == 3 else features


def build_head(width: int, classes: int, hidden: int | None) -> nn.Module:
    """Return a linear head ``width -> classes``, or one with a hidden ReLU layer."""
    if hidden is None:
        return nn.Linear(width, classes)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def digest_state(state: dict[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of all tensors of a state, in order of their names."""

    hasher = hashlib.sha256()
    for name in sorted(state):
        tensor: Tensor = state[name].detach().to("cpu").contiguous()
        hasher.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
