"""Reading pretrained weights from disk: the published file, checked, or an error that says where to put it.

Nothing is downloaded while training: ``counterpoise fetch-weights`` does that before, from the publisher or a
mirror. A model that asks for weights never starts without them.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from counterpoise import files
from counterpoise.errors import UserError, suggest
from counterpoise.spec.weights import WEIGHTS, WeightsFile

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


def check_digest(path: Path, weights: WeightsFile) -> None:
    """Raise ``UserError`` where a file is not the published one, or not the one that was fetched."""
    beside = path.with_name(f"{path.name}.sha256")
    noted = beside.read_text(encoding="utf-8").split()[0] if beside.is_file() else ""
    expected = weights.sha256 or noted
    if not expected:
        raise UserError(
            f"{path}: the publisher names no checksum and there is none beside it; check where the file "
            f"comes from, then write its sha256 to {beside}"
        )
    found = _sha256(path, path.stat().st_mtime_ns)
    if not found.startswith(expected):
        raise UserError(
            f"{path}: sha256 is {found}, must begin with {expected}; delete it and fetch it again"
        )


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, changed: int) -> str:
    """Return a file's digest; ``changed`` is its time of change, so that a new file is read anew."""
    return files.sha256_file(path)


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
