"""Before anything runs: how many verdicts a number of seeds can be expected to give, if the paper is exactly right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from counterpoise.judging import statistics

ASSUMED = (0.5, 1.0, 2.0)
"""Standard deviations over seeds, in printed units of a percentage, where none is known."""
STUDIES = 2000
SEED = 20240614


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Expected counts among the numbers asked about, for one spread over seeds.

    ``gap`` is the smallest true gap that is found with 80 % power.
    """

    std: float
    within: float
    deviates: float
    neither: float
    gap: float


def expected_verdicts(
    margins: Sequence[float], n: int, runs: int = 1, alpha: float = 0.05, spreads: Sequence[float] = ASSUMED
) -> list[Expected]:
    """Return, for each spread, the verdicts to expect for numbers with these margins on ``n`` seeds.

    Simulated with the rule itself: the printed number is a mean of ``runs`` more runs of ours. Fewer than two seeds
    have no spread to judge by.
    """
    if n < 2:
        return []
    rng = np.random.default_rng(SEED)
    ours, printed = rng.standard_normal((STUDIES, n)), rng.standard_normal(STUDIES) / np.sqrt(runs)
    mean, std = ours.mean(1), ours.std(1, ddof=1)
    counts = {margin: list(margins).count(margin) for margin in set(margins)}
    expected = []
    for spread in spreads:
        within = deviates = 0.0
        for margin, count in sorted(counts.items()):
            test = statistics.level_test(
                spread * mean, spread * std, n, spread * printed, margin=margin, runs=runs, alpha=alpha
            )
            equivalent = test.p_equal < alpha
            within += count * equivalent.mean()
            deviates += count * ((test.p_outside < alpha) & ~equivalent).mean()
        expected.append(
            Expected(
                std=spread,
                within=float(within),
                deviates=float(deviates),
                neither=len(margins) - float(within + deviates),
                gap=statistics.detectable_difference(spread, n, runs, alpha),
            )
        )
    return expected
