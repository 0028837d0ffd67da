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
    source="Algorithm 1; the sum of the projected gradients",
    tasks=True,
)
class PCGrad(IntegrationMethod):
    """``g~_i = g_i - min(0, g~_i . g_j) / ||g_j||^2 g_j`` for each other j in random order; ``h = sum_i g~_i``.

    Two gradients have one order only, so nothing is drawn for them.
    """

    def random_numbers(self, objectives: int) -> int:
        return objectives**2 if objectives > 2 else 0

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        size = gramian.shape[-1]
        order = self._order(size, gramian, state)
        unit = torch.eye(size, dtype=gramian.dtype, device=gramian.device)
        projected = unit.expand(gramian.shape)  # row i: coefficients of g~_i in the basis of the gradients
        # All K gradients are projected side by side, and no value is looked at by the host: a GPU is not waited for.
        for turn in range(size):
            other = unit[order[:, turn]]  # row i: the gradient that g~_i meets in this turn
            # Inner products from coefficients and the Gramian G alone: g~_i . g_j = p_i^T G e_j, and ||g_j||^2.
            dot = torch.einsum("...ij,...jk,...ik->...i", projected, gramian, other)
            square = torch.einsum("...ij,...jk,...ik->...i", other, gramian, other)
            meets = (dot < 0) & (order[:, turn] != torch.arange(size, device=order.device))
            # Where they do not conflict nothing is subtracted, whatever dot / square is (0 / 0 of a gradient of zero).
            step = torch.where(meets, dot / square, 0.0)
            projected = projected - step[..., None] * other
        return projected.sum(dim=-2), state  # h = sum_i g~_i: the weights of the gradients are sums over i

    @staticmethod
    def _order(size: int, gramian: Tensor, state: State) -> Tensor:
        """Return for each gradient the order in which it meets all, ``(K, K)``; itself it passes over."""
        if "random" in state:
            return state["random"].reshape(size, size).argsort(dim=1)
        return torch.arange(size, device=gramian.device).expand(size, size)
