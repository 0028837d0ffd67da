"""MMPareto: no conflict, no change; in conflict the Pareto direction, at the magnitude of the uniform sum."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import IntegrationMethod, State
from counterpoise.methods.min_norm import min_norm_weights


@method(
    name="mmpareto",
    title="MMPareto",
    family="integration",
    paper="Wei & Hu, ICML 2024",
    source="Algorithm 1, Equations 5 and 16",
    tasks=True,
    variants={
        "published": {
            "settings": {"rescale": "encoder", "shrink": True, "zero_cosine_conflicts": False, "least_weight": 0.0},
            "source": "Algorithm 1: norms of the whole encoder, cos >= 0 is no conflict, always rescaled",
        },
        "released": {
            "settings": {"rescale": "tensor", "shrink": False, "zero_cosine_conflicts": True, "least_weight": 0.001},
            "source": "code/MMPareto.py, code/min_norm_solvers.py: per parameter tensor, only enlarging, cos > 0, "
            "weights within 0.001 and 0.999",
        },
    },
)
class MMPareto(IntegrationMethod):
    """``h = h' / ||h'|| * gamma ||g_m + g_u||`` with ``h' = 2 alpha_m g_m + 2 alpha_u g_u``.

    ``2 alpha = (1, 1)`` where the gradients do not conflict, else the minimum-norm weights.
    """

    gamma: float = setting(1.5, above=0.0, doc="rescale factor (Section 4.1)")
    rescale: str = setting("encoder", choices=("encoder", "tensor"), doc="over what the norms are taken")
    shrink: bool = setting(True, doc="whether rescaling may also make the gradient smaller before gamma")
    zero_cosine_conflicts: bool = setting(False, doc="whether orthogonal gradients count as conflicting")
    least_weight: float = setting(0.0, minimum=0.0, below=0.5, doc="bound kept from 0 and 1 by the solver")

    @property
    def rescale_scope(self) -> str:
        return self.rescale

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        size = gramian.shape[-1]
        off_diagonal = gramian - torch.diag_embed(gramian.diagonal(dim1=-2, dim2=-1))
        pairs = ~torch.eye(size, dtype=torch.bool, device=gramian.device)
        negative = off_diagonal <= 0 if self.zero_cosine_conflicts else off_diagonal < 0
        conflict = (negative & pairs).any(dim=-1).any(dim=-1)[..., None]
        pareto = min_norm_weights(gramian).clamp(self.least_weight, 1 - self.least_weight)
        return torch.where(conflict, size * pareto, torch.ones_like(pareto)), state

    def scale(self, combined: Tensor, total: Tensor) -> Tensor:
        ratio = torch.where(combined > 0, total / combined.clamp_min(torch.finfo(combined.dtype).tiny), 1.0)
        return self.gamma * (ratio if self.shrink else ratio.clamp_min(1.0))
