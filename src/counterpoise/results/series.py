"""Series that a run left in its folder (history, diagnostics, measurements): CSV files of numbers, plain or gzipped."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import UserError
from counterpoise.results.run_files import read_run_file

Columns = dict[str, NDArray[np.float64]]
LARGEST = 256 * 1024 * 1024
"""No series of ours has more bytes, packed or not."""


def read_series(path: Path) -> Columns:
    """Return the columns ``(T,)`` of a CSV of numbers, an empty field as NaN.

    Where ``path`` is not there, ``<path>.gz`` is read (published records keep series compressed); where neither is,
    the answer is empty.

    Raises:
        UserError: it is no table of numbers, or larger than :data:`LARGEST`.
    """
    content = read_run_file(path.parent, path.name, largest=LARGEST)
    return {} if content is None else parse_series(content, path)


def parse_series(content: bytes, path: Path) -> Columns:
    """Return the columns ``(T,)`` of a CSV of numbers; ``path`` names it in errors, which name the line too."""
    columns, _ = parse_labelled(content, path, "")
    return columns


def parse_labelled(content: bytes, path: Path, label: str) -> tuple[Columns, tuple[str, ...]]:
    """Return the columns ``(T,)`` of a CSV of numbers but for the one called ``label``, and that one's words.

    Raises:
        UserError: it is no such table; names the line.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the series is not UTF-8 text (byte {error.start})") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    rows, labels = [], []
    try:
        names = next(reader, None)
        if not names:
            raise UserError(f"{path}: is empty, must have a header")
        at = names.index(label) if label in names else len(names)
        for row in reader:
            if len(row) != len(names):
                raise UserError(f"{path}:{reader.line_num}: has {len(row)} fields, must have {len(names)}")
            labels += row[at : at + 1]
            rows.append([float(field or "nan") for field in row[:at] + row[at + 1 :]])
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{reader.line_num}: not a table of numbers: {error}") from error
    numbers = names[:at] + names[at + 1 :]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(numbers))
    return {name: table[:, place] for place, name in enumerate(numbers)}, tuple(labels)
