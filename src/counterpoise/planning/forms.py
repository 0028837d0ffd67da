"""What the arrays of a dataset look like: from its manifest, or before it is prepared from what its file declares."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.errors import UserError
from counterpoise.planning.cells import PreparedDataset, read_dataset
from counterpoise.planning.configs import Configs
from counterpoise.planning.manifest import read_manifest


@dataclass(frozen=True)
class Form:
    """Samples by split; modalities and targets as a manifest has them (shape, dtype, kind, classes).

    ``raw_bytes`` are those of the files that it is prepared from, where they are known.
    """

    samples: dict[str, int]
    modalities: dict[str, dict[str, Any]]
    targets: dict[str, dict[str, Any]]
    raw_bytes: int | None = None

    def split_bytes(self, split: str) -> int:
        """Return what a split's arrays take, their ids aside."""
        return self.samples[split] * sum(map(_sample_bytes, (*self.modalities.values(), *self.targets.values())))

    @property
    def nbytes(self) -> int:
        """What all arrays take."""
        return sum(map(self.split_bytes, self.samples))


def _sample_bytes(array: dict[str, Any]) -> int:
    return math.prod(array.get("shape", ())) * np.dtype(array.get("dtype", "int64")).itemsize


def form_of(root: Path, configs: Configs, data: PreparedDataset) -> Form | None:
    """Return the form of a dataset of a plan, or None where it is not prepared and its file does not declare it."""
    path = Path(root) / data.directory / "manifest.json"
    with contextlib.suppress(UserError, KeyError, TypeError, AttributeError):
        if path.is_file():
            made = read_manifest(path.parent)
            sizes = {split: entry["size"] for split, entry in made["splits"].items()}
            return Form(sizes, made["modalities"], made["targets"])
    # An explanation's flip has other settings than the file: what that declares is not said of it.
    if not configs.path("datasets", data.name).is_file() or read_dataset(configs, data.name).key != data.key:
        return None
    declared = configs.dataset(data.name).expected
    return None if declared is None else Form(**declared.model_dump())
