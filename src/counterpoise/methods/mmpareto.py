"""MMPareto: no conflict, no change; in conflict the Pareto direction, at the magnitude of the uniform sum."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import IntegrationMethod, State, ratio
from counterpoise.methods.min_norm import keep_off_boundary, min_norm_weights


@method(
    name="mmpareto",
    title="MMPareto",
    family="integration",
    paper="Wei & Hu, ICML 2024",
    source="Algorithm 1, Equations 5 and 16",
    tasks=True,
    most_tasks=8,
    variants={
        "published": {
            "settings": {"rescale": "encoder", "shrink": True, "zero_cosine_conflicts": False, "least_weight": 0.0},
            "source": "Algorithm 1: norms of the whole encoder, cos >= 0 is no conflict, always rescaled",
        },
        "released": {
            "settings": {"rescale": "tensor", "shrink": False, "zero_cosine_conflicts": True, "least_weight": 0.001},
            "source": "code/MMPareto.py, code/min_norm_solvers.py: per parameter tensor, only enlarging, "
            "cos > 0, a boundary solution kept 0.001 away from it",
        },
        "gamma_1": {
            "settings": {"rescale": "encoder", "shrink": True, "gamma": 1.0},
            "source": "ours, an ablation: as published without the enlargement by gamma",
        },
    },
)
class MMPareto(IntegrationMethod):
    """``h = h' / ||h'|| * gamma ||g_m + g_u||`` with ``h' = 2 alpha_m g_m + 2 alpha_u g_u``.

    ``2 alpha = (1, 1)`` where the gradients do not conflict, else the minimum-norm weights. More than two
    tasks conflict where any two of them do.
    """

    gamma: float = setting(1.5, above=0.0, doc="rescale factor (Section 4.1)")
    rescale: str = setting("encoder", choices=("encoder", "tensor"), doc="over what the norms are taken")
    shrink: bool = setting(True, doc="whether rescaling may also make the gradient smaller before gamma")
    zero_cosine_conflicts: bool = setting(False, doc="whether orthogonal gradients count as conflicting")
    least_weight: float = setting(
        0.0, minimum=0.0, below=0.5, doc="how far a boundary solution of two gradients is kept from 0 and 1"
    )

    @property
    def rescale_scope(self) -> str:
        return self.rescale

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        size = gramian.shape[-1]
        pairs = ~torch.eye(size, dtype=torch.bool, device=gramian.device)
        negative = gramian <= 0 if self.zero_cosine_conflicts else gramian < 0
        conflict = (negative & pairs).flatten(start_dim=-2).any(dim=-1)[..., None]
        pareto = min_norm_weights(gramian)
        if size == 2 and self.least_weight > 0:
            pareto = keep_off_boundary(pareto, self.least_weight)
        return torch.where(conflict, size * pareto, torch.ones_like(pareto)), state

    def scale(self, combined: Tensor, total: Tensor) -> Tensor:
        # A combination of zero (Pareto stationarity) stays zero.
        enlarged = torch.where(combined > 0, ratio(total, combined), 1.0)
        return self.gamma * (enlarged if self.shrink else enlarged.clamp_min(1.0))
