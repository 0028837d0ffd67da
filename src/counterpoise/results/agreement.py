"""Where a run's predictions agree with those of the single modalities: the only values that several runs make.

A run is compared, example by example, with the runs of the same seed, dataset, model and protocol that are trained on
one modality each. A cell has such values where there is one for every encoder of its model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.metrics import Agreement, metrics_of
from counterpoise.results.layout import Layout, LayoutCell

SINGLE = "unimodal"
"""The method that trains on one modality, its setting ``modality``."""

Correct = Mapping[tuple[str, int, str, str], NDArray[np.bool_]]


def agreement_values(layout: Layout, correct: Correct) -> Iterator[tuple[str, int, str, str, str, float]]:
    """Yield (cell, seed, selection, output, metric, value) of every run with a joint prediction that can be compared.

    Args:
        correct: which test examples each run got right (see :class:`counterpoise.results.table.Results`).
    """
    alone = {name: _single_modalities(layout, cell) for name, cell in layout.cells.items()}
    for (name, seed, selection, output), joint in correct.items():
        others = alone.get(name, {})
        if output != "joint" or not others or layout.cells[name].method == SINGLE:
            continue
        hits = {m: correct.get((other, seed, selection, m)) for m, other in others.items()}
        there = {m: found for m, found in hits.items() if found is not None and found.shape == joint.shape}
        if len(there) < len(others):
            continue
        for metric in metrics_of("agreement"):
            for place, value in metric.compute(Agreement(joint=joint, alone=there)).items():
                if not np.isnan(value):
                    yield name, seed, selection, place, metric.name, value


def _single_modalities(layout: Layout, cell: LayoutCell) -> dict[str, str]:
    """Return the cell of each modality alone that a cell is compared with; none unless every encoder has one."""
    by_modality: dict[str, str] = {}
    for other in layout.cells.values():
        same = (other.dataset, other.model, other.protocol) == (cell.dataset, cell.model, cell.protocol)
        if same and other.method == SINGLE:
            by_modality.setdefault(str(_part(other.config, "method", "settings").get("modality")), other.name)
    encoders = set(_part(cell.config, "model", "encoders"))
    return by_modality if encoders and set(by_modality) == encoders else {}


def _part(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a part of a configuration, which may come from anywhere; empty where it is not there."""
    for key in keys:
        inner = config.get(key)
        config = inner if isinstance(inner, dict) else {}
    return config
