"""The names of numbers: ``<paper>.<table>.<row>.<column>``, and what is meant by one."""

from __future__ import annotations

import re

from counterpoise.errors import UserError, suggest
from counterpoise.results.layout import Layout, LayoutValue

_VARIANT = re.compile(r"(?P<row>.+?)\s*(?:@(?P<at>\w+)|[(\[](?P<in_brackets>\w+)[)\]])")


def number_name(paper: str, table: str, row: str, variant: str | None, column: str) -> str:
    """Return ``<paper>.<table>.<row>.<column>``, the row with its variant where it has several."""
    return f"{paper}.{table}.{row if variant is None else f'{row}@{variant}'}.{column}"


def value_name(value: LayoutValue) -> str:
    """Return the name of a place of a table."""
    return number_name(value.paper, value.table, value.row, value.variant, value.column)


def find_values(layout: Layout, name: str) -> list[LayoutValue]:
    """Return the places, one per variant, that a number's name means.

    The row is given by its id, as printed or with ``_`` for spaces and in any case, or by its method's name;
    a variant is chosen as in ``MMPareto@released`` or, as tables write it, ``MMPareto (released)``; older ones have
    ``[released]``.

    Raises:
        UserError: the benchmark has no such number; says which part is unknown and the nearest right one.
    """
    parts = name.split(".", 3)
    if len(parts) < 4 or not all(parts):
        raise UserError(
            f"{name}: must be <paper>.<table>.<row>.<column>, for example mmpareto.table3.MMPareto.cg_mnist.accuracy"
        )
    paper, table, row, column = parts
    tables = [f"{known.paper}.{known.table}" for known in layout.tables]
    if f"{paper}.{table}" not in tables:
        raise UserError(
            f"{name}: '{paper}.{table}' is not in the benchmark '{layout.name}'{suggest(f'{paper}.{table}', tables)}"
        )
    values = layout.values_of(paper, table)
    is_row = _plain(row) in {_plain(value.row) for value in values}  # some are called so: 'Ours (small)'
    match = None if is_row else _VARIANT.fullmatch(row)
    row, variant = (match["row"], match["at"] or match["in_brackets"]) if match else (row, None)
    row = _row(layout, values, row, name)
    columns = list(dict.fromkeys(value.column for value in values))
    if column not in columns:
        raise UserError(f"{name}: there is no column '{column}'{suggest(column, columns)}")
    at_place = [value for value in values if (value.row, value.column) == (row, column)]
    variants = {_variant(layout, value): value for value in at_place}
    if variant is not None and variant not in variants:
        raise UserError(f"{name}: the row is not run in the variant '{variant}'{suggest(variant, variants)}")
    return at_place if variant is None else [variants[variant]]


def _row(layout: Layout, values: list[LayoutValue], wanted: str, name: str) -> str:
    """Return the id of the row that is meant by its id, by its id in other letters, or by its method's name."""
    ids = list(dict.fromkeys(value.row for value in values))
    methods = [(layout.cells[value.cell].method, value.row) for value in values if value.cell is not None]
    same = [row for row in ids if row == wanted] or [row for row in ids if _plain(row) == _plain(wanted)]
    same = same or list(dict.fromkeys(row for method, row in methods if method == wanted))
    if len(same) != 1:
        what = f"there is no row '{wanted}' in this benchmark" if not same else f"'{wanted}' is {len(same)} rows"
        raise UserError(f"{name}: {what}{suggest(wanted, same or ids)}")
    return same[0]


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).casefold()


def _variant(layout: Layout, value: LayoutValue) -> str:
    if value.variant is not None:
        return value.variant
    return "published" if value.cell is None else layout.cells[value.cell].variant
