"""The point of least norm in the convex hull of gradients, from their Gramian.

Two gradients have a closed form (MMPareto, Section 3.3.2; Desideri, 2012). More are solved exactly too: the solution's
support is found by enumerating all non-empty subsets, which for the few objectives here needs no iteration, no
tolerance and no branch on data.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def min_norm_weights(gramian: Tensor) -> Tensor:
    """Return ``argmin ||sum_i w_i g_i||`` over the simplex.

    Args:
        gramian: inner products ``(..., K, K)``.

    Returns:
        weights ``(..., K)``, non-negative, summing to one. Equal weights where all gradients are zero or equal.
    """
    size = gramian.shape[-1]
    largest = gramian.diagonal(dim1=-2, dim2=-1).amax(dim=-1)[..., None, None]
    scaled = torch.where(largest > 0, gramian / largest.clamp_min(torch.finfo(gramian.dtype).tiny), 0.0)
    if size == 2:
        return _two(scaled)
    return _enumerate(scaled)


def _two(gramian: Tensor) -> Tensor:
    mm, mu, uu = gramian[..., 0, 0], gramian[..., 0, 1], gramian[..., 1, 1]
    gap = (mm - 2 * mu + uu).clamp_min(0.0)  # ||g_m - g_u||^2
    # Below rounding the two gradients are one: every weight gives the same vector, so take equal ones.
    distinct = gap > torch.finfo(gramian.dtype).eps * (mm + uu)
    first = torch.where(distinct, (uu - mu) / torch.where(distinct, gap, 1.0), 0.5).clamp(0.0, 1.0)
    return torch.stack((first, 1 - first), dim=-1)


def _enumerate(gramian: Tensor) -> Tensor:
    size = gramian.shape[-1]
    candidates = [
        _on_support(gramian, support)
        for count in range(1, size + 1)
        for support in itertools.combinations(range(size), count)
    ]
    weights = torch.stack([*reversed(candidates)], dim=-2)  # (..., S, K), the full support first: it wins ties
    squared = torch.einsum("...si,...ij,...sj->...s", weights, gramian, weights)
    feasible = (weights >= -1e-9).all(dim=-1) & torch.isfinite(squared)
    best = torch.where(feasible, squared, torch.inf).argmin(dim=-1)
    chosen = weights.gather(-2, best[..., None, None].expand(*best.shape, 1, size)).squeeze(-2)
    chosen = chosen.clamp_min(0.0)
    return chosen / chosen.sum(dim=-1, keepdim=True)


def _on_support(gramian: Tensor, support: tuple[int, ...]) -> Tensor:
    """Return the stationary point of the norm on the affine hull of some of the gradients, ``(..., K)``."""
    index = torch.tensor(support, device=gramian.device)
    part = gramian.index_select(-1, index).index_select(-2, index)
    solution = (torch.linalg.pinv(part, hermitian=True) @ part.new_ones(len(support), 1)).squeeze(-1)
    total = solution.sum(dim=-1, keepdim=True)
    # A singular part (opposite or repeated gradients) has its minimum on a null vector or on a smaller support.
    solution = torch.where(total.abs() > 1e-12, solution / total, _null_vector(part))
    return gramian.new_zeros(gramian.shape[:-1]).index_copy(-1, index, solution)


def _null_vector(part: Tensor) -> Tensor:
    vector = torch.linalg.eigh(part).eigenvectors[..., 0]
    total = vector.sum(dim=-1, keepdim=True)
    return vector / torch.where(total.abs() > 1e-12, total, torch.inf)
