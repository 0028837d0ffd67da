"""Unimodal pre-training and fine-tuning: the multimodal network starts from individually trained encoders."""

from __future__ import annotations

from collections.abc import Callable

from counterpoise.declare import method, setting
from counterpoise.methods.interface import LossMethod, Weights
from counterpoise.models.network import JOINT, Network


@method(
    name="fine_tune",
    title="Unimodal pre-trained & fine-tune",
    family="loss",
    paper="MMPareto (ICML 2024)",
    source="MMPareto, Section 4.4 and Table 1; the second stage's loss is not stated there. Its unimodal "
    "accuracies bear no star, so its unimodal heads are trained: 'uniform' is our reading",
    needs=("unimodal_runs",),
)
class FineTune(LossMethod):
    """Encoders and unimodal heads from the unimodal runs of the same seed; then everything is trained.

    The fusion starts fresh. With ``second_stage`` ``uniform`` the loss is ``L_m + sum_k L_u^k``, with
    ``joint`` it is ``L_m`` and the unimodal heads predict nothing.
    """

    second_stage: str = setting("uniform", choices=("uniform", "joint"), doc="the loss of the second stage")

    def initialise(self, network: Network, unimodal_run: Callable[[str], Weights]) -> None:
        for modality in network.modalities:
            weights = unimodal_run(modality)
            for part in (f"encoders.{modality}", f"heads.{modality}"):
                prefix = f"{part}."
                kept = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
                network.get_submodule(part).load_state_dict(kept)

    def objectives(self, network: Network) -> tuple[str, ...]:
        return (JOINT,) if self.second_stage == "joint" else network.objectives
