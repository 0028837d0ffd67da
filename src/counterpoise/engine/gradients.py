"""The gradients of several objectives in shared encoders, and their weighted sum, never waiting for the host.

For an encoder with features ``z = f(x; theta)`` and losses ``L_k``, the chain rule gives

    g_k = dL_k / dtheta = (dz / dtheta)^T v_k    with the cotangent    v_k = dL_k / dz, of the shape of z.

So the graph is cut at the features. :func:`backward_heads` gives every ``v_k``, which costs a pass through the small
part behind the features alone; :func:`pull_back` takes a ``v_k`` to ``g_k``, once per objective and encoder, and no
more: one forward and K backward passes. :func:`gramian` has the inner products ``g_j . g_k`` from which a method
computes weights, :func:`combine` the sum ``sum_k w_k g_k``. Everything stays on the device; nothing branches on a
value.

In multimodal training an encoder has two objectives, the joint one and the unimodal ones together. In late
fusion the latter is its own unimodal loss, since no other reaches it. Where modalities see each other before
they are predicted from (MBT), all unimodal losses reach every encoder, and their sum is one objective:
separate gradients would cost a backward pass for each. In multi-task training every task is an objective.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from counterpoise.methods.interface import IntegrationMethod, State
from counterpoise.models.network import JOINT, Network

Gradients = list[Tensor]
"""One tensor per parameter. (PyTorch declares its ``_foreach`` functions to return tuples; nothing depends on it.)"""


@dataclass
class Cut:
    """Encoders' features with their graph, and the same features as leaves for what comes after."""

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


