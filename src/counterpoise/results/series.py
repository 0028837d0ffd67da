"""Series that a run left in its folder (history, diagnostics, measurements): CSV files of numbers, plain or gzipped."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import UserError
from counterpoise.files import read_bytes, unpack_gzip

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
    packed = path.with_name(f"{path.name}.gz")
    if path.is_file():
        text = _text(path)
    elif packed.is_file():
        path, text = packed, _text(packed)
    else:
        return {}
    names, *rows = csv.reader(io.StringIO(text, newline="")) if text.strip() else [[]]
    if not names:
        raise UserError(f"{path}: is empty, must have a header")
    try:
        table = np.array([[float(field or "nan") for field in row] for row in rows], dtype=np.float64)
        return dict(zip(names, table.reshape(len(rows), len(names)).T, strict=True))
    except ValueError as error:
        raise UserError(f"{path}: not a table of numbers: {error}") from error


def _text(path: Path) -> str:
    content = read_bytes(path, "series", LARGEST)
    if path.suffix == ".gz":
        content = unpack_gzip(content, path, LARGEST)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the series is not UTF-8 text (byte {error.start})") from error
