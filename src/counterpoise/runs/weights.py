"""The weights that a run keeps, for what is made of them: runs that start from it, probes, measurements."""

from __future__ import annotations

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.models.network import Network
from counterpoise.results.record import read_record
from counterpoise.runs.run import Run

WEIGHTS = "weights.safetensors"


def weights_bytes(network: Network) -> bytes:
    """Return a network's state as the content of a file."""
    state = {name: value.detach().to("cpu").contiguous() for name, value in network.state_dict().items()}
    return safetensors.torch.save(state)


def read_weights(run: Run) -> dict[str, Tensor]:
    """Return the network's state at the end of a run.

    Raises:
        UserError: the run is not there, diverged, or its weights are not those that its record names.
    """
    record = read_record(run.folder, run.cell.key, run.seed)
    if record.status != "completed":
        raise UserError(f"{run.folder}: this run's weights are of no use: {record.status}, {record.reason}")
    path = run.folder / WEIGHTS
    expected = record.files.get(WEIGHTS)
    if expected is None or not path.is_file():
        raise UserError(f"{path}: is not there; train {run.name} again, keeping weights")
    if sha256_file(path) != expected:
        raise UserError(f"{path}: was changed or truncated: its digest is not the record's; train it again")
    try:
        return safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise UserError(
            f"{path}: holds no readable weights ({error}), although its record names this very file; "
            f"delete {run.folder} and run the same command again"
        ) from error
