"""Reading the small text files that say which clips there are: split lists and labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError, suggest


def read_text(path: Path, what: str) -> str:
    """Return the text of ``path``, without a byte order mark; ``what`` names it in the error line."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: the {what} is not there") from error
    except OSError as error:
        raise UserError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the {what} is not text (byte {error.start})") from error


def read_rows(path: Path, fields: int, what: str, delimiter: str = ",") -> list[list[str]]:
    """Return the non-empty lines of a delimited file, each split into ``fields`` fields.

    Raises ``UserError`` naming the line that has another number of fields.
    """
    rows = []
    for number, row in enumerate(csv.reader(read_text(path, what).splitlines(), delimiter=delimiter), start=1):
        if not row:
            continue
        if len(row) != fields:
            raise UserError(f"{path}: line {number} has {len(row)} fields, {fields} expected ({what})")
        rows.append([field.strip() for field in row])
    if not rows:
        raise UserError(f"{path}: the {what} is empty")
    return rows


def read_json(path: Path, what: str) -> Any:
    """Return the content of a JSON file of a dataset."""
    try:
        return json.loads(read_text(path, what))
    except ValueError as error:
        raise UserError(f"{path}: the {what} is truncated or not JSON ({error})") from error


def label(value: str, classes: Mapping[str, int], path: Path, line: str) -> int:
    """Return the class of a label's text; an unknown one is an error naming file and line."""
    if value not in classes:
        raise UserError(f"{path}: {line}: unknown label '{value}'{suggest(value, classes)}")
    return classes[value]


def whole_number(value: str, path: Path, line: str, minimum: int = 0, maximum: int | None = None) -> int:
    """Return ``value`` as an integer within bounds; anything else is an error naming file and line."""
    try:
        number = int(value)
    except ValueError as error:
        raise UserError(f"{path}: {line}: '{value}' is not a whole number") from error
    if number < minimum or (maximum is not None and number > maximum):
        allowed = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
        raise UserError(f"{path}: {line}: {number}; allowed: {allowed}")
    return number
