"""A printed entry: the text that a paper prints, with its marks, and the number that it means."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from counterpoise.papers.data import PaperData

Kind = Literal["number", "not_defined", "not_applicable", "unprinted"]

NOT_DEFINED = "/"
NOT_APPLICABLE = "-"
_NUMBER = re.compile(r"^#?(?P<number>-?\d+(?:\.(?P<decimals>\d+))?(?:e(?P<exponent>-?\d+))?)s?$")


class PrintedValue(PaperData):
    """One entry of a paper's table, as printed, with the marks that the typesetter gave it."""

    printed: str = Field(description="the text without its marks; empty if the paper prints no number")
    bold: bool = False
    underline: bool = False
    drop: bool = Field(False, description="the paper's (↓): a drop against the uniform baseline")
    spread: float | None = Field(None, gt=0, description="the ± beside it: the standard deviation over its runs")

    @field_validator("printed")
    @classmethod
    def _known_text(cls, text: str) -> str:
        if text not in ("", NOT_DEFINED, NOT_APPLICABLE) and not _NUMBER.match(text):
            raise ValueError("must be a number as printed, '/' (not defined) or '-' (not applicable)")
        return text

    @property
    def kind(self) -> Kind:
        """What the entry is: a number, the paper's ``/`` or ``-``, or nothing (a bar without its number)."""
        special: dict[str, Kind] = {"": "unprinted", NOT_DEFINED: "not_defined", NOT_APPLICABLE: "not_applicable"}
        return special.get(self.printed, "number")

    @property
    def number(self) -> str | None:
        """The digits alone (``"0.11"`` of ``0.11s``), or None where the entry is no number."""
        match = _NUMBER.match(self.printed)
        return match["number"] if match else None

    @property
    def value(self) -> float | None:
        """The number in the units printed, or None where the entry is no number."""
        return None if self.number is None else float(self.number)

    @property
    def decimals(self) -> int:
        """How many digits stand after the point; for ``1e-5``, the five that plain notation needs."""
        match = _NUMBER.match(self.printed)
        if not match:
            return 0
        return max(len(match["decimals"] or "") - int(match["exponent"] or 0), 0)

    @property
    def marks(self) -> list[str]:
        """The marks that it has, by name."""
        return [name for name in ("bold", "underline", "drop") if getattr(self, name)]

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit: the number before rounding is anywhere within it."""
        return 0.5 * 10.0**-self.decimals


UNPRINTED = PrintedValue(printed="")
