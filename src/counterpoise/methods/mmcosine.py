"""MMCosine: joint logits are cosines, so that neither modality can win by the length of its features or weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from counterpoise.declare import method, setting
from counterpoise.methods.interface import LossMethod
from counterpoise.models.network import JOINT, Network


@method(
    name="mmcosine",
    title="MMCosine",
    family="loss",
    paper="Xu et al., ICASSP 2023",
    source="the modality-wise cosine loss; shared bias left out",
    trains="joint",
    needs=("weight_slices",),
    variants={
        "published": {
            "settings": {"plain_evaluation": False},
            "source": "the text: cosine logits in training and in evaluation",
        },
        "released": {
            "settings": {"plain_evaluation": True},
            "source": "main_CD.py of MMCosine_ICASSP23: evaluation takes the fusion's own output, not "
            "normalised and with its bias",
        },
    },
)
class MMCosine(LossMethod):
    """``o = s sum_u cos(W_u, z_u)``: features and every class row of each weight slice normalised, no bias."""

    scale: float = setting(10.0, above=0.0, doc="s: scale of the cosines")
    plain_evaluation: bool = setting(False, doc="whether evaluation uses the fusion's own logits instead")

    def predict(self, network: Network, features: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.plain_evaluation and not network.training:
            return super().predict(network, features)
        cosines = [
            functional.normalize(features[name], dim=1) @ functional.normalize(weight[:, columns], dim=1).T
            for name, (weight, columns) in network.fusion.weight_slices().items()
        ]
        return {JOINT: self.scale * torch.stack(cosines).sum(dim=0)}
