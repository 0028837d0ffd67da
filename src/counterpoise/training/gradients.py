"""The gradients that several objectives have in shared encoders, and their weighted sum, without waiting for
the host.

The graph is cut at the features. Each objective's gradient with respect to the features costs a pass through
the heads alone; each encoder is then pulled back once per objective that reaches it, and no more: one forward
and K backward passes. Everything stays on the device; nothing branches on a value.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from counterpoise.methods.interface import IntegrationMethod, State
from counterpoise.models.network import Network

Gradients = list[Tensor]


@dataclass
class Cut:
    """Features with the encoders' graph, and the same features as leaves for the heads."""

    attached: dict[str, Tensor]
    leaves: dict[str, Tensor]


@dataclass
class Integration:
    """What came of combining K gradients of one module: the combined gradient, the Gramian of the whole
    module ``(K, K)``, the weights ``(K,)`` or ``(T, K)``, and the method's next state."""

    combined: Gradients
    gramian: Tensor
    weights: Tensor
    state: State


def cut_at_features(attached: dict[str, Tensor]) -> Cut:
    """Detach features ``{modality: (B, d)}`` from their encoders."""
    return Cut(attached, {name: z.detach().requires_grad_() for name, z in attached.items()})


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [p for p in module.parameters() if p.requires_grad]


def disjoint_groups(network: Network, objectives: tuple[str, ...]) -> list[list[str]]:
    """Group objectives that reach different encoders: one backward pass through the heads serves a whole
    group.
    """
    groups: list[list[str]] = []
    for objective in objectives:
        reach = set(network.reach(objective))
        for group in groups:
            if all(reach.isdisjoint(network.reach(other)) for other in group):
                group.append(objective)
                break
        else:
            groups.append([objective])
    return groups


def backward_heads(network: Network, cut: Cut, losses: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Set the gradients of everything outside the encoders; return the cotangents ``{objective: {encoder: (B,
    d)}}``.

    Parameters outside the encoders are each reached by one objective and get its plain gradient.
    """
    cotangents: dict[str, dict[str, Tensor]] = {}
    for group in disjoint_groups(network, tuple(losses)):
        parameters = [p for objective in group for p in network.own_parameters(objective) if p.requires_grad]
        reached = {objective: network.reach(objective) for objective in group}
        leaves = [cut.leaves[name] for names in reached.values() for name in names]
        total = torch.stack([losses[objective] for objective in group]).sum()
        found = iter(torch.autograd.grad(total, [*leaves, *parameters], materialize_grads=True))
        for objective, names in reached.items():
            cotangents[objective] = {name: next(found) for name in names}
        assign(parameters, list(found))
    return cotangents


def assign(parameters: list[nn.Parameter], gradients: Gradients) -> None:
    """Set each parameter's ``.grad``; what stood there before is gone, never added to."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def pull_back(feature: Tensor, parameters: list[nn.Parameter], cotangent: Tensor, *, last: bool) -> Gradients:
    """Return the gradients of an encoder's parameters for one cotangent of its feature ``(B, d)``."""
    return list(
        torch.autograd.grad(feature, parameters, cotangent, retain_graph=not last, materialize_grads=True)
    )


def inner_products(left: Gradients, right: Gradients) -> Tensor:
    """Return the inner product of each pair of tensors, ``(T,)`` in float64.

    The positive and the negative products are summed apart, each as a 1-norm: one call for all tensors.
    """
    products = torch._foreach_mul(left, right)
    positive = torch._foreach_norm(torch._foreach_clamp_min(products, 0.0), 1)
    negative = torch._foreach_norm(torch._foreach_clamp_max(products, 0.0), 1)
    return torch.stack(positive).double() - torch.stack(negative).double()


def norms(gradients: Gradients) -> Tensor:
    """Return the 2-norm of each tensor, ``(T,)`` in float64."""
    return torch.stack(torch._foreach_norm(gradients)).double()


def total_norm(gradients: Gradients) -> Tensor:
    """Return the 2-norm of all tensors together, a scalar in float64."""
    return torch.linalg.vector_norm(norms(gradients))


def gramian(gradients: list[Gradients]) -> Tensor:
    """Return the Gramian of K objectives' gradients of T tensors, one per tensor: ``(T, K, K)`` in
    float64.
    """
    size = len(gradients)
    rows: list[list[Tensor]] = [[torch.empty(0)] * size for _ in range(size)]
    for i in range(size):
        rows[i][i] = norms(gradients[i]).square()
        for j in range(i):
            rows[i][j] = rows[j][i] = inner_products(gradients[i], gradients[j])
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def combine(gradients: list[Gradients], weights: Tensor) -> Gradients:
    """Return ``sum_k w_k g_k`` tensor by tensor; ``weights`` are ``(K,)``, or ``(T, K)`` for one set per
    tensor.
    """
    weights = _finite(weights, gradients[0][0].dtype)
    total = _scaled(gradients[0], weights[..., 0])
    for k in range(1, len(gradients)):
        total = torch._foreach_add(total, _scaled(gradients[k], weights[..., k]))
    return total


def _finite(factors: Tensor, dtype: torch.dtype) -> Tensor:
    """Round factors to the gradients' type, large ones to its largest number: infinity times a zero is not a
    number.
    """
    largest = torch.finfo(dtype).max
    return factors.clamp(-largest, largest).to(dtype)


def _scaled(gradients: Gradients, factor: Tensor) -> Gradients:
    """Return all tensors times a scalar tensor, or each times its own of ``(T,)``."""
    if factor.ndim == 0:
        return torch._foreach_mul(gradients, factor)
    return torch._foreach_mul(gradients, list(factor.unbind()))


def integrate(
    method: IntegrationMethod, gradients: list[Gradients], losses: Tensor, state: State
) -> Integration:
    """Combine the K gradients of one module by a method.

    Args:
        gradients: K lists of T tensors, in the order of the module's objectives.
        losses: their losses ``(K,)``.
    """
    per_tensor = gramian(gradients)
    whole = per_tensor.sum(dim=0)
    weights, state = method.weights(per_tensor if method.scope == "tensor" else whole, losses, state)
    combined = combine(gradients, weights)
    if method.rescale_scope is not None:
        combined = _rescaled(method, combined, gradients)
    return Integration(combined, whole, weights, state)


def _rescaled(method: IntegrationMethod, combined: Gradients, gradients: list[Gradients]) -> Gradients:
    """Scale the combined gradient by what the method makes of its norm and the plain sum's.

    Both norms come from the vectors themselves: from the Gramian they lose digits when gradients nearly
    cancel.
    """
    total = gradients[0]
    for gradient in gradients[1:]:
        total = torch._foreach_add(total, gradient)
    if method.rescale_scope == "encoder":
        factor = method.scale(total_norm(combined), total_norm(total))
    else:
        factor = method.scale(norms(combined), norms(total))
    return _scaled(combined, _finite(factor, combined[0].dtype))
