"""Reading the small text files that say which clips there are: split lists and labels."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.data.sources import impostor_of
from counterpoise.errors import UserError, suggest

# The largest list of the datasets has 0.8 MB.
MAX_BYTES = 1 << 28


def read_text(path: Path, what: str) -> str:
    """Return the text of ``path``, without a byte order mark; ``what`` names it in the error line."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: the {what} is not a file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: the {what} has {path.stat().st_size} bytes; it is no list")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: the {what} is not there") from error
    except OSError as error:
        raise UserError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    other = impostor_of(content[:512])
    if other is not None:
        raise UserError(f"{path}: the {what} is {other}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the {what} is not text in UTF-8 (byte {error.start})") from error


def read_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """Return the lines that are not blank, stripped, each with its number; none at all is an error."""
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path, what).splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise UserError(f"{path}: the {what} is empty")
    return lines


def read_rows(path: Path, fields: int, what: str, delimiter: str = ",") -> list[list[str]]:
    """Return the lines of a delimited file that are not blank, each split into ``fields`` fields.

    Raises ``UserError`` naming the line that has another number of fields.
    """
    rows = []
    for number, row in _csv_rows(path, what, delimiter):
        if len(row) != fields:
            raise UserError(
                f"{path}: line {number} has {len(row)} fields, {fields} expected ({what}); fields are separated by "
                f"{'tabs' if delimiter == chr(9) else repr(delimiter)}, the line begins {delimiter.join(row)[:60]!r}"
            )
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: the {what} is empty")
    return rows


def read_table(path: Path, columns: Sequence[str], what: str) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV file below its heading, each with its number, by the names of ``columns``.

    Other columns may be there, too. Raises ``UserError`` naming a column or a line that is not as it should be.
    """
    rows = list(_csv_rows(path, what, ","))
    if not rows:
        raise UserError(f"{path}: the {what} is empty")
    heading = rows[0][1]
    for column in columns:
        if column not in heading:
            raise UserError(
                f"{path}: the {what} has no column '{column}' (fields are separated by ','); "
                f"its columns: {', '.join(heading)[:300]}"
            )
    table = []
    for number, row in rows[1:]:
        if len(row) != len(heading):
            raise UserError(
                f"{path}: line {number} has {len(row)} fields, the heading {len(heading)} ({what}); fields are "
                f"separated by ',', the line begins {','.join(row)[:60]!r}"
            )
        table.append((number, dict(zip(heading, row, strict=True))))
    return table


def _csv_rows(path: Path, what: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the number and the stripped fields of every line that is not blank."""
    reader = csv.reader(read_text(path, what).splitlines(), delimiter=delimiter)
    try:
        rows = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is not a line of fields ({error})") from error
    return [(number, row) for number, row in rows if any(row)]


def read_json(path: Path, what: str) -> Any:
    """Return the content of a JSON file of a dataset."""
    try:
        return json.loads(read_text(path, what))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: the {what} is truncated or not JSON ({error})") from error


def label(value: str, classes: Mapping[str, int], path: Path, line: str) -> int:
    """Return the class of a label's text; an unknown one is an error naming file and line."""
    if value not in classes:
        raise UserError(f"{path}: {line}: unknown label '{value}'{suggest(value, classes)}")
    return classes[value]


def number(value: str, path: Path, line: str) -> float:
    """Return ``value`` as a number, which may be NaN; anything else is an error naming file and line."""
    try:
        found = float(value)
    except ValueError as error:
        raise UserError(f"{path}: {line}: '{value}' is not a number") from error
    if math.isinf(found):
        raise UserError(f"{path}: {line}: {value} is not a finite number")
    return found


def whole_number(value: str, path: Path, line: str, minimum: int = 0, maximum: int | None = None) -> int:
    """Return ``value`` as an integer within bounds; anything else is an error naming file and line."""
    try:
        found = int(value)
    except ValueError as error:
        raise UserError(f"{path}: {line}: '{value}' is not a whole number") from error
    if found < minimum or (maximum is not None and found > maximum):
        allowed = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
        raise UserError(f"{path}: {line}: {found}; allowed: {allowed}")
    return found
