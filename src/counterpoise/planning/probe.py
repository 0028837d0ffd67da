"""How frozen encoders are probed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SOURCE = ("counterpoise.engine.probe",)
"""What computes a probe: the digest of its source is in the name of a probe's files."""


class Probe(BaseModel):
    """How a linear classifier is trained on one frozen encoder's features (MMPareto Table 1, starred rows).

    No paper states any of this; the values are those of PMR's released probe, the one whose
    code is public. ``batch_norm``: whether the frozen encoder normalises by its running statistics (``eval``,
    as there) or by each batch's own (``train``). ``augment``: whether the probe sees augmented samples, as in
    training. Its encoder is that of the last epoch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epochs: int = Field(25, gt=0)
    batch_size: int = Field(64, gt=0)
    lr: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    batch_norm: Literal["eval", "train"] = "eval"
    augment: bool = False
