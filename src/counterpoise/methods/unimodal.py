"""A single modality: one encoder and its own head, trained alone."""

from __future__ import annotations

from counterpoise.declare import method, setting
from counterpoise.errors import UserError, suggest
from counterpoise.methods.interface import LossMethod, are_linked
from counterpoise.models.network import JOINT, Network


@method(
    name="unimodal",
    title="Unimodal",
    family="loss",
    paper="MMPareto (ICML 2024): Audio-only, Video-only",
    source="MMPareto, Section 4.4: unimodal models trained individually",
    trains="single",
    modalities=(1, None),
)
class Unimodal(LossMethod):
    """``L = L_u``. The other encoders, the fusion and the other heads are neither run nor changed."""

    modality: str = setting("", doc="the modality that is trained; a table's row says which")

    def check(self, network: Network) -> None:
        where = f"method '{self.info.name}': modality '{self.modality}'"
        if network.fusion is None:
            raise UserError(f"{where}: the network has tasks, not modalities")
        if self.modality not in network.modalities:
            raise UserError(f"{where}: the network has no such{suggest(self.modality, network.modalities)}")
        if are_linked(network):
            raise UserError(f"{where}: no encoder of this network can be run by itself")

    def objectives(self, network: Network) -> tuple[str, ...]:
        return tuple(name for name in network.objectives if name == self.modality != JOINT)

    def encoders(self, network: Network) -> tuple[str, ...]:
        return (self.modality,)
