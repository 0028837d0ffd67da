"""A run's record: the one description of what was trained, how it ended, on what, and which files it left."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.errors import UserError
from counterpoise.files import read_json, write_json
from counterpoise.path_names import FileName, Sha256
from counterpoise.results.run_files import RECORD
from counterpoise.validation import validate

SCHEMA = 2


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Git(_Stored):
    """The commit of the working folder, and whether tracked files differed from it; None outside of Git."""

    commit: str | None
    dirty: bool | None


class Attempt(_Stored):
    """One process that trained the run or a part of it: from which step on, where, with which command.

    ``environment`` names what of the machine and its software a result depends on (device, threads, versions).
    """

    started: str
    host: str
    command: str
    git: Git
    environment: dict[str, Any]
    epoch: int = Field(0, ge=0)
    step: int = Field(0, ge=0)


class Identity(_Stored):
    """What a run's key is the digest of: configuration, source, and the key of its prepared data."""

    config: dict[str, Any]
    source: str
    data: str


class Selected(_Stored):
    """The epoch that a selection rule chose, and its accuracy by that rule."""

    epoch: int
    accuracy: float | None


class RunRecord(_Stored):
    """A finished run.

    ``attempts`` lists every process that contributed to it, the last one last. ``seconds`` counts what all of them
    trained. ``selections`` maps a selection rule to what it chose, ``output_targets`` and ``output_kinds`` each
    output to its target and the target's kind. ``raw_data`` is the digest of the raw files that the prepared data was
    made from: it is not in the key, because raw files are there only once they were fetched. ``files`` has the digests
    of the files beside the record.
    """

    schema_version: Literal[2] = Field(2, alias="schema")
    key: str
    seed: int = Field(ge=0)
    identity: Identity
    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    prepared_data: str
    raw_data: str
    status: Literal["completed", "diverged"]
    reason: str | None = None
    epochs_run: int = Field(ge=0)
    steps_run: int = Field(ge=0)
    seconds: float = Field(ge=0)
    finished: str
    selections: dict[str, Selected] = {}
    output_targets: dict[str, str]
    output_kinds: dict[str, str]
    n_test: int = Field(gt=0)
    parameters: int = Field(ge=0)
    weights_sha256: str
    attempts: tuple[Attempt, ...] = Field(min_length=1)
    files: dict[FileName, Sha256]

    @property
    def resumed(self) -> bool:
        """Whether more than one process trained it."""
        return len(self.attempts) > 1

    @property
    def environment(self) -> dict[str, Any]:
        """The machine and software of the process that finished it."""
        return self.attempts[-1].environment

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is in its file."""
        return self.model_dump(mode="json", by_alias=True)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write ``record.json`` into a run's folder."""
    write_json(folder / RECORD, record.as_json())


def read_record(folder: Path, key: str, seed: int) -> RunRecord:
    """Read ``record.json`` of the run in ``folder``.

    Raises:
        UserError: it is missing, torn, of another schema, or of a run with another key or seed.
    """
    path = Path(folder) / RECORD
    data = read_json(path, "run record")
    for name, expected in (("schema", SCHEMA), ("key", key), ("seed", seed)):
        value = data.get(name) if isinstance(data, dict) else None
        if value != expected:
            raise UserError(
                f"{path}: '{name}' is {value!r}, must be {expected!r} as in its path; delete {folder} to run again"
            )
    return validate(RunRecord, data, str(path))


def data_problem(record: RunRecord, manifest: Mapping[str, Any]) -> str:
    """Return in what the prepared data of a run's name is not what it was trained on; empty where it is, or not known.

    Args:
        manifest: that of the prepared data that is there now, empty where there is none.
    """
    now = manifest.get("raw", {}).get("digest")
    if now in (None, record.raw_data):
        return ""
    return f"it was trained on {record.prepared_data} when that was made from other raw files than now"


def absent_files(folder: Path, record: RunRecord) -> list[str]:
    """Return the names of the files that a record lists and that are not beside it."""
    return [name for name in record.files if not os.path.isfile(os.path.join(folder, name))]
