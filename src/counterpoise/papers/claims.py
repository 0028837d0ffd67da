"""The claims of a paper: sentences that can be right or wrong, each with its formal test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, model_validator

from counterpoise.papers.data import NAME, PaperData

Over = Literal["all", "any", "most", "any column", "all rows", "most rows"]


class ClaimTest(PaperData):
    """The formal side of a claim: comparisons in the columns of a table, printed or not.

    ``best_in_column``: the row beats every other row (or those in ``than``). ``better``, ``worse``: the row
    beats, or is beaten by, each row in ``than``. ``not_worse``: it is less than ``by`` worse. ``diverges``: more of its
    runs diverge than of each row in ``than``. ``above``, ``below``: its value is larger or smaller than ``by``.

    ``table`` may be left out: then each column is named ``<table>.<column>``, and a row of ``than`` that a table
    does not have is passed over there. ``and_rows`` are further rows that must show the same. With ``than_columns``,
    as many as ``columns``, each column is compared with another one: of the row itself, or of the rows in ``than``.

    ``by`` is how many printed units a difference exceeds. Better and worse follow the column. ``over`` says where it
    must show: in ``all``, ``any`` or ``most`` comparisons of a column and a row; against every row in ``any column``;
    against ``all rows`` or ``most rows``, in some column each.
    """

    kind: Literal["best_in_column", "better", "worse", "not_worse", "diverges", "above", "below"]
    table: str = ""
    columns: tuple[str, ...] = Field(min_length=1)
    row: str
    and_rows: tuple[str, ...] = ()
    than: tuple[str, ...] = ()
    than_columns: tuple[str, ...] = ()
    by: float = Field(0.0, ge=0.0)
    over: Over = "all"

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that the claim is about."""
        return (self.row, *self.and_rows)

    @property
    def places(self) -> list[tuple[str, str, str]]:
        """(table, column, column that it is compared with) of each column."""
        others = self.than_columns or self.columns
        return [
            (*self._place(column), self._place(other)[1]) for column, other in zip(self.columns, others, strict=True)
        ]

    @property
    def tables(self) -> list[str]:
        """The tables that the claim rests on, the one with its first column first."""
        return list(dict.fromkeys(table for table, _, _ in self.places))

    @property
    def has_rivals(self) -> bool:
        """Whether the claim compares rows or columns with each other, and not with a number."""
        return self.kind not in ("above", "below")

    def _place(self, column: str) -> tuple[str, str]:
        table, _, own = ("", "", column) if self.table else column.partition(".")
        return self.table or table, own

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.than_columns and len(self.than_columns) != len(self.columns):
            raise ValueError("'than_columns' must have as many columns as 'columns'")
        if not self.has_rivals:
            if self.than or self.than_columns:
                raise ValueError(
                    f"a claim of kind '{self.kind}' has 'by', a number, and neither 'than' nor 'than_columns'"
                )
        elif self.kind != "best_in_column" and not self.than and not self.than_columns:
            raise ValueError(f"a claim of kind '{self.kind}' has 'than', the rows that it is compared with")
        for column in self.columns:
            if not self.table and "." not in column:
                raise ValueError(f"without 'table' a column is named '<table>.<column>', not '{column}'")
        return self


class Claim(PaperData):
    """A sentence of a paper that can be right or wrong, and its formal form."""

    id: str = Field(pattern=NAME)
    quote: str
    section: str
    test: ClaimTest
    note: str = ""


class LeftOut(PaperData):
    """A sentence that looks like a claim, and why no experiment here could bear it out or contradict it."""

    id: str = Field(pattern=NAME)
    quote: str
    section: str
    reason: str


class ClaimsFile(PaperData):
    """A paper's ``claims.yaml``."""

    paper: str
    claims: tuple[Claim, ...]
    left_out: tuple[LeftOut, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        seen: set[str] = set()
        named: Iterable[Claim | LeftOut] = (*self.claims, *self.left_out)
        for claim in named:
            if claim.id in seen:
                raise ValueError(f"the claim '{claim.id}' is given twice")
            seen.add(claim.id)
        return self
