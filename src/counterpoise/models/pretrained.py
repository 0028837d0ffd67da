"""Reading pretrained weights from disk: the published file, checked, or an error that says where to put it.

Nothing is downloaded while training: ``counterpoise fetch-weights`` does that before, from the publisher or a
mirror. A model that asks for weights never starts without them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from counterpoise.errors import UserError, suggest
from counterpoise.weights import WEIGHTS, check_digest

VARIABLE = "COUNTERPOISE_WEIGHTS"

State = dict[str, Tensor]


@dataclass(frozen=True)
class PretrainedWeights:
    """Folders in which weights are looked for, in order."""

    folders: tuple[Path, ...]

    @classmethod
    def default(cls, folder: Path | None = None) -> PretrainedWeights:
        """Return ``folder``, then ``$COUNTERPOISE_WEIGHTS``, then the cache that torch's own loaders fill."""
        named = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
        given = [] if folder is None else [Path(folder)]
        return cls((*given, *named, Path(torch.hub.get_dir()) / "checkpoints"))

    def state(self, name: str) -> State:
        """Return the tensors of the weights called ``name``, on the CPU.

        Raises:
            UserError: no folder has the file, or it is not the published one.
        """
        if name not in WEIGHTS:
            raise UserError(f"no pretrained weights '{name}'{suggest(name, WEIGHTS)}")
        weights = WEIGHTS[name]
        for folder in self.folders:
            path = folder / weights.file
            if path.is_file():
                check_digest(path, weights)
                return dict(torch.load(path, map_location="cpu", weights_only=True))
        places = " or ".join(str(folder) for folder in self.folders)
        raise UserError(
            f"pretrained weights '{name}' are not there: put {weights.file} into {places}; "
            f"published at {weights.url} ({weights.source}); or run: counterpoise fetch-weights {name}"
        )


def load_matching(module: nn.Module, state: State, what: str) -> None:
    """Load a state that must have exactly the module's entries; ``what`` names it in the error."""
    own = module.state_dict()
    wrong = sorted(set(own) ^ set(state))
    wrong += sorted(key for key in set(own) & set(state) if own[key].shape != state[key].shape)
    if wrong:
        key = wrong[0]
        shapes = [tuple(d[key].shape) if key in d else None for d in (state, own)]
        raise UserError(
            f"{what}: does not fit the model, {len(wrong)} entries differ; first '{key}': "
            f"{shapes[0]} in the file, {shapes[1]} in the model; set 'weights' to null or fit the sizes"
        )
    module.load_state_dict(state)
