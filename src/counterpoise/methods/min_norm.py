"""The point of least norm in the convex hull of gradients, from their Gramian.

Two gradients have a closed form (MMPareto, Section 3.3.2; Desideri, 2012). More are solved exactly too: the solution is
the stationary point on the affine hull of some affinely independent subset of the gradients (Wolfe, 1976), so all
subsets are tried. For the few objectives here that needs no iteration, no tolerance to set and no branch on data.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_NUMBER = 8
"""Subsets double with every gradient; beyond this an iterative solver would be the better choice."""


def min_norm_weights(gramian: Tensor) -> Tensor:
    """Return ``argmin ||sum_i w_i g_i||`` over the simplex.

    Args:
        gramian: inner products ``(..., K, K)``, K from 1 to :data:`LARGEST_NUMBER`.

    Returns:
        weights ``(..., K)``, non-negative, summing to one. Where several are best, their mean: equal weights
        where all gradients are zero or equal.
    """
    size = gramian.shape[-1]
    if size > LARGEST_NUMBER:
        raise ValueError(f"min-norm weights of {size} gradients; at most {LARGEST_NUMBER}")
    largest = gramian.diagonal(dim1=-2, dim2=-1).amax(dim=-1)[..., None, None]
    scaled = torch.where(largest > 0, gramian / largest, 0.0)
    return _two(scaled) if size == 2 else _enumerate(scaled)


def _two(gramian: Tensor) -> Tensor:
    mm, mu, uu = gramian[..., 0, 0], gramian[..., 0, 1], gramian[..., 1, 1]
    gap = mm - 2 * mu + uu  # ||g_m - g_u||^2
    # Below rounding the two gradients are one: every weight gives the same vector, so take equal ones.
    distinct = gap > torch.finfo(gramian.dtype).eps * (mm + uu)
    first = torch.where(distinct, (uu - mu) / gap, 0.5).clamp(0.0, 1.0)
    return torch.stack((first, 1 - first), dim=-1)


def _enumerate(gramian: Tensor) -> Tensor:
    size = gramian.shape[-1]
    # All non-empty subsets of the gradients, (S, K) of zeros and ones, made where the Gramian is.
    numbers = torch.arange(1, 2**size, device=gramian.device)[:, None]
    members = ((numbers >> torch.arange(size, device=gramian.device)) & 1).to(gramian.dtype)
    weights = _stationary(gramian, members)  # (..., S, K)
    feasible = (weights >= 0).all(dim=-1)
    squared = torch.einsum("...si,...ij,...sj->...s", weights, gramian, weights)
    squared = torch.where(feasible, squared, torch.inf)  # the subsets of one are always feasible
    # Rounding can move a square by so much, measured by what is added up in it and not by the longest gradient:
    # lengths that lie 1e8 apart have squares that lie 1e16 apart.
    lengths = gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()
    added = torch.einsum("...si,...i->...s", weights.abs(), lengths).square()
    rounding = 4 * size * torch.finfo(gramian.dtype).eps * torch.where(feasible, added, 0.0)
    best = squared - rounding <= (squared + rounding).amin(dim=-1, keepdim=True)
    chosen = torch.where(best[..., None], weights, 0.0).sum(dim=-2)
    return chosen / chosen.sum(dim=-1, keepdim=True)


def _stationary(gramian: Tensor, members: Tensor) -> Tensor:
    """Return, per subset, the weights of the stationary point on its affine hull ``(..., S, K)``; equal
    weights where its members are affinely dependent (a smaller subset then has the point).

    With the shortest member p as origin, ``w`` of the others solves ``H w = r`` with
    ``H_ij = (g_i - g_p) . (g_j - g_p)`` and ``r_i = -g_p . (g_i - g_p)``. From a longer origin, differences of
    short gradients would be lost in rounding.
    """
    size = gramian.shape[-1]
    squares = gramian.diagonal(dim1=-2, dim2=-1)[..., None, :]  # (..., 1, K)
    shortest = torch.where(members > 0, squares, torch.inf).argmin(dim=-1, keepdim=True)  # (..., S, 1)
    origin = (torch.arange(size, device=members.device) == shortest).to(gramian.dtype)  # (..., S, K): e_p
    with_origin = torch.einsum("...ij,...sj->...si", gramian, origin)  # g_i . g_p
    square = torch.einsum("...si,...si->...s", with_origin, origin)[..., None]  # g_p . g_p
    others = members - origin
    both = others[..., :, None] * others[..., None, :]
    system = gramian[..., None, :, :] - with_origin[..., :, None] - with_origin[..., None, :] + square[..., None]
    system = system * both + torch.diag_embed(1 - others)  # rows of non-members read w_i = 0
    solution, independent = _solve(system, (square - with_origin) * others, others)
    weights = solution * others
    weights = weights + (1 - weights.sum(dim=-1, keepdim=True)) * origin
    return torch.where(independent[..., None], weights, members / members.sum(dim=-1, keepdim=True))


def _solve(system: Tensor, right: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Solve symmetric positive systems ``(..., S, K, K)`` by elimination, without a library call that would
    wait for the device; also return whether each was regular. ``rows`` says which rows hold an equation."""
    size = system.shape[-1]
    augmented = torch.cat((system, right[..., None]), dim=-1)
    start = system.diagonal(dim1=-2, dim2=-1)
    regular = torch.ones_like(right[..., 0], dtype=torch.bool)
    for k in range(size):
        pivot = augmented[..., k, k]
        # What elimination leaves of a row's own square says whether the others make it up.
        sound = pivot > 4 * size * torch.finfo(system.dtype).eps * start[..., k]
        regular = regular & (sound | (rows[..., k] == 0))
        row = augmented[..., k, :] / torch.where(sound, pivot, 1.0)[..., None]
        factors = augmented[..., :, k].clone()
        factors[..., k] = 0.0
        augmented = augmented - factors[..., None] * row[..., None, :]
        augmented[..., k, :] = row
    return augmented[..., -1], regular


def keep_off_boundary(weights: Tensor, least: float) -> Tensor:
    """Return weights of two gradients ``(..., 2)`` where a solution at a boundary, (1, 0) or (0, 1), is moved to
    ``(1 - least, least)`` or ``(least, 1 - least)``; interior solutions stay (released min_norm_solvers.py)."""
    boundary = (weights <= 0) | (weights >= 1)
    return torch.where(boundary, weights.clamp(least, 1 - least), weights)


__all__ = ["LARGEST_NUMBER", "keep_off_boundary", "min_norm_weights"]
