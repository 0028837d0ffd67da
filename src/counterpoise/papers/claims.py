"""The claims of a paper: sentences that can be right or wrong, each with its formal test."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from counterpoise.papers.data import NAME, PaperData


class ClaimTest(PaperData):
    """The formal side of a claim.

    ``best_in_column``: the row beats every other row (or those in ``than``). ``better``, ``worse``: the row
    beats, or is beaten by, each row in ``than``. ``not_worse``: it is less than ``by`` worse. ``untested``:
    no table can decide it; ``needs`` says what would. ``over`` says whether all or any of the columns × rows
    must show it, ``by`` how many printed units the difference exceeds. Better and worse follow the column.
    """

    kind: Literal["best_in_column", "better", "worse", "not_worse", "untested"]
    table: str = ""
    columns: tuple[str, ...] = ()
    row: str = ""
    than: tuple[str, ...] = ()
    by: float = Field(0.0, ge=0.0)
    over: Literal["all", "any"] = "all"
    needs: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "untested":
            if not self.needs or self.table:
                raise ValueError("an untested claim has 'needs' (what would decide it) and no 'table'")
            return self
        if not (self.table and self.columns and self.row):
            raise ValueError(f"a claim of kind '{self.kind}' has 'table', 'columns' and 'row'")
        if self.kind != "best_in_column" and not self.than:
            raise ValueError(f"a claim of kind '{self.kind}' has 'than', the rows that it is compared with")
        return self


class Claim(PaperData):
    """A sentence of a paper that can be right or wrong, and its formal form."""

    id: str = Field(pattern=NAME)
    quote: str
    section: str
    test: ClaimTest
    note: str = ""


class ClaimsFile(PaperData):
    """A paper's ``claims.yaml``."""

    paper: str
    claims: tuple[Claim, ...]
