"""How far what runs here is what a paper ran: declared in the files of datasets and models, judged by the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Aspect = Literal["test set", "split", "features or weights", "training"]
Level = Literal["same", "same recipe, other draw", "other"]
SAME, OTHER_DRAW, OTHER = "same", "same recipe, other draw", "other"
NOT_IN_BENCHMARK = "not in this benchmark"
"""The reason of a place of a table for which a benchmark names nothing to run."""


class Difference(BaseModel):
    """One aspect in which ours is not the paper's, the reason, and the source of that knowledge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aspect: Aspect
    level: Level
    reason: str
    source: str = ""


class DeclaredDifference(Difference):
    """A difference that a file declares; it applies where the resolved settings have all values of ``when``."""

    when: dict[str, Any] = {}

    def applies(self, settings: Mapping[str, Any]) -> bool:
        """Return whether it applies to what is run with some settings."""
        return all(settings.get(name) == value for name, value in self.when.items())

    @property
    def difference(self) -> Difference:
        """The difference without its condition."""
        return Difference(**self.model_dump(exclude={"when"}))
