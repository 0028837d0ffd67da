"""MMTM: between their stages, convolutional encoders gate each other's channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoise.declare import fusion, setting
from counterpoise.errors import UserError
from counterpoise.models.interface import Features, Fusion, FusionModule

STAGES = 4


@fusion(
    name="mmtm",
    title="Multimodal transfer modules",
    slices=True,
    linked=True,
    source="Joze et al., CVPR 2020, as in Greedy (Wu et al., ICML 2022): src/balanced_mmtm.py, src/model.py",
)
class MMTM(Fusion):
    """After each of the last three stages, ``s = relu(W [mean of maps]_all + b)`` and every encoder's maps are
    multiplied by ``sigmoid(W_u s + b_u)``. Each branch has a linear head; the joint logits are the heads' mean.
    """

    ratio: float = setting(4.0, above=0.0, doc="s has 2 / ratio times as many units as all maps have channels")

    def build(self, widths: dict[str, int], classes: int) -> FusionModule:
        return _MMTM(widths, classes, self.ratio)


class _MMTM(FusionModule):
    """``held`` says, per modality ``(M,)``, whether its gates stand at their running average while training;
    ``None``: none does.
    """

    crosses = True

    def __init__(self, widths: dict[str, int], classes: int, ratio: float) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.held: Tensor | None = None
        later = [{u: width // 2 ** (STAGES - 1 - i) for u, width in widths.items()} for i in range(1, STAGES)]
        self.exchanges = nn.ModuleList(_Exchange(channels, ratio) for channels in later)
        self.branches = nn.ModuleDict({u: nn.Linear(width, classes) for u, width in widths.items()})

    def run(self, encoders: nn.ModuleDict, inputs: dict[str, Tensor], names: tuple[str, ...]) -> Features:
        """Run the encoders through their stages. Where only some run, as when one is probed by itself, the
        gates stand at their running averages: what Greedy's paper takes for a branch without the other.
        """
        for name in names:
            if len(getattr(encoders[name], "stages", ())) != STAGES:
                raise UserError(f"fusion 'mmtm': the encoder of '{name}' has not four stages to act between")
        alone = set(names) != set(self.widths)
        maps = {
            name: encoders[name].stages[0](encoders[name].stem(inputs[name])) for name in self.widths if name in names
        }
        for number, exchange in enumerate(self.exchanges, start=1):
            maps = {name: encoders[name].stages[number](values) for name, values in maps.items()}
            batch = len(inputs[names[0]])
            maps = exchange.averaged(maps, batch) if alone else exchange(maps, batch, self.held)
        return {name: encoders[name].pool(encoders[name].finish(maps[name], len(inputs[name]))) for name in names}

    def mixing_parameters(self) -> list[nn.Parameter]:
        return list(self.exchanges.parameters())

    def branch_logits(self, features: Features) -> dict[str, Tensor]:
        """Return the prediction of each branch ``{modality: (B, C)}``."""
        return {name: layer(features[name]) for name, layer in self.branches.items()}

    def head(self, modality: str) -> list[nn.Parameter]:
        """Return the parameters of a branch after its encoder."""
        return list(self.branches[modality].parameters())

    def bypass(self, modality: str) -> list[nn.Parameter]:
        """Return the parameters through which others reach a modality's branch: the shared squeezing layers
        and its own gates' layers.
        """
        found = [exchange.squeeze.parameters() for exchange in self.exchanges]
        found += [exchange.excite[modality].parameters() for exchange in self.exchanges]
        return [p for parameters in found for p in parameters]

    def weight_slices(self) -> dict[str, tuple[nn.Parameter, slice]]:
        return {name: (layer.weight, slice(None)) for name, layer in self.branches.items()}

    def contributions(self, features: Features) -> dict[str, Tensor]:
        return {name: logits / len(self.widths) for name, logits in self.branch_logits(features).items()}

    def forward(self, features: Features) -> Tensor:
        return torch.stack(list(self.contributions(features).values())).sum(dim=0)


class _Exchange(nn.Module):
    """One transfer module, with the running average of every modality's gates."""

    def __init__(self, channels: dict[str, int], ratio: float) -> None:
        super().__init__()
        total = sum(channels.values())
        hidden = max(1, int(2 * total / ratio))
        self.squeeze = nn.Linear(total, hidden)
        self.excite = nn.ModuleDict({name: nn.Linear(hidden, count) for name, count in channels.items()})
        for name, count in channels.items():
            self.register_buffer(f"average_{name}", torch.zeros(count))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, maps: dict[str, Tensor], batch: int, held: Tensor | None) -> dict[str, Tensor]:
        """Gate the channels of maps ``{modality: (B * T, C_u, H, W)}``, one set of gates per sample."""
        means = [values.unflatten(0, (batch, -1)).mean(dim=(1, 3, 4)) for values in maps.values()]  # (B, C_u)
        shared = self.squeeze(torch.cat(means, dim=1)).relu()
        gates = {name: layer(shared).sigmoid() for name, layer in self.excite.items()}
        if self.training:
            self._average(gates)
        if self.training and held is not None:
            for number, name in enumerate(gates):
                average = getattr(self, f"average_{name}").to(gates[name].dtype)
                gates[name] = torch.where(held[number], average, gates[name])
        return _gated(maps, gates, batch)

    def averaged(self, maps: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
        """Gate maps of any of the modalities by the running averages, which stay as they are."""
        gates = {
            name: getattr(self, f"average_{name}").to(values.dtype).expand(batch, -1) for name, values in maps.items()
        }
        return _gated(maps, gates, batch)

    @torch.no_grad()
    def _average(self, gates: dict[str, Tensor]) -> None:
        for name, values in gates.items():
            average = getattr(self, f"average_{name}")
            average.copy_((values.mean(dim=0) + average * self.steps) / (self.steps + 1))
        self.steps.add_(1)


def _gated(maps: dict[str, Tensor], gates: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Multiply the channels of maps ``{modality: (B * T, C_u, H, W)}`` by gates ``(B, C_u)``."""
    frames = {name: len(values) // batch for name, values in maps.items()}
    return {
        name: values * gates[name].repeat_interleave(frames[name], dim=0)[:, :, None, None]
        for name, values in maps.items()
    }
