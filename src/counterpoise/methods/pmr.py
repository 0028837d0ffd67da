"""PMR: prototypical modal rebalance pulls the slower modality's features towards their class prototypes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from counterpoise.declare import method, setting
from counterpoise.methods.interface import (
    COEFFICIENTS,
    Epoch,
    LossMethod,
    State,
    Step,
    evaluating,
    mean_of_others,
    ratio,
)
from counterpoise.models.network import JOINT, Network


@method(
    name="pmr",
    title="PMR",
    family="loss",
    paper="Fan et al., CVPR 2023",
    source="Equations 6 to 13, Algorithm 1; more than two modalities: each against the best, which is ours",
    trains="joint",
    needs=("prototypes",),
    variants={
        "published": {
            "settings": {"strength": "continuous", "entropy": 0.01, "ends": None, "momentum_starts": 1},
            "source": "Equation 11: continuous coefficients; Equation 13: entropy regularisation in the "
            "first epochs (mu 1e-2 or 1e-3 in Section 5.2, their number is not stated); no last epoch",
        },
        "released": {
            "settings": {"strength": "switch", "entropy": 0.0, "ends": 100, "momentum_starts": 2},
            "source": "main_Prototype_grad.py: coefficients 0 or 1, no entropy term, plain joint loss after "
            "the last modulated epoch; the second prototypes, those of the end of epoch 0, are made without "
            "momentum as the first are",
        },
    },
)
class PMR(LossMethod):
    """``L = L_m + alpha sum_u c_u L_proto^u - mu sum_u d_u H_u``.

    ``p_u = softmax_k(-||z_u - c_k^u||)`` over prototypes ``c_k^u`` (class means of the features, recomputed
    before every epoch on part of the training split), ``L_proto^u`` is its cross-entropy, ``H_u`` its
    entropy. With ``s_u`` the batch's sum of ``p_u`` of the true class, ``c_u = clip(max_j s_j / s_u - 1, 0,
    1)`` and ``d_u``, of the best modality alone, is the mean of the others' ``c``.
    """

    alpha: float = setting(1.0, minimum=0.0, doc="weight of the prototype losses (1 or 2 in Section 5.2)")
    strength: str = setting("continuous", choices=("continuous", "switch"), doc="c_u: clipped ratio, or 0 or 1")
    entropy: float = setting(0.01, minimum=0.0, doc="mu: weight of the entropy regularisation")
    entropy_epochs: int = setting(10, minimum=0, doc="epochs of the entropy regularisation")
    momentum: float = setting(0.2, minimum=0.0, below=1.0, doc="share of the last epoch's prototypes that is kept")
    momentum_starts: int = setting(1, minimum=1, doc="first epoch, from 0, whose prototypes keep a share of the last")
    share: float = setting(0.1, above=0.0, maximum=1.0, doc="share of the training split that prototypes are made of")
    starts: int = setting(0, minimum=0, doc="first epoch that is modulated, from 0")
    ends: int | None = setting(None, minimum=0, doc="last epoch that is modulated")

    def initial_state(self, network: Network) -> State:
        return {COEFFICIENTS: torch.zeros(len(network.modalities), dtype=torch.float64)}

    def active(self, epoch: int) -> bool:
        """Return whether an epoch (from 0) is modulated."""
        return self.starts <= epoch and (self.ends is None or epoch <= self.ends)

    def start_epoch(self, epoch: Epoch, state: State) -> State:
        if not self.active(epoch.epoch):
            return state | {COEFFICIENTS: torch.zeros_like(state[COEFFICIENTS])}
        sums, counts, total = _class_sums(epoch, self.share)
        found = {}
        kept = self.momentum if epoch.epoch >= self.momentum_starts else 0.0
        for name in epoch.network.modalities:
            key = f"prototypes/{name}"
            mean = total[name] / counts.sum()
            old = state.get(key, mean.expand_as(sums[name]))  # a class never seen stands in the middle
            new = torch.where(counts[:, None] > 0, sums[name] / counts[:, None], old)
            found[key] = kept * old + (1 - kept) * new if key in state else new
        return state | found

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        joint = step.losses[JOINT]
        if not self.active(step.epoch):
            return joint, state
        labels, names = step.labels[JOINT], step.network.modalities
        vectors = step.network.vectors(step.features)
        logs = [log_similarities(vectors[name], state[f"prototypes/{name}"]) for name in names]
        pulls = torch.stack([functional.nll_loss(values, labels) for values in logs])
        scores = torch.stack([values.detach().exp().gather(1, labels[:, None]).sum() for values in logs])
        strengths = self.strengths(scores)
        total = joint + self.alpha * (strengths * pulls).sum()
        if self.entropy > 0 and step.epoch < self.entropy_epochs:
            entropies = torch.stack([-(values.exp() * values).sum(dim=1).mean() for values in logs])
            total = total - self.entropy * (opposite(strengths) * entropies).sum()
        return total, state | {COEFFICIENTS: self.alpha * strengths.double()}

    def strengths(self, scores: Tensor) -> Tensor:
        """Return ``c_u`` for scores ``s_u``, both ``(M,)``: the formula."""
        behind = ratio(scores.max().expand_as(scores), scores) - 1
        return (behind > 0).to(scores.dtype) if self.strength == "switch" else behind.clamp(0.0, 1.0)


def opposite(strengths: Tensor) -> Tensor:
    """Return ``d_u``, ``(M,)``: what the others are pulled with, for the modality that is not pulled itself."""
    return torch.where(strengths > 0, 0.0, mean_of_others(strengths))


def log_similarities(features: Tensor, prototypes: Tensor) -> Tensor:
    """Return ``log softmax(-distance)`` of features ``(B, d)`` to prototypes ``(C, d)``, ``(B, C)``."""
    # By differences: products would lose the digits of small distances. Its derivative at distance 0 is 0.
    mode = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(features.to(prototypes.dtype), prototypes, compute_mode=mode)
    return (-distances).log_softmax(dim=1)


def _class_sums(epoch: Epoch, share: float) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """Return per modality the sum of features of each class ``(C, d)``, the class counts ``(C,)``, and per
    modality the sum over all classes ``(d,)``."""
    network = epoch.network
    sums: dict[str, Tensor] = {}
    counts: Tensor | None = None
    with evaluating(network), torch.no_grad():
        for inputs, targets in epoch.batches("train", share):
            features = network.encode(inputs)
            classes = network.predict(features, (JOINT,))[JOINT].shape[1]
            members = functional.one_hot(targets[network.targets[JOINT]], classes)  # (B, C)
            counts = members.sum(dim=0) + (0 if counts is None else counts)
            for name, values in network.vectors(features).items():
                sums[name] = members.to(values.dtype).T @ values + sums.get(name, 0)
    # A training split has at least one batch, so there are counts.
    return sums, counts, {name: values.sum(dim=0) for name, values in sums.items()}  # type: ignore[return-value]
