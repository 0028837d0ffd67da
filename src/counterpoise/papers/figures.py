"""The schema of a paper's figures: what each is drawn from, and what it chooses where the paper says nothing.

A benchmark names the figures that it wants and, where a figure is drawn from runs, their dataset, model and protocol.
Which methods it compares, and with which settings, belongs to the figure and stands in ``figures.yaml``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from counterpoise.errors import UserError, suggest
from counterpoise.identity import canonical_json
from counterpoise.papers.data import NAME, PaperData
from counterpoise.papers.printed import PrintedValue


class Series(PaperData):
    """One method of a figure, in its published variant; ``settings`` are the method's."""

    label: str
    method: str = Field(pattern=NAME)
    settings: dict[str, str] = Field({})


class Measurement(PaperData):
    """A measurement on the weights of finished runs: the name of its component, and settings of it."""

    name: str = Field(pattern=NAME)
    settings: dict[str, Any] = Field({})

    def __hash__(self) -> int:
        return hash((self.name, canonical_json(self.settings)))


class FigureNumber(PaperData):
    """A number that the paper prints for a figure: ``quantity`` of one ``series``, as the figure's kind names them.

    ``about`` marks a number that is read off a drawing. ``source`` says where the paper prints it.
    """

    series: str
    quantity: str
    value: str
    about: bool = False
    source: str = ""

    @field_validator("value")
    @classmethod
    def _is_number(cls, text: str) -> str:
        if PrintedValue(printed=text).value is None:
            raise ValueError("must be a number as printed")
        return text


class Figure(PaperData):
    """A figure of a paper.

    ``kind`` is a component of :mod:`counterpoise.reporting.figures.kinds` and ``settings`` are its settings.
    ``output`` is the modality that the figure looks at, by the paper's name, and ``table`` the table whose values it
    draws, if any. ``choices`` are sentences that are printed under the figure: what the paper leaves open and is
    decided here. Settings of the kind and of the measurement can be named in them in braces (``{batches}``).
    """

    paper: str
    name: str = Field(pattern=NAME)
    title: str
    kind: str
    series: tuple[Series, ...] = ()
    measure: Measurement | None = None
    output: str = ""
    table: str = ""
    settings: dict[str, Any] = Field({})
    choices: tuple[str, ...] = ()
    printed: tuple[FigureNumber, ...] = ()

    def chosen(self, settings: Mapping[str, Any]) -> list[str]:
        """Return the choices with the values of ``settings`` in them.

        Nothing but names is looked up: a paper's files may come from somebody else.

        Raises:
            UserError: a choice names something that is no setting.
        """

        def value(name: re.Match[str]) -> str:
            if name[1] not in settings:
                raise UserError(
                    f"{self.paper}.{self.name}: choices: no setting '{name[1]}'{suggest(name[1], settings)}"
                )
            return str(settings[name[1]])

        return [re.sub(r"\{(\w+)\}", value, text) for text in self.choices]

    @property
    def needs_runs(self) -> bool:
        """Whether a benchmark must say on what the figure's runs are made."""
        return bool(self.series)

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        for label, times in Counter(series.label for series in self.series).items():
            if times > 1:
                raise ValueError(f"the figure '{self.name}': the series '{label}' is given twice")
        return self


class FiguresFile(PaperData):
    """A paper's ``figures.yaml``."""

    paper: str
    figures: tuple[Figure, ...]

    @model_validator(mode="before")
    @classmethod
    def _name_the_paper(cls, data: Any) -> Any:
        """Give every figure the name of its paper, which the file says once."""
        if isinstance(data, dict) and isinstance(data.get("figures"), list):
            figures = [{"paper": data.get("paper"), **f} if isinstance(f, dict) else f for f in data["figures"]]
            return {**data, "figures": figures}
        return data

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for name, times in Counter(figure.name for figure in self.figures).items():
            if times > 1:
                raise ValueError(f"the figure '{name}' is given twice")
        return self
