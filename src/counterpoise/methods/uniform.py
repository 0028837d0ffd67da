"""The uniform baseline: all objectives summed with weight one (MLB's Multi-Loss)."""

from __future__ import annotations

from counterpoise.declare import method
from counterpoise.methods.interface import LossMethod


@method(
    name="uniform",
    title="Uniform baseline",
    family="loss",
    paper="MMPareto (ICML 2024); MLB (BMVC 2024) as Multi-Loss",
    source="MMPareto, Equation 1; MLB, Equation 2",
    tasks=True,
)
class Uniform(LossMethod):
    """``L = L_m + sum_k L_u^k``; in the multi-task case the sum of the tasks' losses."""
