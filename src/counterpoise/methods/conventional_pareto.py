"""Conventional Pareto: the minimum-norm combination of the objectives' gradients (MGDA)."""

from __future__ import annotations

from torch import Tensor

from counterpoise.declare import method
from counterpoise.methods.interface import IntegrationMethod, State
from counterpoise.methods.min_norm import min_norm_weights


@method(
    name="conventional_pareto",
    title="Conventional Pareto",
    family="integration",
    paper="Sener & Koltun, NeurIPS 2018; Desideri, 2012",
    source="MMPareto, Equations 5 and 9",
    tasks=True,
)
class ConventionalPareto(IntegrationMethod):
    """``h = K sum_i alpha_i g_i`` with ``alpha`` of least norm; the factor K keeps the uniform sum at equal weights."""

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        return gramian.shape[-1] * min_norm_weights(gramian), state
