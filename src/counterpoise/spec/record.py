"""A run's record: which files a published run has, and whether a record is the run that its path says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json

SCHEMA = 1
PUBLISHED = ("record.json", "history.csv", "predictions.npz")


def read_record(folder: Path, key: str, seed: int) -> dict[str, Any]:
    """Read ``record.json`` of the run in ``folder``.

    Raises:
        UserError: it is missing, torn, of another schema, or of a run with another key or seed.
    """
    path = Path(folder) / "record.json"
    record = read_json(path, "run record")
    for name, expected in (("schema", SCHEMA), ("key", key), ("seed", seed)):
        value = record.get(name) if isinstance(record, dict) else None
        if value != expected:
            raise UserError(
                f"{path}: '{name}' is {value!r}, must be {expected!r} as in its path; "
                f"delete {folder} to run again"
            )
    return record