def integrated_objectives(network: Network, objectives: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the objectives whose gradients are combined, each as the losses that are summed for it."""
    if network.fusion is None:
        return [(objective,) for objective in objectives]
    joint = tuple(name for name in objectives if name == JOINT)
    others = tuple(name for name in objectives if name != JOINT)
    return [group for group in (joint, others) if group]


def objectives_of(network: Network, encoder: str, groups: list[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the objectives of an encoder by name, each with the losses that reach the encoder in it.

    ``groups`` are those of :func:`integrated_objectives`. An objective of several losses is called ``unimodal``.
    """
    found = {}
    for group in groups:
        names = tuple(name for name in group if encoder in network.reach(name))
        found[names[0] if len(names) == 1 else "unimodal"] = names
    return found


def backward_heads(network: Network, cut: Cut, losses: dict[str, Tensor]) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """Set the gradients of everything outside the encoders; return the cotangents
    ``{objective: {encoder: shape of its feature}}``.

    Parameters outside the encoders get the plain sum of the gradients that reach them.
    """
    groups = integrated_objectives(network, tuple(losses))
    shared = [p for p in network.shared_parameters() if p.requires_grad]
    mixing: Gradients = [torch.zeros_like(p) for p in shared]
    cotangents: dict[tuple[str, ...], dict[str, Tensor]] = {}
    for group in groups:
        own = [p for objective in group for p in network.own_parameters(objective) if p.requires_grad]
        total = torch.stack([losses[objective] for objective in group]).sum()
        # Objectives have a graph of their own each, but where a fusion mixes features before predicting (MBT): the
        # mixing's part is passed by every objective, so it is kept until the last.
        again = bool(shared) and group is not groups[-1]
        found = torch.autograd.grad(
            total, [*cut.leaves.values(), *own, *shared], retain_graph=again, materialize_grads=True
        )
        # In the order asked for: cotangents at the features, gradients of own parameters, and of the mixing.
        count = len(cut.leaves)
        cotangents[group] = dict(zip(cut.leaves, found[:count], strict=True))
        assign(own, list(found[count : count + len(own)]))
        mixing = torch._foreach_add(mixing, found[count + len(own) :]) if shared else mixing  # type: ignore[assignment]
    assign(shared, mixing)
    return cotangents


def assign(parameters: list[nn.Parameter], gradients: Gradients) -> None:
    """Set each parameter's ``.grad``; what stood there before is gone, never added to."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def pull_back(
    features: list[Tensor], parameters: list[nn.Parameter], cotangents: list[Tensor], *, last: bool
) -> Gradients:
    """Return the gradients of parameters for one cotangent of each feature: ``(dz / dtheta)^T v``.

    ``last``: nothing pulls back through this graph again, so that its memory is freed.
    """
    return list(torch.autograd.grad(features, parameters, cotangents, retain_graph=not last, materialize_grads=True))


def inner_products(left: Gradients, right: Gradients) -> Tensor:
    """Return the inner product of each pair of tensors, ``(T,)`` in float64.

    PyTorch has no dot product of whole lists, but has their norms. So the positive and the negative products are
    summed apart, each as a 1-norm: a few calls for all tensors, where one call per tensor would take longer to start
    than to compute.
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
    """Return the Gramian of K objectives' gradients of T tensors, one per tensor: ``(T, K, K)`` in float64.

    A gradient whose square is 0 in the gradients' own type (norms below about 1e-23 in float32) counts as
    zero: its inner products are 0 too, or a formula would divide what is left of them by that square.
    """
    # Each pair once: the matrix is symmetric. float64, since cosines near 0 decide and squares of norms underflow.
    size = range(len(gradients))
    products = {(i, i): norms(gradients[i]).square() for i in size}
    for i in size:
        for j in range(i):
            both = (products[i, i] > 0) & (products[j, j] > 0)
            products[i, j] = torch.where(both, inner_products(gradients[i], gradients[j]), 0.0)
    rows = [torch.stack([products[max(i, j), min(i, j)] for j in size], dim=-1) for i in size]
    return torch.stack(rows, dim=-2)


def combine(gradients: list[Gradients], weights: Tensor) -> Gradients:
    """Return ``sum_k w_k g_k`` tensor by tensor; ``weights`` are ``(K,)``, or ``(T, K)`` for one set per tensor."""
    weights = _finite(weights, gradients[0][0].dtype)
    total = _scaled(gradients[0], weights[..., 0])
    for k in range(1, len(gradients)):
        total = torch._foreach_add(total, _scaled(gradients[k], weights[..., k]))  # type: ignore[assignment]
    return total


def _finite(factors: Tensor, dtype: torch.dtype) -> Tensor:
    """Round factors to the gradients' type, large ones to its largest number: infinity times a zero is not a number."""
    largest = torch.finfo(dtype).max
    return factors.clamp(-largest, largest).to(dtype)


def _scaled(gradients: Gradients, factor: Tensor) -> Gradients:
    """Return all tensors times a scalar tensor, or each times its own of ``(T,)``."""
    if factor.ndim == 0:
        return torch._foreach_mul(gradients, factor)  # type: ignore[return-value]
    return torch._foreach_mul(gradients, list(factor.unbind()))  # type: ignore[return-value]


def integrate(method: IntegrationMethod, gradients: list[Gradients], losses: Tensor, state: State) -> Integration:
    """Combine the K gradients of one module by a method.

    Args:
        gradients: K lists of T tensors, in the order of the module's objectives.
        losses: their losses ``(K,)``.
    """
    per_tensor = gramian(gradients)  # (T, K, K)
    whole = per_tensor.sum(dim=0)  # (K, K): the inner product of concatenated vectors is the sum over their parts
    weights, state = method.weights(per_tensor if method.scope == "tensor" else whole, losses, state)
    combined = combine(gradients, weights)
    if method.rescale_scope is not None:
        combined = _rescaled(method, combined, gradients)
    return Integration(combined, whole, weights, state)


def _rescaled(method: IntegrationMethod, combined: Gradients, gradients: list[Gradients]) -> Gradients:
    """Scale the combined gradient by what the method makes of its norm and the plain sum's.

    Both norms come from the vectors themselves: from the Gramian they lose digits when gradients nearly cancel.
    """
    total = gradients[0]
    for gradient in gradients[1:]:
        total = torch._foreach_add(total, gradient)  # type: ignore[assignment]
    if method.rescale_scope == "encoder":
        factor = method.scale(total_norm(combined), total_norm(total))
    else:
        factor = method.scale(norms(combined), norms(total))
    return _scaled(combined, _finite(factor, combined[0].dtype))
