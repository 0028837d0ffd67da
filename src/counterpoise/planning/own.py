"""A benchmark's table of its own, laid out as a paper's table is: a row for each method, a column for each dataset."""

from __future__ import annotations

from counterpoise.components import component
from counterpoise.errors import UserError, suggest
from counterpoise.metrics import METRICS
from counterpoise.papers.head import OWN
from counterpoise.papers.tables import Column, ColumnGroup, PaperTable, Row
from counterpoise.planning.benchmark import OwnColumn, OwnRow, OwnTable
from counterpoise.planning.resolve import Resolver
from counterpoise.validation import validate


def own_table(resolver: Resolver, table: OwnTable) -> PaperTable:
    """Return the table without a number in it.

    Raises:
        UserError: a name, metric or output that there is not, or two rows of one title.
    """
    where = f"{resolver.path}: table {OWN}.{table.own}"
    rows = [_row(row, f"{where}: rows") for row in table.rows]
    columns, groups = [], []
    for name, column in table.columns.items():
        resolver.check_column(column, f"{where}: columns.{name}")
        columns.append(_column(resolver, name, column, f"{where}: columns.{name}"))
        title = resolver.configs.dataset(column.dataset).title
        same = sum(other.dataset == column.dataset for other in table.columns.values())
        heading = (title if same == 1 else f"{title} ({name})",)
        groups.append(ColumnGroup(id=name, heading=heading, dataset=column.dataset))
    data = {
        "paper": OWN,
        "table": table.own,
        "title": table.title or "Methods compared with each other",
        "section": "",
        "caption": "",
        "unprinted": "a table of one's own",
        "groups": groups,
        "columns": columns,
        "rows": rows,
    }
    return validate(PaperTable, data, where)


def _row(row: OwnRow, where: str) -> Row:
    # A dot would end the row's name in the name of a value (own.table.row.column).
    named = component("method", row.method, where).info.title
    title = (row.title or ", ".join([named, *row.settings.values()])).replace(".", " ")
    return Row(id=title, title=title, method=row.method, settings=row.settings)


def _column(resolver: Resolver, name: str, column: OwnColumn, where: str) -> Column:
    if column.metric not in METRICS:
        raise UserError(f"{where}.metric: '{column.metric}' is no metric{suggest(column.metric, METRICS)}")
    metric, outputs = METRICS[column.metric], resolver.outputs(column.dataset, column.model)
    output = column.output or (outputs[0] if "joint" in outputs or len(outputs) == 1 else "")
    if output not in outputs:
        raise UserError(f"{where}.output: '{output}' is no output of what runs there{suggest(output, outputs)}")
    return Column(
        id=f"{name}.{metric.name}",
        title=metric.title,
        metric=metric.name,
        group=name,
        output=output,
        better=metric.better,
        unit=metric.unit,
    )
