"""G-Blending: objectives weighted by how much each generalises for how much it over-fits."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import Epoch, LossMethod, State, Step
from counterpoise.models.network import Network


@method(
    name="g_blending",
    title="G-Blending",
    family="loss",
    paper="Wang, Tran & Feiszli, CVPR 2020",
    source="optimal blend of the overfitting-to-generalisation ratio, and its offline and online algorithms",
    needs=("validation_split",),
    variants={
        "published": {
            "settings": {"online": True},
            "source": "the online algorithm: weights estimated anew in every super-epoch",
        },
        "offline": {
            "settings": {"online": False},
            "source": "the offline algorithm: weights estimated once, from the start",
        },
    },
)
class GBlending(LossMethod):
    """``L = sum_k w_k L_k`` with ``w_k`` proportional to ``dG_k / dO_k^2``, summing to 1.

    At the start of a super-epoch a copy of the network is trained for each objective alone. With training and
    validation loss before (N) and after (N + n): ``O = L_val - L_train``, ``dO = O(N+n) - O(N)``, ``dG =
    L_val(N) - L_val(N+n)``. A ``dG`` below 0 counts as 0 and ``|dO|`` is at least ``least_overfitting``;
    where no objective generalises the weights are equal (the paper is silent on both).
    """

    super_epoch: int = setting(10, minimum=1, doc="n: epochs of the estimation, and between estimations when online")
    online: bool = setting(True, doc="whether weights are estimated again in every super-epoch")
    least_overfitting: float = setting(1e-4, above=0.0, doc="lower bound of |dO|")

    def initial_state(self, network: Network) -> State:
        count = len(self.objectives(network))
        return {"weights": torch.full((count,), 1 / count, dtype=torch.float64)}

    def start_epoch(self, epoch: Epoch, state: State) -> State:
        due = epoch.epoch % self.super_epoch == 0 if self.online else epoch.epoch == 0
        return state | {"weights": self._estimate(epoch)} if due else state

    def _estimate(self, epoch: Epoch) -> Tensor:
        before = {split: epoch.objective_losses(split) for split in ("train", "val")}
        gains, overfits = [], []
        for objective in self.objectives(epoch.network):
            branch = epoch.train_branch((objective,), self.super_epoch)
            after = {split: epoch.objective_losses(split, branch)[objective] for split in ("train", "val")}
            gap = before["val"][objective] - before["train"][objective]
            gains.append(before["val"][objective] - after["val"])
            overfits.append((after["val"] - after["train"]) - gap)
        return self.weights(torch.stack(gains).double(), torch.stack(overfits).double())

    def weights(self, gains: Tensor, overfits: Tensor) -> Tensor:
        """Return ``w`` for ``dG`` and ``dO`` of K objectives, all ``(K,)``: the formula."""
        values = gains.clamp_min(0.0) / overfits.abs().clamp_min(self.least_overfitting).square()
        total = values.sum()
        return torch.where(total > 0, values / total, 1 / len(values))

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        losses = torch.stack(list(step.losses.values()))
        return (state["weights"].to(losses.dtype) * losses).sum(), state
