"""PCGrad: each gradient loses its component along every gradient that it conflicts with."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method
from counterpoise.methods.interface import IntegrationMethod, State


@method(
    name="pcgrad",
    title="PCGrad",
    family="integration",
    paper="Yu et al., NeurIPS 2020",
    source="Algorithm 1; sum of the projected gradients",
    tasks=True,
)
class PCGrad(IntegrationMethod):
    """``g~_i = g_i - min(0, g~_i . g_j) / ||g_j||^2 g_j`` for each other j in turn; ``h = sum_i g~_i``.

    The original takes the others in random order; here the order is fixed, which is the same for two gradients and
    keeps the update free of a random stream for more.
    """

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        size = gramian.shape[-1]
        unit = torch.eye(size, dtype=gramian.dtype, device=gramian.device)
        total = gramian.new_zeros(gramian.shape[:-1])
        for i in range(size):
            projected = unit[i].expand(gramian.shape[:-1])  # coefficients of g~_i in the basis of the gradients
            for j in range(size):
                if i != j:
                    dot = (projected * gramian[..., j, :]).sum(dim=-1, keepdim=True)
                    square = gramian[..., j, j, None]
                    step = torch.where(square > 0, dot.clamp_max(0.0) / torch.where(square > 0, square, 1.0), 0.0)
                    projected = projected - step * unit[j]
            total = total + projected
        return total, state
