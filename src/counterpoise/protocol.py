"""A protocol: optimiser, schedule, epochs, batch size, precision, validation split."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Share = Annotated[float, Field(ge=0, lt=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Optimiser(_Frozen):
    """SGD, Adam or AdamW. Weight decay is added to the gradient (AdamW: decoupled) after gradients are integrated.

    ``encoder_lr_factor`` multiplies the encoders' learning rate alone: MMPareto's ablation "uniform with encoder
    lr x gamma".
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Share, Share] = Field((0.9, 0.999), strict=False)  # YAML has lists only
    eps: float = Field(1e-8, gt=0)
    encoder_lr_factor: float = Field(1.0, gt=0)


class Schedule(_Frozen):
    """How the learning rate moves.

    ``constant``; ``step``: times ``factor`` every ``period`` epochs; ``cosine_restarts``: constant for
    ``warm_up_steps`` optimiser steps, then cosine annealing with warm restarts of ``period`` steps, each
    ``period_factor`` times longer than the last. Periods are counted from the run's first step, not from the
    end of the warm-up (MLB's released code: ``Trainer.py``, ``WarmupScheduler``).
    """

    name: Literal["constant", "step", "cosine_restarts"] = "constant"
    period: int = Field(30, gt=0)
    factor: float = Field(0.1, gt=0, le=1)
    period_factor: int = Field(2, ge=1)
    warm_up_steps: int = Field(0, ge=0)


class Protocol(_Frozen):
    """Everything about a training that is neither data, model nor method.

    ``validation_fraction`` holds out that share of the training split (by index, the same for every seed)
    unless the dataset has a validation split of its own, which is then used; 0 trains on all of it and
    records no ``best_val``. ``patience`` stops after that many epochs without a better validation accuracy.

    ``micro_batch`` passes at most that many samples through the network at a time and adds up their gradients, for
    batches that fit no device; where no batch is larger it changes nothing, the key neither. A step is that of the
    whole batch but for rounding and for the draws of dropout.
    Methods and networks that look at the whole batch are not trained with it (docs/decisions/012).
    """

    optimiser: Optimiser
    schedule: Schedule = Schedule()
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    micro_batch: int | None = Field(None, gt=0)
    drop_last: bool = False
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    deterministic: bool = True
    threads: int = Field(1, gt=0)
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    patience: int | None = Field(None, gt=0)
    clip_norm: float | None = Field(None, gt=0)
    evaluate_every: int = Field(1, gt=0)
    diagnostics: bool = False

    @model_serializer(mode="wrap")
    def _without_what_changes_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The key of every run digests this. Keys are older than the setting, and one that no batch is larger than
        # (`scale: tiny` has small batches) trains as if it were not set.
        set_here = self.micro_batch is not None and self.micro_batch < self.batch_size
        return {name: value for name, value in dump(self).items() if name != "micro_batch" or set_here}


class ProtocolFile(Protocol):
    """A protocol with what its file says about it, none of which is part of a run's identity.

    ``stand_in_for`` names the protocol in whose place this one trains, say for fewer epochs: what it gives is
    shown, and never compared with a printed number.
    """

    title: str = ""
    source: str = ""
    stand_in_for: str | None = None

    def values(self) -> dict[str, Any]:
        """Return what the file says of the protocol, without what it leaves to the defaults."""
        return self.model_dump(mode="json", exclude={"title", "source", "stand_in_for"}, exclude_unset=True)

    def protocol(self) -> Protocol:
        """Return the protocol alone."""
        return Protocol.model_validate(self.values())
