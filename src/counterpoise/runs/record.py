"""A run's record: whether it is the run that its path says, and which files it lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json

SCHEMA = 1
RECORD = "record.json"


def read_record(folder: Path, key: str, seed: int) -> dict[str, Any]:
    """Read ``record.json`` of the run in ``folder``.

    Raises:
        UserError: it is missing, torn, of another schema, or of a run with another key or seed.
    """
    path = Path(folder) / RECORD
    record = read_json(path, "run record")
    for name, expected in (("schema", SCHEMA), ("key", key), ("seed", seed)):
        value = record.get(name) if isinstance(record, dict) else None
        if value != expected:
            raise UserError(
                f"{path}: '{name}' is {value!r}, must be {expected!r} as in its path; delete {folder} to run again"
            )
    listed = record.get("files")
    if not isinstance(listed, dict) or any("/" in name or name in ("", ".", "..") for name in listed):
        raise UserError(f"{path}: 'files' must map the names of the run's files to their digests")
    return record


def absent_files(folder: Path, record: dict[str, Any]) -> list[str]:
    """Return the names of the files that a record lists and that are not beside it."""
    return [name for name in record["files"] if not os.path.isfile(os.path.join(folder, name))]
