"""Runs that others start from: the weights that a run keeps, and how the next one reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.models.network import Network
from counterpoise.runs.record import read_record

WEIGHTS = "weights.safetensors"

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class ParentCell:
    """A cell whose runs another cell's runs start from, seed by seed."""

    directory: Path
    key: str

    def weights(self, seed: int) -> Weights:
        """Return the network's state at the end of the run of one seed.

        Raises:
            UserError: the run is not there, diverged, or its weights are not those that its record names.
        """
        return read_weights(self.directory / f"seed-{seed}", self.key, seed)


def write_weights(folder: Path, network: Network) -> None:
    """Write a network's state into a run's folder."""
    state = {name: value.detach().to("cpu").contiguous() for name, value in network.state_dict().items()}
    files.write_bytes(folder / WEIGHTS, safetensors.torch.save(state))


def read_weights(folder: Path, key: str, seed: int) -> Weights:
    """Read what :func:`write_weights` wrote; see :meth:`ParentCell.weights`."""
    record = read_record(folder, key, seed)
    if record["status"] != "completed":
        raise UserError(f"{folder}: this run's weights are of no use: {record['status']}, {record['reason']}")
    path = folder / WEIGHTS
    expected = record["files"].get(WEIGHTS)
    if expected is None or not path.is_file():
        raise UserError(f"{path}: is not there; train {folder.parent.name} seed {seed} again, keeping weights")
    if files.sha256_file(path) != expected:
        raise UserError(f"{path}: was changed or truncated: its digest is not the record's; train it again")
    try:
        return safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise UserError(
            f"{path}: holds no readable weights ({error}), although its record names this very file; "
            f"delete {folder} and run the same command again"
        ) from error
