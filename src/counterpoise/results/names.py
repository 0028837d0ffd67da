"""Names of numbers: ``<paper>.<table>.<row>.<column>``, as commands take them and print them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from counterpoise.errors import UserError, suggest
from counterpoise.results.layout import Layout, LayoutValue

EXAMPLE = "mmpareto.table3.MMPareto.cg_mnist.accuracy"
_VARIANT = re.compile(r"(?P<row>.+?)\s*(?:@(?P<at>\w+)|\[(?P<bracketed>\w+)\])")


def number_name(value: LayoutValue) -> str:
    """Return a number's name, with the variant where its row is run in several."""
    row = value.row if value.variant is None else f"{value.row}@{value.variant}"
    return f"{value.paper}.{value.table}.{row}.{value.column}"


def find_values(layout: Layout, name: str) -> list[LayoutValue]:
    """Return the places that a number's name means: one for each variant of the row that is run.

    The row is given as printed, with ``_`` for spaces and in any case, or by its method's name; a variant is chosen as
    in ``MMPareto@released`` or ``MMPareto [released]``.

    Raises:
        UserError: there is no such number; names the part that is unknown and the nearest right one.
    """
    parts = name.split(".", 3)
    if len(parts) < 4 or not all(parts):
        raise UserError(f"{name}: must be <paper>.<table>.<row>.<column>, for example {EXAMPLE}")
    paper, table, row, column = parts
    _check(paper, layout.papers, f"{name}: no paper '{paper}' in the benchmark '{layout.name}'")
    tables = [found.table for found in layout.tables if found.paper == paper]
    _check(table, tables, f"{name}: no table '{table}' of '{paper}' in the benchmark '{layout.name}'")
    values = layout.values_of(paper, table)
    match = _VARIANT.fullmatch(row)
    row, variant = (match["row"], match["at"] or match["bracketed"]) if match else (row, None)
    row = _row(layout, values, row, name)
    columns = [value.column for value in values if value.row == row]
    _check(column, columns, f"{name}: {paper}.{table} has no column '{column}'")
    found = {_variant(layout, v): v for v in values if (v.row, v.column) == (row, column)}
    if variant is None:
        return list(found.values())
    _check(variant, found, f"{name}: the row is not run in the variant '{variant}'")
    return [found[variant]]


def _check(wanted: str, known: Mapping[str, object] | list[str] | tuple[str, ...], what: str) -> None:
    if wanted not in known:
        raise UserError(f"{what}{suggest(wanted, list(dict.fromkeys(known)))}")


def _variant(layout: Layout, value: LayoutValue) -> str:
    return value.variant or (layout.cells[value.cell].variant if value.cell else "published")


def _row(layout: Layout, values: list[LayoutValue], wanted: str, name: str) -> str:
    rows = list(dict.fromkeys(value.row for value in values))
    same = [row for row in rows if row == wanted] or [row for row in rows if _plain(row) == _plain(wanted)]
    if not same:
        methods = [(layout.cells[value.cell].method, value.row) for value in values if value.cell]
        same = list(dict.fromkeys(row for method, row in methods if method == wanted))
    if len(same) != 1:
        what = f"there is no row '{wanted}'" if not same else f"'{wanted}' is {len(same)} rows"
        raise UserError(f"{name}: {what}{suggest(wanted, same or rows)}")
    return same[0]


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).casefold()
