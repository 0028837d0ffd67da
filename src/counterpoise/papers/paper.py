"""The papers as data: every printed table, number, mark and claim, read from ``configs/papers/<paper>/``."""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from counterpoise.errors import UserError, suggest
from counterpoise.validation import load_model

NOT_DEFINED = "/"
NOT_APPLICABLE = "-"
_NUMBER = re.compile(r"^#?(?P<number>-?\d+(?:\.(?P<decimals>\d+))?(?:e(?P<exponent>-?\d+))?)s?$")
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"

Unit = Literal["percent", "ratio", "depth", "seconds", "seconds_squared", "iterations"]
Metric = Literal[
    "accuracy",
    "macro_f1",
    "ece",
    "miou",
    "pixel_accuracy",
    "absolute_error",
    "relative_error",
    "seconds_per_iteration",
    "iterations_to_stationarity",
]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrintedValue(_Data):
    """One entry of a paper's table, as printed, with the marks that the typesetter gave it."""

    printed: str = Field(description="the text without its marks; empty if the paper prints no number")
    bold: bool = False
    underline: bool = False
    drop: bool = Field(False, description="the paper's (↓): a drop against the uniform baseline")

    @field_validator("printed")
    @classmethod
    def _known_text(cls, text: str) -> str:
        if text not in ("", NOT_DEFINED, NOT_APPLICABLE) and not _NUMBER.match(text):
            raise ValueError("must be a number as printed, '/' (not defined) or '-' (not applicable)")
        return text

    @property
    def kind(self) -> Literal["number", "not_defined", "not_applicable", "unprinted"]:
        """What the entry is: a number, the paper's ``/`` or ``-``, or nothing (a bar without its number)."""
        special = {"": "unprinted", NOT_DEFINED: "not_defined", NOT_APPLICABLE: "not_applicable"}
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


UNPRINTED = PrintedValue(printed="")


class ColumnGroup(_Data):
    """Columns that share a dataset and a model; a benchmark says per group what is run."""

    id: str = Field(pattern=_NAME)
    heading: tuple[str, ...] = Field((), description="what is printed above the group, outermost first")
    dataset: str
    model: str


class Column(_Data):
    """One column of numbers: a metric of one output of the model."""

    id: str
    title: str
    metric: Metric
    group: str | None = Field(None, description="None where the rows are datasets and name the group")
    output: str = "joint"
    better: Literal["higher", "lower"] = "higher"
    unit: Unit = "percent"
    statistic: Literal["mean", "variance"] = "mean"
    dataset: str | None = Field(None, description="the group's dataset; filled in from it")

    @property
    def measure(self) -> str:
        """The name in a run's metrics: the metric's, with ``_variance`` where the column is of a variance."""
        return self.metric if self.statistic == "mean" else f"{self.metric}_{self.statistic}"

    @property
    def scale(self) -> float:
        """The factor from a measured value (fractions in [0, 1]) to the units printed."""
        return 100.0 if self.unit == "percent" else 1.0


