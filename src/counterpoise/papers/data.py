"""What every record of a paper is built on."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from counterpoise.errors import suggest
from counterpoise.metrics import UNITS

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
"""The form of names that become part of paths and of traces."""


class PaperData(BaseModel):
    """A part of a paper as it stands in its files: unknown keys are errors, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_unit(unit: str) -> str:
    if unit not in UNITS:
        raise ValueError(f"no such unit{suggest(unit, UNITS)}")
    return unit


Unit = Annotated[str, AfterValidator(_known_unit)]
"""A unit of :data:`counterpoise.metrics.UNITS`, by its name."""
