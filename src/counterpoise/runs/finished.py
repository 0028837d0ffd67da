"""A finished run's network and data, as its probe and its measurements look at them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from counterpoise.components import load_class
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.exactness import exactness
from counterpoise.engine.splits import Splits, open_splits
from counterpoise.engine.training import shapes_and_classes
from counterpoise.identity import check_loaded
from counterpoise.models.build import build_architecture
from counterpoise.models.network import Network
from counterpoise.protocol import Protocol
from counterpoise.runs.run import Run
from counterpoise.runs.weights import read_weights


@contextlib.contextmanager
def opened(run: Run, device: torch.device) -> Iterator[tuple[Network, Splits]]:
    """Yield the network as the run left it, and the splits that it was trained on, under the run's exactness.

    Raises:
        UserError: the run, its weights or its data are not there or not what the record says, or the source was
            edited since the run was planned.
    """
    config = run.cell.config
    protocol = Protocol.model_validate(config["protocol"])
    data = PreparedData.open(run.data_folder)
    check_loaded(run.cell.modules, run.cell.source)
    with exactness(protocol, device):
        network = build_architecture(config["model"], *shapes_and_classes(config, data), 0, load_class)
        network.load_state_dict(read_weights(run))
        yield network.to(device), open_splits(config["model"], protocol, data, device)
