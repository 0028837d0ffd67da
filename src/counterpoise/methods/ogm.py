"""OGM and OGM-GE: on-the-fly gradient modulation slows the modality that is ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import ModulationMethod, State, Step, mean_of_others, ratio, slice_scores


class _OnTheFly(ModulationMethod):
    """``k_u = 1 - tanh(alpha rho_u)`` if ``rho_u > 1``, else 1, with ``rho_u = s_u / mean of the others' s``.

    ``s_u`` is the batch's sum of the true class's probability by the modality's part of the joint logits.
    """

    alpha: float
    starts: int
    ends: int
    scaled: str

    @property
    def modulated(self) -> str:
        return self.scaled

    def active(self, epoch: int) -> bool:
        return self.starts <= epoch <= self.ends

    def scores(self, step: Step) -> Tensor:
        return slice_scores(step)

    def coefficients(self, scores: Tensor, state: State) -> tuple[Tensor, State]:
        ahead = ratio(scores, mean_of_others(scores))
        return torch.where(ahead > 1, 1 - torch.tanh(self.alpha * ahead), 1.0), state


@method(
    name="ogm",
    title="OGM",
    family="modulation",
    paper="Peng et al., CVPR 2022",
    source="on-the-fly gradient modulation; for more than two modalities the others' mean, which is ours",
    trains="joint",
    needs=("weight_slices",),
    variants={
        "published": {
            "settings": {"scaled": "encoder"},
            "source": "the text: the update of the encoder, all its parameters",
        },
        "released": {
            "settings": {"scaled": "convolutions"},
            "source": "main.py of OGM-GE_CVPR2022: only 4-D tensors, that is convolution weights, of the encoder",
        },
    },
)
class OGM(_OnTheFly):
    """Gradient modulation without noise."""

    alpha: float = setting(0.8, above=0.0, doc="degree of modulation (README: 0.8 CREMA-D, 0.1 VGGSound)")
    starts: int = setting(0, minimum=0, doc="first epoch that is modulated, from 0")
    ends: int = setting(50, minimum=0, doc="last epoch that is modulated")
    scaled: str = setting("encoder", choices=("encoder", "convolutions"), doc="which gradients are scaled")


@method(
    name="ogm_ge",
    title="OGM-GE",
    family="modulation",
    paper="Peng et al., CVPR 2022",
    source="on-the-fly gradient modulation with generalisation enhancement; for more than two modalities the "
    "others' mean, which is ours",
    trains="joint",
    needs=("weight_slices",),
    variants={
        "published": {
            "settings": {"scaled": "encoder"},
            "source": "the text: the update of the encoder, all its parameters, with noise of the "
            "gradient's own deviation",
        },
        "released": {
            "settings": {"scaled": "convolutions"},
            "source": "main.py of OGM-GE_CVPR2022: only 4-D tensors of the encoder; noise also on the "
            "modality that is not slowed",
        },
    },
)
class OGMGE(_OnTheFly):
    """OGM, with Gaussian noise of each tensor's own gradient deviation added to every modulated tensor."""

    alpha: float = setting(0.8, above=0.0, doc="degree of modulation (README: 0.8 CREMA-D, 0.1 VGGSound)")
    starts: int = setting(0, minimum=0, doc="first epoch that is modulated, from 0")
    ends: int = setting(50, minimum=0, doc="last epoch that is modulated")
    scaled: str = setting("encoder", choices=("encoder", "convolutions"), doc="which gradients are scaled")

    @property
    def noise(self) -> bool:
        return True
