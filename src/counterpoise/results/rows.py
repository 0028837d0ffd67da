"""CSV files with a header: the one writer, and the one reader of comparisons, tables and revisions as rows of text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from counterpoise.errors import UserError
from counterpoise.path_names import control_character, printable

Row = Mapping[str, str]
# Older records have 'MMPareto [released]' for what is 'MMPareto (released)' now.
_SQUARE = re.compile(r" \[(\w+)\]$")


def as_csv(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """Return CSV text with a header and Unix line ends; what a record lacks is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def field_text(value: object) -> str:
    """Return six significant digits of a float, ``yes`` or ``no`` of a bool, nothing of None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def parse_rows(text: str, where: str, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a CSV text as mappings from column to text; a variant is in round brackets, as it is written.

    Raises:
        UserError: it has no header, a column is missing or there twice, a row has another number of fields than the
            header, or a field has a control character; names the line.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    rows = []
    try:
        names = next(reader, [])
        if not names or len(set(names)) < len(names):
            raise UserError(f"{where}: must begin with a line that names each column once")
        lacking = [column for column in columns if column not in names]
        if lacking:
            raise UserError(f"{where}: has no column '{lacking[0]}'")
        for fields in reader:
            if len(fields) != len(names):
                raise UserError(f"{where}:{reader.line_num}: has {len(fields)} fields, must have {len(names)}")
            if control_character(fields) is not None:
                raise UserError(
                    f"{where}:{reader.line_num}: has a control character: {printable(','.join(fields))[:60]}"
                )
            rows.append(dict(zip(names, (_SQUARE.sub(r" (\1)", field) for field in fields), strict=True)))
    except csv.Error as error:
        raise UserError(f"{where}:{reader.line_num}: not readable as CSV: {error}") from error
    return rows


def number(row: Row, column: str, where: str) -> float:
    """Return a field as a finite number; UserError where it is none."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: '{column}' is '{row[column][:60]}', must be a finite number")
    return value


def whole_number(row: Row, column: str, where: str) -> int:
    """Return a field as a whole number, 0 or more; UserError where it is none."""
    text = row[column]
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise UserError(f"{where}: '{column}' is '{text[:60]}', must be a whole number, 0 or more")
    return int(text)


def one_of(row: Row, column: str, allowed: tuple[str, ...], where: str) -> str:
    """Return a field that must be one of some words; UserError where it is another."""
    if row[column] not in allowed:
        raise UserError(f"{where}: '{column}' is '{row[column][:60]}', must be {' or '.join(allowed)}")
    return row[column]
