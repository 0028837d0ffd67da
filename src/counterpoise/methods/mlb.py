"""MLB: multi-loss balanced. Every encoder's pace follows how it does against the others, both ways."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import ModulationMethod, State, Step, mean_of_others, ratio, true_class_score


@method(
    name="mlb",
    title="MLB",
    family="modulation",
    paper="Kontras et al., BMVC 2024",
    source="Equations 3 to 7",
    variants={
        "published": {
            "settings": {"scaled": "encoder", "bound": "beta_max"},
            "source": "Equations 2 and 5 to 7: each encoder is scaled; beta_max bounds the acceleration",
        },
        "released": {
            "settings": {"scaled": "modality", "bound": "two"},
            "source": "Bias_Infusion.py of the MLB repository: the encoder, its head, and in the fusion its columns "
            "of Late-Linear's weight, its projection of Mid-MLP, its side of Gated; with tanh_mode off, the "
            "default, acceleration is bounded by 2 whatever beta_max is",
        },
        "sgd": {
            "settings": {"scaled": "encoder", "bound": "beta_max"},
            "source": "ours, an ablation: as published with SGD, since Adam cancels a constant "
            "factor; the optimiser is set in configs/methods/mlb.yaml",
        },
    },
)
class MLB(ModulationMethod):
    """``k_i = 1 + (beta_i - 1) tanh(alpha (r_i - 1))``, ``beta_i = beta_max`` if ``r_i > 1`` else 2.

    ``r_i`` is the mean score of the others over the modality's own; a score is the batch's sum of the unimodal
    head's probability of the true class. One backward pass of ``L_m + sum_i L_u^i``, then gradients are scaled.
    """

    alpha: float = setting(0.8, above=0.0, doc="slope of the coefficient around equal scores")
    beta_max: float = setting(2.0, minimum=0.0, doc="largest coefficient; at least 1 in the paper, below it slows")
    scaled: str = setting("encoder", choices=("encoder", "modality"), doc="which gradients are scaled")
    bound: str = setting("beta_max", choices=("beta_max", "two"), doc="what bounds the acceleration")

    @property
    def modulated(self) -> str:
        return self.scaled

    def scores(self, step: Step) -> Tensor:
        names = step.network.modalities
        return torch.stack([true_class_score(step.outputs[name], step.labels[name]) for name in names])

    def coefficients(self, scores: Tensor, state: State) -> tuple[Tensor, State]:
        behind = ratio(mean_of_others(scores), scores)
        bound = self.beta_max if self.bound == "beta_max" else 2.0
        beta = torch.where(behind > 1, bound, 2.0)
        return 1 + (beta - 1) * torch.tanh(self.alpha * (behind - 1)), state
