"""Explanations: the question that one asks, and what ``counterpoise explain --write`` wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from counterpoise.errors import UserError
from counterpoise.files import made_again, read_json
from counterpoise.path_names import CellName
from counterpoise.results.layout import Layout, LayoutValue
from counterpoise.results.names import value_name
from counterpoise.validation import validate

FOLDER = "results/explain"
SELECTION = "selection"
"""The factor whose flips are other epochs of the number's own runs."""


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One factor of a cell changed to one alternative.

    ``cell`` is the name of the cell that then runs, None where nothing can, with the ``reason``. ``before`` and
    ``after`` name the two sides in words; ``differences`` lists every setting that differs as (key, before, after).
    """

    factor: str
    title: str
    before: str = ""
    after: str = ""
    source: str = ""
    cell: str | None = None
    reason: str = ""
    differences: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question:
    """A number to be explained: its place in a table, the name of the cell that fills it, and that cell's flips."""

    value: LayoutValue
    cell: str
    flips: tuple[Flip, ...]

    @property
    def name(self) -> str:
        """The number's name, as ``counterpoise trace`` takes it."""
        return value_name(self.value)

    @property
    def cells(self) -> list[str]:
        """The names of the number's cell and of the distinct cells of its flips."""
        flipped = [flip.cell for flip in self.flips if flip.cell is not None]
        return list(dict.fromkeys([self.cell, *flipped]))

    @property
    def file_name(self) -> str:
        """The name of the explanation's files, without suffix: the number's, with ``_`` for spaces."""
        return self.name.replace(" ", "_")


class _Written(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class WrittenEffect(_Written):
    """What one flip does, in printed units; see :class:`counterpoise.judging.explain.Effect`.

    ``changed`` lists every setting that differs as (key, before, after).
    """

    factor: str
    title: str
    cell: CellName | None
    before: str = Field(alias="from")
    after: str = Field(alias="to")
    source: str
    changed: tuple[tuple[str, Any, Any], ...] = ()
    n: int = Field(ge=0)
    diverged: int = Field(ge=0)
    mean: FiniteFloat | None = Field(alias="effect")
    low: FiniteFloat | None
    high: FiniteFloat | None
    p: FiniteFloat | None
    recovered: FiniteFloat | None
    missing: tuple[int, ...]
    reason: str

    @property
    def recovered_interval(self) -> tuple[float, float] | None:
        """The interval of what is recovered, lower bound first; None where there is none, or no gap."""
        if self.recovered is None or self.low is None or self.high is None:
            return None
        return (self.low, self.high) if self.recovered == self.mean else (-self.high, -self.low)


class WrittenExplanation(_Written):
    """A number and what its factors do to it; see :class:`counterpoise.judging.explain.Explanation`.

    ``cell`` is the name of the number's cell, ``level`` that of the intervals.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    benchmark: str
    cell: str
    selection: str
    seeds: tuple[int, ...]
    printed: str
    mean: FiniteFloat | None
    n: int = Field(ge=0)
    gap: FiniteFloat | None
    level: float = Field(gt=0, lt=1)
    effects: tuple[WrittenEffect, ...]

    @property
    def known(self) -> list[WrittenEffect]:
        """The effects that have a value, the one that recovers most first."""
        return [effect for effect in strongest_first(self.effects) if effect.mean is not None]

    @property
    def flipped(self) -> list[WrittenEffect]:
        """The effects of flips; other epochs of the number's own runs are none."""
        return [effect for effect in self.effects if effect.factor != SELECTION]

    @property
    def flipped_cells(self) -> set[str]:
        """The names of the cells that it flips to."""
        return {effect.cell for effect in self.flipped if effect.cell is not None}

    def question(self, layout: Layout) -> Question | None:
        """Return what was asked, None where the layout has no such number or another cell for it."""
        value = next((value for value in layout.values if value_name(value) == self.name), None)
        if value is None or value.cell != self.cell:
            return None
        flips = [
            Flip(
                factor=effect.factor,
                title=effect.title,
                before=effect.before,
                after=effect.after,
                source=effect.source,
                cell=effect.cell,
                reason=effect.reason if effect.cell is None else "",
                differences=effect.changed,
            )
            for effect in self.flipped
        ]
        return Question(value=value, cell=self.cell, flips=tuple(flips))

    def overshoots(self, effect: WrittenEffect) -> bool:
        """Whether an effect leads beyond the printed number, to the other side of the gap."""
        return self.gap is not None and effect.recovered is not None and effect.recovered > abs(self.gap)

    @property
    def unknown(self) -> list[WrittenEffect]:
        """The effects that have no value yet, or cannot have one."""
        return [effect for effect in self.effects if effect.mean is None]


def explanations_folder(root: Path, benchmark: str) -> Path:
    """Return where the explanations of a benchmark's numbers are."""
    return Path(root) / FOLDER / benchmark


def read_explanations(folder: Path, benchmark: str) -> dict[Path, WrittenExplanation]:
    """Return the explanations of a benchmark's numbers in a folder by their files; none is no error.

    Raises:
        UserError: a file is torn, is no explanation, or is one of another benchmark.
    """
    explanations = {}
    for path in sorted(folder.glob("*.json")):
        again = made_again(path, "delete it, or write it anew with 'counterpoise explain --write'")
        where = f"{path}: not an explanation; {again}"
        explanation = validate(WrittenExplanation, read_json(path, "explanation"), where)
        if explanation.benchmark != benchmark:
            raise UserError(f"{path}: 'benchmark' is '{explanation.benchmark}', must be '{benchmark}' as in its path")
        explanations[path] = explanation
    return explanations


class _Effect(Protocol):
    @property
    def mean(self) -> float | None: ...
    @property
    def recovered(self) -> float | None: ...


SomeEffect = TypeVar("SomeEffect", bound=_Effect)


def strongest_first(effects: Iterable[SomeEffect]) -> list[SomeEffect]:
    """Return what recovers most of the gap first, without a gap the largest; what is not known stays last."""

    def rank(effect: SomeEffect) -> float:
        if effect.mean is None:
            return float("inf")
        return -abs(effect.mean) if effect.recovered is None else -effect.recovered

    return sorted(effects, key=rank)