class Row(_Data):
    """One printed line of a table."""

    id: str = Field(pattern=r"^[^.]+$", description="the name in traces; no dots")
    title: str = Field(description="the label as printed, with its star")
    method: str = Field(pattern=_NAME)
    settings: dict[str, str] = Field({}, description="settings of the method that the row stands for")
    star: bool = False
    probe: bool = Field(False, description="its unimodal columns come from a probe of frozen encoders")
    group: str | None = Field(None, description="the column group, in tables whose rows are datasets")
    method_title: str | None = None
    values: dict[str, PrintedValue] = {}

    @field_validator("values", mode="before")
    @classmethod
    def _short_form(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {key: {"printed": value} if isinstance(value, str) else value for key, value in values.items()}


class PaperTable(_Data):
    """A table of a paper: groups, columns, rows and the printed entries."""

    paper: str
    table: str = Field(pattern=_NAME)
    title: str
    section: str
    caption: str
    notes: tuple[str, ...] = ()
    row_header: str = "Method"
    star_means: str = ""
    unprinted: str = Field("", description="why the paper gives no numbers here; then rows carry no values")
    groups: tuple[ColumnGroup, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @field_validator("columns")
    @classmethod
    def _with_datasets(cls, columns: tuple[Column, ...], info: ValidationInfo) -> tuple[Column, ...]:
        datasets = {group.id: group.dataset for group in info.data.get("groups", ())}
        return tuple(column.model_copy(update={"dataset": datasets.get(column.group)}) for column in columns)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, ids in (("group", self.group_ids), ("column", self.column_ids), ("row", self.row_ids)):
            twice = sorted(name for name, times in Counter(ids).items() if times > 1)
            if twice:
                raise ValueError(f"the {what} '{twice[0]}' is given twice")
        for column in self.columns:
            self._check_column(column)
        for row in self.rows:
            self._check_row(row)
        return self

    def _check_column(self, column: Column) -> None:
        if column.group is None:
            return
        if column.group not in self._groups_by_id:
            raise ValueError(
                f"the column '{column.id}' is in an unknown group '{column.group}'"
                f"{suggest(column.group, self.group_ids)}"
            )
        if not column.id.startswith(f"{column.group}."):
            raise ValueError(f"the column '{column.id}' must be named '{column.group}.<metric>'")

    def _check_row(self, row: Row) -> None:
        if row.group is not None and row.group not in self.group_ids:
            raise ValueError(
                f"the row '{row.id}' is in an unknown group '{row.group}'{suggest(row.group, self.group_ids)}"
            )
        grouped = [column.group is not None for column in self.columns]
        if (row.group is None) != all(grouped) or any(grouped) != all(grouped):
            raise ValueError(f"the row '{row.id}': either every column or every row names its group")
        if row.star and not self.star_means:
            raise ValueError(f"the row '{row.id}' has a star, but 'star_means' does not say what it means")
        wanted = {} if self.unprinted else self._columns_by_id
        for column in row.values:
            if column not in wanted:
                raise ValueError(
                    f"the row '{row.id}' has a value in an unknown column '{column}'{suggest(column, wanted)}"
                )
        missing = [column for column in wanted if column not in row.values]
        if missing:
            raise ValueError(f"the row '{row.id}' has no value in the column '{missing[0]}'")

    @property
    def group_ids(self) -> list[str]:
        return [group.id for group in self.groups]

    @property
    def column_ids(self) -> list[str]:
        return [column.id for column in self.columns]

    @property
    def row_ids(self) -> list[str]:
        return [row.id for row in self.rows]

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in ("_columns_by_id", "_rows_by_id", "_groups_by_id"):  # a copy may have other ones
            copied.__dict__.pop(name, None)
        return copied

    # Tables of thousands of columns are looked into once for each of their values.
    @functools.cached_property
    def _columns_by_id(self) -> dict[str, Column]:
        return {column.id: column for column in self.columns}

    @functools.cached_property
    def _rows_by_id(self) -> dict[str, Row]:
        return {row.id: row for row in self.rows}

    @functools.cached_property
    def _groups_by_id(self) -> dict[str, ColumnGroup]:
        return {group.id: group for group in self.groups}

    def row(self, row_id: str) -> Row:
        """Return a row by its id; UserError with the nearest id where there is none."""
        return _find(self._rows_by_id, row_id, f"{self.paper}.{self.table}", "row")

    def column(self, column_id: str) -> Column:
        """Return a column by its id; UserError with the nearest id where there is none."""
        return _find(self._columns_by_id, column_id, f"{self.paper}.{self.table}", "column")

    def group(self, row_id: str, column_id: str) -> ColumnGroup:
        """Return the column group that an entry belongs to (in tables of datasets, the row names it)."""
        name = self.row(row_id).group or self.column(column_id).group
        return self._groups_by_id[name]

    def value(self, row_id: str, column_id: str) -> PrintedValue:
        """Return the printed entry; its kind is ``unprinted`` where the paper gives no number."""
        return self.row(row_id).values.get(self.column(column_id).id, UNPRINTED)

    def output(self, row_id: str, column_id: str) -> str:
        """Return the model output that an entry is measured on, ``probe:<modality>`` in probed rows."""
        output = self.column(column_id).output
        return f"probe:{output}" if self.row(row_id).probe and output != "joint" else output

    def is_unimodal(self, column_id: str) -> bool:
        """Return whether a column is the accuracy of one modality by itself, beside the joint one's: what a
        probe of its encoder measures, too.
        """
        column = self.column(column_id)
        beside = {other.output for other in self.columns if other.group == column.group}
        return column.metric == "accuracy" and column.output != "joint" and "joint" in beside

    def margin(self, column_id: str, paper: Paper) -> float | None:
        """Return the declared equivalence margin of a column in printed units, None if there is none."""
        return paper.margins.get(self.column(column_id).metric)


class ClaimTest(_Data):
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


class Claim(_Data):
    """A sentence of a paper that can be right or wrong, and its formal form."""

    id: str = Field(pattern=_NAME)
    quote: str
    section: str
    test: ClaimTest
    note: str = ""
    family_name: str = Field("", alias="family", description="where Holm's correction runs; default: table")

    @property
    def family(self) -> str:
        return self.family_name or self.test.table or "untested"


class _Claims(_Data):
    paper: str
    claims: tuple[Claim, ...]


class Count(_Data):
    """A count that a paper states, with what it can be checked against."""

    what: str
    stated: int
    quote: str
    section: str
    reference: int | None = None
    source: str = ""


class TestSize(_Data):
    """A size that a paper's test set may have, known before looking at the numbers."""

    __test__ = False  # not a test class, whatever its name says

    size: int = Field(gt=0)
    source: str


class DatasetFacts(_Data):
    """What a paper states about a dataset, for the audit."""

    title: str
    counts: tuple[Count, ...] = ()
    test_sizes: tuple[TestSize, ...] = ()


class _PaperHead(_Data):
    paper: str = Field(pattern=_NAME)
    short_title: str
    title: str
    authors: tuple[str, ...] = Field(min_length=1)
    venue: str
    year: int
    url: str
    printed_runs: int = Field(ge=1, description="how many runs a printed number averages")
    printed_runs_reason: str
    alpha: float = Field(0.05, gt=0.0, lt=1.0)
    margins: dict[Metric, float]
    margins_reason: str
    datasets: dict[str, DatasetFacts] = {}

    @field_validator("margins")
    @classmethod
    def _positive(cls, margins: dict[str, float]) -> dict[str, float]:
        for metric, margin in margins.items():
            if margin <= 0:
                raise ValueError(f"the margin of '{metric}' must be above 0, got {margin}")
        return margins


class _PaperFile(_PaperHead):
    tables: tuple[str, ...]


class Paper(_PaperHead):
    """A paper with its tables, by name in the paper's order, and its claims."""

    tables: dict[str, PaperTable]
    claims: tuple[Claim, ...]

    def table(self, name: str) -> PaperTable:
        """Return a table by its name; UserError with the nearest name where there is none."""
        if name not in self.tables:
            raise UserError(f"{self.paper}: there is no table '{name}'{suggest(name, self.tables)}")
        return self.tables[name]


class PaperNumber(NamedTuple):
    """A printed number with the words that identify it; ``value`` keeps the printed digits."""

    table: str
    method: str
    dataset: str
    metric: str
    value: str


def short_title(configs: Path, paper: str) -> str:
    """Return what a paper is called in short; UserError where it is not there or its file is wrong."""
    return _load_head(Path(configs) / "papers", paper).short_title


def _load_head(home: Path, paper: str) -> _PaperFile:
    known = sorted(path.parent.name for path in home.glob("*/paper.yaml"))
    if paper not in known:
        raise UserError(f"{home}: there is no paper '{paper}'{suggest(paper, known)}")
    file = load_model(_PaperFile, home / paper / "paper.yaml", "paper")
    _same(home / paper / "paper.yaml", "paper", file.paper, paper)
    return file


def load_paper(configs: Path, paper: str) -> Paper:
    """Read ``<configs>/papers/<paper>/`` and check it as a whole.

    Raises UserError, naming file and key, for anything unknown, missing, of a wrong type or pointing nowhere.
    """
    home = Path(configs) / "papers"
    file = _load_head(home, paper)
    tables = {name: _load_table(home / paper / f"{name}.yaml", paper, name) for name in file.tables}
    claims_path = home / paper / "claims.yaml"
    claims = load_model(_Claims, claims_path, "claims")
    _same(claims_path, "paper", claims.paper, paper)
    result = Paper(**{**dict(file), "tables": tables, "claims": claims.claims})
    _check_claims(result, claims_path)
    return result


def printed_values(paper: Paper) -> list[PaperNumber]:
    """Return every printed number of a paper in reading order; entries that are no numbers are left out.

    The dataset is the column group's id, which tells apart one dataset used in several settings
    (``crema_d_scratch``, ``crema_d_pretrained``).
    """
    return [
        PaperNumber(
            table=table.table,
            method=row.method_title or row.id,
            dataset=table.group(row.id, column.id).id,
            metric=column.id.rpartition(".")[2],
            value=table.value(row.id, column.id).number,
        )
        for table in paper.tables.values()
        for row in table.rows
        for column in table.columns
        if table.value(row.id, column.id).kind == "number"
    ]


def _load_table(path: Path, paper: str, name: str) -> PaperTable:
    table = load_model(PaperTable, path, "paper table")
    _same(path, "paper", table.paper, paper)
    _same(path, "table", table.table, name)
    return table


def _same(path: Path, key: str, value: str, expected: str) -> None:
    if value != expected:
        raise UserError(f"{path}: '{key}' is '{value}', must be '{expected}' as in the file's place")


def _check_claims(paper: Paper, path: Path) -> None:
    seen: set[str] = set()
    for claim in paper.claims:
        if claim.id in seen:
            raise UserError(f"{path}: the claim '{claim.id}' is given twice")
        seen.add(claim.id)
        if claim.test.kind == "untested":
            continue
        try:
            table = paper.table(claim.test.table)
            for column in claim.test.columns:
                table.column(column)
            for row in (claim.test.row, *claim.test.than):
                table.row(row)
        except UserError as error:
            raise UserError(f"{path}: the claim '{claim.id}': {error}") from error


Found = TypeVar("Found", Column, Row)


def _find(items: dict[str, Found], name: str, where: str, what: str) -> Found:
    if name not in items:
        raise UserError(f"{where}: there is no {what} '{name}'{suggest(name, items)}")
    return items[name]
