"""A metric of one cell over its seeds: what every question about a number starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

TOLERANCE = 1e-9
"""A spread below this is rounding: it counts as none."""


@dataclass(frozen=True, kw_only=True)
class SeedValues:
    """A metric of one cell over its seeds, in printed units.

    ``finished`` has the completed runs only. ``diverged`` maps seeds to the reason; ``missing`` lists the planned
    seeds whose run is not there. Of those that were tried, ``failed`` and ``interrupted`` (which go on where they were)
    say what became of them; ``absent`` says, where runs are there but lack the metric, what they lack.
    """

    finished: Mapping[int, float] = field(default_factory=dict)
    diverged: Mapping[int, str] = field(default_factory=dict)
    missing: Sequence[int] = ()
    absent: str = ""
    failed: Mapping[int, str] = field(default_factory=dict)
    interrupted: Mapping[int, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many runs completed."""
        return len(self.finished)

    @property
    def mean(self) -> float | None:
        """The mean over completed runs, None if there is none."""
        return float(np.mean(list(self.finished.values()))) if self.finished else None

    @property
    def std(self) -> float | None:
        """The standard deviation (divisor n − 1), None below two completed runs."""
        if self.n < 2:
            return None
        std = float(np.std(list(self.finished.values()), ddof=1))
        return std if std > TOLERANCE else 0.0
