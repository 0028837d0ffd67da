"""Factors: the choices behind a number that can explain why it deviates, each flipped one at a time.

They are declared where they apply, in the section ``factors`` of the files of datasets, models, methods and
protocols. A flip is a cell like any other, made of the same names with one thing changed; nothing of it
enters the keys of the cell that it explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterpoise.identity import canonical_json
from counterpoise.validation import validate

FOLDERS = ("datasets", "models", "methods", "protocols")
"""The files that may declare factors."""


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Change(_Config):
    """What one flip changes: settings of the dataset, of the method or of the protocol, another model's file,
    or the method's variant.
    """

    dataset: dict[str, Any] = {}
    model: str | None = None
    method: dict[str, Any] = {}
    variant: str | None = None
    protocol: dict[str, Any] = {}

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not (self.dataset or self.model or self.method or self.variant or self.protocol):
            raise ValueError("changes nothing; one of dataset, model, method, variant and protocol is needed")
        return self

    @property
    def settings(self) -> str:
        """The changed settings as canonical JSON, the empty string where there are none."""
        given = {"dataset": self.dataset, "method": self.method, "protocol": self.protocol}
        given = {key: value for key, value in given.items() if value}
        return canonical_json(given) if given else ""


class Factor(_Config):
    """A choice that a paper leaves open, or where text and code differ, with what else it may be.

    ``source`` says where the alternatives come from.
    """

    title: str = Field(min_length=1)
    source: str = ""
    changes: Annotated[list[Change], Field(min_length=1)]


class _Section(_Config):
    factors: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Factor]


def read_factors(data: Any, where: str) -> dict[str, Factor]:
    """Check a file's section ``factors``; errors name the file, the key and what is allowed."""
    return validate(_Section, {"factors": data}, where).factors


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, before, after) for every value in which two configurations differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(before.get(name), after.get(name), inner)
    elif before != after:
        yield key, before, after


def before_and_after(changed: list[tuple[str, Any, Any]]) -> tuple[str, str]:
    """Return what a flip is called before and after: bare values of one setting, several with their names."""
    if len(changed) == 1:
        return _text(changed[0][1]), _text(changed[0][2])
    names = [key.rpartition(".")[2] for key, _, _ in changed]
    return tuple(
        ", ".join(f"{name} {_text(values[side])}" for name, values in zip(names, changed, strict=True))
        for side in (1, 2)
    )  # type: ignore[return-value]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
