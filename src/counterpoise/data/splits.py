"""Splits by index: fixed by a seed, disjoint, and with every class in its share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from counterpoise.data.streams import stream
from counterpoise.errors import UserError


def stratified_split(labels: np.ndarray, fractions: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Split the indices of ``labels`` (N,) class by class.

    ``fractions`` gives the share of each named split; what remains is ``train``. Each class's count is rounded on its
    own, so the shares hold for every class to within one item. A split of share 0 is left out. Indices come sorted.
    """
    if "train" in fractions or any(share < 0 for share in fractions.values()) or sum(fractions.values()) >= 1:
        raise UserError(f"split fractions {dict(fractions)}: each must be at least 0 and together below 1")
    parts: dict[str, list[np.ndarray]] = {"train": []}
    parts.update({name: [] for name in ("val", *fractions) if fractions.get(name, 0.0) > 0})
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        members = members[stream(seed, "split", int(value)).permutation(len(members))]
        start = 0
        for name, share in fractions.items():
            if share > 0:
                stop = start + round(share * len(members))
                parts[name].append(members[start:stop])
                start = stop
        parts["train"].append(members[start:])
    return {name: np.sort(np.concatenate(indices)) for name, indices in parts.items()}
