"""GradNorm: loss weights learned so that the objectives' gradient norms follow their training rates."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import IntegrationMethod, State, ratio


@method(
    name="gradnorm",
    title="GradNorm",
    family="integration",
    paper="Chen et al., ICML 2018",
    source="Equations 1 and 2, Algorithm 1; W is the last shared layer, one set of weights per encoder; a loss "
    "that reaches several encoders trains its head with the mean of its weights there, which is ours",
    tasks=True,
)
class GradNorm(IntegrationMethod):
    """``L_grad = sum_i |G_i - mean(G) r_i^alpha|`` with ``G_i = w_i ||grad_W L_i||``, one descent step on ``w`` a step.

    ``G_i`` is linear in ``w_i``, so its derivative is ``||grad_W L_i||`` and no second-order graph is needed.
    The weights are kept at or above ``least_weight`` and renormalised to sum to K. As in Algorithm 1 the
    network descends ``sum_i w_i L_i``, heads included.
    """

    alpha: float = setting(1.5, minimum=0.0, doc="how strongly training rates are equalised")
    weight_lr: float = setting(0.025, above=0.0, doc="step size of the weights")
    least_weight: float = setting(1e-3, above=0.0, doc="lower bound of a weight before renormalisation")
    measured_on: str = setting(
        "last_layer", choices=("last_layer", "encoder"), doc="W: the encoder's last layer, or all of it (as LibMTL)"
    )

    @property
    def scope(self) -> str:
        return self.measured_on

    @property
    def weighs_heads(self) -> bool:
        return True

    def module_state(self, objectives: int, tensors: int) -> State:
        return {
            "weights": torch.ones(objectives, dtype=torch.float64),
            "initial_losses": torch.full((objectives,), torch.nan, dtype=torch.float64),
        }

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        losses = losses.to(gramian.dtype)
        weights, initial = state["weights"], state["initial_losses"]
        initial = torch.where(initial.isnan(), losses, initial)
        norms = gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()
        target = self.targets(weights * norms, ratio(losses, initial))
        slope = torch.sign(weights * norms - target) * norms
        stepped = (weights - self.weight_lr * slope).clamp_min(self.least_weight)
        renormalised = stepped * (stepped.shape[-1] / stepped.sum(dim=-1, keepdim=True))
        return weights, {"weights": renormalised, "initial_losses": initial}

    def targets(self, norms: Tensor, progress: Tensor) -> Tensor:
        """Return ``mean(G) r_i^alpha`` for norms ``G`` and inverse training rates ``L_i(t) / L_i(0)``, all ``(K,)``."""
        rate = ratio(progress, progress.mean(dim=-1, keepdim=True).expand_as(progress))
        return norms.mean(dim=-1, keepdim=True) * rate**self.alpha
