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
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the series is not UTF-8 text (byte {error.start})") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = []
    try:
        names = next(reader, None)
        if not names:
            raise UserError(f"{path}: is empty, must have a header")
        for row in reader:
            if len(row) != len(names):
                raise UserError(f"{path}:{reader.line_num}: has {len(row)} fields, must have {len(names)}")
            rows.append([float(field or "nan") for field in row])
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{reader.line_num}: not a table of numbers: {error}") from error
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, place] for place, name in enumerate(names)}
