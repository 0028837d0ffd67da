"""How methods, datasets, encoders, fusions, measurements and kinds of figures declare themselves.

A component is one class in one file. Its decorator carries literal keywords and its fields are
:func:`setting`\\ s with literal arguments, so that :mod:`counterpoise.components` can read all of it
from the source text: planning thousands of runs needs no import of torch.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class MethodInfo:
    """What a method is and what it asks of the model and the data.

    ``family`` is one of ``loss``, ``modulation``, ``integration`` (docs/design.md). ``trains`` says which objectives it
    optimises: ``joint``, ``single`` (one unimodal loss) or ``all``. ``needs`` lists extras: ``weight_slices``,
    ``unimodal_heads``, ``validation_split``, ``extra_forwards``, ``prototypes``, ``unimodal_runs``. ``modalities`` is
    the supported number, least and most (``None``: no limit). ``tasks`` says whether it also combines the losses of
    several tasks, ``most_tasks`` of how many (``None``: no limit). ``variants`` maps ``published``/``released`` to
    ``{"settings": {...}, "source": "..."}``.
    """

    name: str
    title: str
    family: str
    paper: str
    source: str
    trains: str = "all"
    needs: tuple[str, ...] = ()
    modalities: tuple[int, int | None] = (2, None)
    tasks: bool = False
    most_tasks: int | None = None
    variants: dict[str, dict[str, Any]] = dataclasses.field(default_factory=lambda: {"published": {}})


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A dataset: ``task`` is ``multimodal`` (one target) or ``multitask`` (several targets).

    Where ``modalities`` is empty, the setting ``modalities`` has their names as its keys.
    """

    name: str
    title: str
    task: str
    modalities: tuple[str, ...]
    targets: tuple[str, ...]
    licence: str = ""
    paper: str = ""


@dataclasses.dataclass(frozen=True)
class EncoderInfo:
    """An encoder architecture; ``input`` describes the shape that it takes without the batch dimension."""

    name: str
    title: str
    input: str = ""
    source: str = ""


@dataclasses.dataclass(frozen=True)
class FusionInfo:
    """A fusion of the encoders' features.

    ``slices``: it can be split into one part per modality. ``sequence``: it takes features with positions,
    before they are pooled. ``equal_widths``: all features must have the same width. ``linked``: encoders
    exchange something on the way, so that none can be run, or its gradients taken, by itself.
    """

    name: str
    title: str
    slices: bool = False
    sequence: bool = False
    equal_widths: bool = False
    linked: bool = False
    modalities: tuple[int, int | None] = (1, None)
    source: str = ""


@dataclasses.dataclass(frozen=True)
class MeasurementInfo:
    """A measurement on the weights of a finished run (:mod:`counterpoise.engine.measurements`)."""

    name: str
    title: str
    source: str = ""


@dataclasses.dataclass(frozen=True)
class FigureKindInfo:
    """A kind of figure (:mod:`counterpoise.reporting.figures`)."""

    name: str
    title: str


INFO_TYPES: dict[str, type] = {
    "method": MethodInfo,
    "dataset": DatasetInfo,
    "encoder": EncoderInfo,
    "fusion": FusionInfo,
    "measurement": MeasurementInfo,
    "figure_kind": FigureKindInfo,
}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a setting may be, beyond its type."""

    above: float | None = None
    below: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] | None = None
    doc: str = ""


def setting(default: Any, **bounds: Any) -> Any:
    """Declare a component's setting: its default, what it may be, what it means (:class:`Bounds`)."""
    metadata = {"bounds": Bounds(**bounds)}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _decorator(kind: str) -> Callable[..., Callable[[type], type]]:
    def declare(**info: Any) -> Callable[[type], type]:
        def wrap(cls: type) -> type:
            made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
            made.info = INFO_TYPES[kind](**info)
            return made

        return wrap

    declare.__name__ = kind
    declare.__doc__ = f"Declare a {kind}; the keywords are those of :class:`{INFO_TYPES[kind].__name__}`."
    return declare


method = _decorator("method")
dataset = _decorator("dataset")
encoder = _decorator("encoder")
fusion = _decorator("fusion")
measurement = _decorator("measurement")
figure_kind = _decorator("figure_kind")
