"""Conventional Pareto: the minimum-norm combination of the objectives' gradients (MGDA)."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import IntegrationMethod, State
from counterpoise.methods.min_norm import keep_off_boundary, min_norm_weights


@method(
    name="conventional_pareto",
    title="Conventional Pareto",
    family="integration",
    paper="Sener & Koltun, NeurIPS 2018; Desideri, 2012",
    source="MMPareto, Equations 5 and 9",
    tasks=True,
    most_tasks=8,
    variants={
        "published": {
            "settings": {"heads_weighted": False, "least_weight": 0.0},
            "source": "MMPareto, Equations 5 and 9: the encoder alone, weights from 0 to 1",
        },
        "released": {
            "settings": {"heads_weighted": True, "least_weight": 0.001},
            "source": "multi_task/min_norm_solvers.py and the training script of Sener & Koltun: the "
            "weighted loss also trains the heads (its issue 12), a solution at a boundary is kept 0.001 "
            "away from it. The factor K is not in that code: without it the learning rate would be divided "
            "by the number of objectives",
        },
    },
)
class ConventionalPareto(IntegrationMethod):
    """``h = K sum_i alpha_i g_i`` with ``alpha`` of least norm; the factor K keeps the uniform sum at equal weights."""

    normalise: str = setting(
        "none",
        choices=("none", "l2", "loss", "loss+"),
        doc="what gradients are divided by while weights are solved for: nothing, norm, loss, or loss times norm",
    )
    least_weight: float = setting(
        0.0, minimum=0.0, below=0.5, doc="how far a boundary solution of two gradients is kept from 0 and 1"
    )
    heads_weighted: bool = setting(False, doc="whether heads are trained with the weights too")

    @property
    def weighs_heads(self) -> bool:
        return self.heads_weighted

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        size = gramian.shape[-1]
        divisor = self._divisor(gramian, losses)
        solved = min_norm_weights(gramian / (divisor[..., :, None] * divisor[..., None, :]))
        if size == 2 and self.least_weight > 0:
            solved = keep_off_boundary(solved, self.least_weight)
        return size * solved, state

    def _divisor(self, gramian: Tensor, losses: Tensor) -> Tensor:
        norms = gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()
        factors = torch.ones_like(norms)
        if self.normalise in ("l2", "loss+"):
            factors = factors * norms
        if self.normalise in ("loss", "loss+"):
            factors = factors * losses.to(norms.dtype)
        return torch.where(factors > 0, factors, 1.0)  # a gradient or loss of zero divides nothing
