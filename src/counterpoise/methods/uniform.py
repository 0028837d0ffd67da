"""The uniform baseline: all objectives summed with weight one (MLB's Multi-Loss)."""

from __future__ import annotations

from counterpoise.declare import method
from counterpoise.methods.interface import LossMethod


@method(
    name="uniform",
    title="Uniform baseline",
    family="loss",
    paper="MMPareto (ICML 2024); MLB (BMVC 2024) as Multi-Loss",
    source="MMPareto, Equation 1; MLB, Equation 3",
    tasks=True,
    variants={
        "published": {"source": "MMPareto, Equation 1; MLB, Equation 3"},
        "encoder_lr": {
            "source": "ours, an ablation of MMPareto: the encoders' learning rate times its gamma, which is "
            "set in configs/methods/uniform.yaml"
        },
    },
)
class Uniform(LossMethod):
    """``L = L_m + sum_k L_u^k``; in the multi-task case the sum of the tasks' losses."""
