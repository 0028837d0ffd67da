"""MSLR: each modality has its own learning rate, moved by its recent validation accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.errors import UserError
from counterpoise.methods.interface import Epoch, ModulationMethod, State, Step, evaluating, ratio
from counterpoise.models.network import JOINT, Network


@method(
    name="mslr",
    title="MSLR",
    family="modulation",
    paper="Yao & Mihalcea, Findings of ACL 2022",
    source="its Keep, Smooth and Dynamic strategies: the learning rate of each unimodal encoder. It has no code; that "
    "of MLB's comparison scales the encoders too, and not the fusion",
    trains="joint",
    needs=("weight_slices", "validation_split"),
)
class MSLR(ModulationMethod):
    """``k_u = init_u``, times ``acc_u / mean(acc_u of the last K epochs)`` when dynamic.

    ``acc_u`` is the validation accuracy by the modality's part of the joint logits. The dynamic factor is 1
    until K accuracies stand behind the newest one, as in MLB's released code. Smooth moves from ``init_u`` to
    1 in a straight line over K epochs.
    """

    strategy: str = setting("dynamic", choices=("keep", "smooth", "dynamic"), doc="how coefficients move")
    initial: list[float] = setting([], doc="init_u in the order of the model's modalities; empty: 1 for all")
    memory: int = setting(5, minimum=1, doc="K: epochs whose accuracies are averaged, or of the way to 1")

    def check(self, network: Network) -> None:
        count = len(network.modalities)
        if self.initial and len(self.initial) != count:
            raise UserError(f"method '{self.info.name}': initial: {len(self.initial)} numbers for {count} modalities")

    def initial_state(self, network: Network) -> State:
        count = len(network.modalities)
        start = torch.tensor(self.initial or [1.0] * count, dtype=torch.float64)
        past = torch.full((self.memory, count), torch.nan, dtype=torch.float64)
        return {"current": start, "accuracies": past}

    def start_epoch(self, epoch: Epoch, state: State) -> State:
        if self.strategy != "smooth":
            return state
        start = self.initial_state(epoch.network)["current"].to(state["current"].device)
        share = min(1.0, epoch.epoch / self.memory)
        return state | {"current": start * (1 - share) + share}

    def end_epoch(self, epoch: Epoch, state: State) -> State:
        if self.strategy != "dynamic":
            return state
        start = self.initial_state(epoch.network)["current"].to(state["current"].device)
        return self.dynamic(start, slice_accuracies(epoch), state["accuracies"])

    @staticmethod
    def dynamic(start: Tensor, newest: Tensor, past: Tensor) -> State:
        """Return the next coefficients and memory from ``init`` and the newest accuracies ``(M,)``, and the
        last K accuracies ``(K, M)`` (NaN where there was no epoch yet): the formula."""
        mean = past.mean(dim=0)
        factor = torch.where(mean.isnan(), 1.0, ratio(newest, mean))
        return {"current": start * factor, "accuracies": torch.cat((past[1:], newest[None]))}

    def scores(self, step: Step) -> Tensor:
        feature = next(iter(step.features.values()))
        return feature.new_zeros(len(step.network.modalities))  # the batch does not count

    def coefficients(self, scores: Tensor, state: State) -> tuple[Tensor, State]:
        return state["current"], state


def slice_accuracies(epoch: Epoch) -> Tensor:
    """Return the validation accuracy of each modality by its own part of the joint logits, ``(M,)`` in float64."""
    network, hits, count = epoch.network, 0, 0  # hits becomes a tensor (M,) with the first batch
    with evaluating(network), torch.no_grad():
        for inputs, targets in epoch.batches("val"):
            labels = targets[network.targets[JOINT]]
            parts = network.fusion.contributions(network.encode(inputs))
            right = [(parts[name].argmax(dim=1) == labels).sum() for name in network.modalities]
            hits = hits + torch.stack(right).double()  # type: ignore[assignment]
            count += len(labels)
    return hits / count  # type: ignore[return-value]
