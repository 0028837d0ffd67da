"""Tables of one's own: rows are methods, columns are datasets, and no paper prints anything.

They have the form of a paper's tables under the name ``own``, so that whatever lays out, shows and traces a paper's
tables does the same for them.
"""

from __future__ import annotations

from collections.abc import Iterable

from counterpoise.errors import UserError, suggest
from counterpoise.metrics import METRICS
from counterpoise.papers.head import OWN
from counterpoise.papers.paper import Paper
from counterpoise.papers.tables import PaperTable


def own_paper(tables: Iterable[PaperTable]) -> Paper:
    """Return what stands in the place of a paper for tables of one's own.

    Raises:
        UserError: a column's metric is none.
    """
    named = {table.table: table for table in tables}
    for table in named.values():
        for column in table.columns:
            if column.metric not in METRICS:
                raise UserError(
                    f"own.{table.table}: the column '{column.id}' is of '{column.metric}', which is no metric"
                    f"{suggest(column.metric, METRICS)}"
                )
    return Paper(
        paper=OWN,
        short_title="Own tables",
        title="Tables of one's own",
        authors=("ours",),
        venue="not published",
        year=0,
        url="",
        printed_runs=1,
        printed_runs_reason="nothing is printed",
        margins={},
        margins_reason="nothing is printed",
        tables=named,
        claims=(),
    )
