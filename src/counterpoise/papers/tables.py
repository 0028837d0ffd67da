"""The schema of a paper's tables: groups of columns, columns, rows, and the printed entries."""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import Literal, Self, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from counterpoise.errors import UserError, suggest
from counterpoise.metrics import UNITS, Better
from counterpoise.papers.data import NAME, PaperData, Unit
from counterpoise.papers.figures import Measurement
from counterpoise.papers.head import OWN, PaperHead
from counterpoise.papers.printed import UNPRINTED, PrintedValue


class ColumnGroup(PaperData):
    """Columns that share a dataset and a model; a benchmark says per group what runs there."""

    id: str = Field(pattern=NAME)
    heading: tuple[str, ...] = Field((), description="what is printed above the group, outermost first")
    dataset: str
    setup: str | None = Field(None, description="one of the paper's setups; None: every encoder starts at random")


class Column(PaperData):
    """One column of numbers: a metric of one output of the model."""

    id: str
    title: str
    metric: str = Field(description="one of counterpoise.metrics, or one that the paper declares")
    group: str | None = Field(None, description="None where the rows are datasets and name the group")
    output: str = "joint"
    better: Better = "higher"
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
        return UNITS[self.unit].scale


class Row(PaperData):
    """One printed line of a table."""

    id: str = Field(pattern=r"^[^.]+$", description="the name in traces; no dots")
    title: str = Field(description="the label as printed, with its star")
    method: str = Field(pattern=NAME)
    settings: dict[str, str] = Field({}, description="settings of the method that the row stands for")
    star: bool = False
    probe: bool = Field(False, description="its unimodal columns come from a probe of frozen encoders")
    group: str | None = Field(None, description="the column group, in tables whose rows are datasets")
    method_title: str | None = None
    values: dict[str, PrintedValue] = Field({})

    @field_validator("values", mode="before")
    @classmethod
    def _short_form(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {key: {"printed": value} if isinstance(value, str) else value for key, value in values.items()}


class PaperTable(PaperData):
    """A table of a paper: groups, columns, rows and the printed entries."""

    paper: str
    table: str = Field(pattern=NAME)
    title: str
    section: str
    caption: str
    notes: tuple[str, ...] = ()
    row_header: str = "Method"
    star_means: str = ""
    drops_against: str = Field("", description="the row against which the paper's (↓) marks a drop")
    unprinted: str = Field(
        "", description="why the paper gives no numbers here; then rows carry no values, but '-' where there is none"
    )
    measure: Measurement | None = Field(
        None, description="the measurement on the weights of finished runs that columns are made of"
    )
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
        if self.drops_against and self.drops_against not in self.row_ids:
            raise ValueError(
                f"'drops_against' is no row: '{self.drops_against}'{suggest(self.drops_against, self.row_ids)}"
            )
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
        if not self.drops_against and any(value.drop for value in row.values.values()):
            raise ValueError(f"the row '{row.id}' marks a drop, but 'drops_against' does not say against which row")
        if row.star and not self.star_means:
            raise ValueError(f"the row '{row.id}' has a star, but 'star_means' does not say what it means")
        known = self._columns_by_id
        for column, value in row.values.items():
            if column not in known:
                raise ValueError(
                    f"the row '{row.id}' has a value in an unknown column '{column}'{suggest(column, known)}"
                )
            if self.unprinted and value.kind != "not_applicable":
                raise ValueError(
                    f"the row '{row.id}' has '{value.printed}' in the column '{column}'; a table with 'unprinted' "
                    "has no values but '-', where there is none"
                )
        missing = [column for column in known if column not in row.values]
        if missing and not self.unprinted:
            raise ValueError(f"the row '{row.id}' has no value in the column '{missing[0]}'")

    @property
    def is_own(self) -> bool:
        """Whether it is one's own table, of no paper."""
        return self.paper == OWN

    @property
    def name(self) -> str:
        """What a sentence calls it: ``Table 3``."""
        return table_name(self.table)

    def column_name(self, column_id: str) -> str:
        """Return what a sentence calls a column: what stands above it, and its title (``CREMA-D Acc audio``).

        Where rows are datasets, a row has what stands above.
        """
        column = self.column(column_id)
        above = () if column.group is None else self._groups_by_id[column.group].heading
        return " ".join([*above, column.title])

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
    def _groups_by_id(self) -> dict[str | None, ColumnGroup]:
        return {group.id: group for group in self.groups}

    def row(self, row_id: str) -> Row:
        """Return a row by its id; UserError with the nearest id where there is none."""
        return _find(self._rows_by_id, row_id, f"{self.paper}.{self.table}", "row")

    def column(self, column_id: str) -> Column:
        """Return a column by its id; UserError with the nearest id where there is none."""
        return _find(self._columns_by_id, column_id, f"{self.paper}.{self.table}", "column")

    def group(self, row_id: str, column_id: str) -> ColumnGroup:
        """Return the column group that an entry belongs to: the row's in tables of datasets, else the column's.

        A row that the table does not have is one that a benchmark adds to it.
        """
        row = self._rows_by_id.get(row_id)
        name = (row.group if row else None) or self.column(column_id).group
        return self._groups_by_id[self.row(row_id).group if name is None else name]

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

    def margin(self, column_id: str, paper: PaperHead) -> float | None:
        """Return a column's equivalence margin in printed units, None where the metric has none.

        It is the smaller of what the paper's file declares for the metric and half the range of the printed numbers: a
        margin as wide as the differences between rows could tell none of them apart.
        """
        declared = paper.margins.get(self.column(column_id).metric)
        printed = [value for row in self.row_ids if (value := self.value(row, column_id).value) is not None]
        spread = max(printed) - min(printed) if printed else 0.0
        return declared if declared is None or spread == 0 else min(declared, spread / 2)

    @property
    def baseline(self) -> str:
        """The row that gains are printed over: where drops are marked against, or the uniform baseline's; or none."""
        named = {row.method: row.id for row in reversed(self.rows)}
        return self.drops_against or named.get("uniform") or named.get("joint", "")


def table_name(name: str) -> str:
    """Return ``Table 3`` for ``table3``, ``Figure 1a`` for ``figure1a``."""
    return re.sub(r"(?=\d)", " ", name.capitalize(), count=1).strip()


Found = TypeVar("Found", Column, Row)


def _find(items: dict[str, Found], name: str, where: str, what: str) -> Found:
    if name not in items:
        raise UserError(f"{where}: there is no {what} '{name}'{suggest(name, items)}")
    return items[name]
