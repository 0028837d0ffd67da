"""The state of an unfinished run on disk: whole, of this very run, or not taken.

Each save is a numbered pair, the tensors as safetensors and beside them a JSON file with their digest, the run's key
and seed and everything that is not a tensor. The JSON is written last, so a pair with one is complete. The previous
pair is kept until the next save, so there is always a good state to go back to. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch

from counterpoise import files
from counterpoise.engine.state import RunState
from counterpoise.errors import UserError

SCHEMA = 1
KEPT = 2


class Checkpoints:
    """The saved states of one run, below ``work/<cell>/seed-<n>/``."""

    def __init__(self, folder: Path, key: str, seed: int, raw_data: str) -> None:
        self.folder = Path(folder)
        self.key = key
        self.seed = seed
        self.raw_data = raw_data

    def save(self, state: RunState) -> None:
        """Save a state and drop all but the newest :data:`KEPT`."""
        number = max(self._numbers(), default=0) + 1
        tensors = self._path(number, "safetensors")
        contiguous = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in state.tensors.items()}
        files.write_bytes(tensors, safetensors.torch.save(contiguous))
        identity = {
            "schema": SCHEMA,
            "key": self.key,
            "seed": self.seed,
            "raw_data": self.raw_data,
            "sha256": files.sha256_file(tensors),
            "tensors": list(state.tensors),
            "state_sha256": _digest(state.plain),
        }
        # In their order, not sorted: it becomes that of columns and arrays in what the run publishes.
        files.write_json(self._path(number, "json"), identity | {"state": state.plain}, sort_keys=False)
        for old in sorted(self._numbers())[:-KEPT]:
            self._path(old, "json").unlink()
            self._path(old, "safetensors").unlink(missing_ok=True)

    def load(self) -> tuple[RunState | None, list[str]]:
        """Return the newest whole state of this run, if any, and a line for each that was passed over."""
        passed_over: list[str] = []
        for number in sorted(self._numbers(), reverse=True):
            try:
                return self._read(number), passed_over
            except UserError as error:
                passed_over.append(str(error))
        return None, passed_over

    def remove(self) -> None:
        """Delete all states: the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, number: int) -> RunState:
        path = self._path(number, "json")
        found = files.read_json(path, "run state")
        expected = {"schema": SCHEMA, "key": self.key, "seed": self.seed, "raw_data": self.raw_data}
        for name, value in expected.items():
            if not isinstance(found, dict) or found.get(name) != value:
                raise UserError(f"{path}: not the state of this run: '{name}' is not {value!r}")
        tensors = self._path(number, "safetensors")
        if _digest(found.get("state")) != found.get("state_sha256"):
            raise UserError(f"{path}: torn: its digest is not the one noted when it was saved")
        if not tensors.is_file() or files.sha256_file(tensors) != found["sha256"]:
            raise UserError(f"{tensors}: torn or missing: its digest is not the one noted when it was saved")
        stored = safetensors.torch.load(tensors.read_bytes())
        return RunState({name: stored[name] for name in found["tensors"]}, found["state"])

    def _numbers(self) -> list[int]:
        # Programs that copy folders put names of their own there: 'state-000003 (conflict).json'.
        numbers = (path.stem.removeprefix("state-") for path in self.folder.glob("state-*.json"))
        return [int(number) for number in numbers if number.isdecimal()]

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"state-{number:06d}.{suffix}"


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()
