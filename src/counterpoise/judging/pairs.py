"""Two rows of a column, paired: over the seeds that both ran, and over the examples of their common test set."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results

Floats = NDArray[np.float64]


def paired_differences(ours: SeedValues, other: SeedValues, sign: float) -> Floats:
    """Return ours minus other for each seed that both ran, positive where ours is better.

    A diverged run loses its pair by an unknown amount, so the difference is infinite; a pair of which
    both diverged says nothing and is left out.
    """
    differences = []
    for seed in sorted({*ours.finished, *ours.diverged} & {*other.finished, *other.diverged}):
        if seed in ours.diverged and seed in other.diverged:
            continue
        if seed in ours.diverged:
            differences.append(-math.inf)
        elif seed in other.diverged:
            differences.append(math.inf)
        else:
            differences.append(sign * (ours.finished[seed] - other.finished[seed]))
    return np.array(differences)


def example_error(results: Results, ours: Entry, other: Entry) -> statistics.CrossedError | None:
    """Return the mean of ours right minus other right, in printed units, with its error for new seeds and new examples.

    Clustered where the data has groups. None where the metric is not accuracy, where it is not stored which examples a
    run got right, or where the seeds' test sets differ.
    """
    if ours.column.metric != "accuracy" or ours.cell is None or other.cell is None:
        return None
    selection, rows = results.layout.selection, []
    for seed in sorted(set(ours.ours.finished) & set(other.ours.finished)):
        a = results.correct.get((ours.cell.name, seed, selection, ours.output))
        b = results.correct.get((other.cell.name, seed, selection, other.output))
        if a is None or b is None or len(a) != len(b):
            return None
        rows.append(ours.column.scale * (a.astype(float) - b.astype(float)))
    if len(rows) < 2 or len({len(row) for row in rows}) > 1 or ours.cell.folds or len(rows[0]) < 2:
        return None
    groups = results.groups.get(ours.cell.data)
    fits = groups is not None and len(groups) == len(rows[0])
    return statistics.crossed_error(np.stack(rows), groups if fits else None)
