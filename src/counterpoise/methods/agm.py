"""AGM: adaptive gradient modulation by each modality's Shapley share of the joint logits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from counterpoise.declare import method, setting
from counterpoise.methods.interface import COEFFICIENTS, LossMethod, State, Step, are_linked, evaluating, mean_of_others
from counterpoise.models.interface import Features
from counterpoise.models.network import JOINT, Network


@method(
    name="agm",
    title="AGM",
    family="loss",
    paper="Li et al., ICCV 2023",
    source="mono-modal outputs by zero-padded inputs, running averages, and the modulation of their gradients",
    trains="joint",
    needs=("extra_forwards",),
    variants={
        "published": {
            "settings": {"clip": False},
            "source": "the text; the exponent is capped as in the code, without which it overflows",
        },
        "released": {
            "settings": {"clip": True},
            "source": "CREMAD_main.py: where the largest gradient of the fusion's weight is above 1, all "
            "gradients are clipped to norm 1",
        },
    },
)
class AGM(LossMethod):
    """``kappa_u = exp(alpha min(tau_u - r_u, cap))`` multiplies the gradient at the mono-modal output ``m_u``.

    ``m_u`` is the Shapley share of modality u of ``f``, other modalities' inputs being zero; for two, ``m_a =
    (f(a, v) - f(0, v) + f(a, 0)) / 2``. They sum to ``f(a, v)``. ``s_u`` is the batch's mean of ``-log
    softmax(m_u)[y]``, ``r_u = exp(mean of the others' s - s_u)`` and ``tau_u`` the same of the averages of s
    over all steps so far, those before the first modulated epoch included.

    The padded passes run in evaluation mode and keep their graph. Encoders know one modality each, so they
    run on the inputs once more and on a single row of zeros, however many paddings there are.
    """

    alpha: float = setting(2.5, minimum=0.0, doc="degree of modulation")
    cap: float = setting(10.0, above=0.0, doc="largest tau - r")
    floor: float = setting(1e-8, above=0.0, below=1.0, doc="least probability in a score")
    clip: bool = setting(False, doc="whether gradients are clipped when the fusion's are large")
    starts: int = setting(0, minimum=0, doc="first epoch that is modulated, from 0")
    ends: int | None = setting(None, minimum=0, doc="last epoch that is modulated")

    def initial_state(self, network: Network) -> State:
        count = len(network.modalities)
        return {
            "mean_scores": torch.zeros(count, dtype=torch.float64),
            "steps": torch.zeros((), dtype=torch.float64),
            COEFFICIENTS: torch.ones(count, dtype=torch.float64),
        }

    def loss(self, step: Step, state: State) -> tuple[Tensor, State]:
        joint, labels = step.outputs[JOINT], step.labels[JOINT]
        ones = torch.ones_like(state[COEFFICIENTS])
        if self.ends is not None and step.epoch > self.ends:  # nothing looks at the averages any more
            return step.losses[JOINT], state | {COEFFICIENTS: ones}
        if step.epoch < self.starts:
            with torch.no_grad():
                shares = mono_modal_outputs(step)
            return step.losses[JOINT], self.modulate(self.scores(shares, labels), state) | {COEFFICIENTS: ones}
        shares = mono_modal_outputs(step)  # (M, B, C)
        state = self.modulate(self.scores(shares.detach(), labels), state)
        # The value is that of f; the gradient that of the shares, each times its coefficient.
        coefficients = state[COEFFICIENTS].to(shares.dtype)[:, None, None]
        logits = joint.detach() + (coefficients * (shares - shares.detach())).sum(dim=0)
        return functional.cross_entropy(logits, labels), state

    def scores(self, shares: Tensor, labels: Tensor) -> Tensor:
        """Return ``s_u`` of mono-modal outputs ``(M, B, C)``, ``(M,)``; smaller is better."""
        right = shares.double().softmax(dim=2)[:, torch.arange(len(labels), device=labels.device), labels]
        return -right.clamp_min(self.floor).log().mean(dim=1)

    def modulate(self, scores: Tensor, state: State) -> State:
        """Return the state with coefficients for scores ``(M,)``, and with the averages that include them."""
        mean, steps = state["mean_scores"], state["steps"]
        now, usual = (mean_of_others(scores) - scores).exp(), (mean_of_others(mean) - mean).exp()
        return {
            "mean_scores": (mean * steps + scores) / (steps + 1),
            "steps": steps + 1,
            COEFFICIENTS: (self.alpha * (usual - now).clamp_max(self.cap)).exp(),
        }

    def after_backward(self, step: Step, state: State) -> State:
        if self.clip:
            weights = [p.grad for p in step.network.fusion.parameters() if p.ndim > 1 and p.grad is not None]
            largest = torch.stack(torch._foreach_norm(weights, math.inf)).max()
            gradients = [p.grad for p in step.network.parameters() if p.grad is not None]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            factor = torch.where(largest > 1, (1 / (norm + 1e-6)).clamp_max(1.0), 1.0)
            torch._foreach_mul_(gradients, factor)
        return state


def mono_modal_outputs(step: Step) -> Tensor:
    """Return the Shapley share of each modality of the joint logits, ``(M, B, C)``.

    With no modality left the output counts as 0, so that the shares sum to the output of the full input.
    """
    network, names = step.network, step.network.modalities
    outputs = {frozenset(names): step.outputs[JOINT]}
    groups = [group for size in range(1, len(names)) for group in itertools.combinations(names, size)]
    with evaluating(network):
        padded = _all_together(step, groups) if are_linked(network) else _each_by_itself(step, groups)
        for group, features in zip(groups, padded, strict=True):
            outputs[frozenset(group)] = network.predict(features, (JOINT,))[JOINT]
    return torch.stack([_share(name, names, outputs) for name in names])


def _each_by_itself(step: Step, groups: list[tuple[str, ...]]) -> Iterator[Features]:
    """Yield the features that each group of modalities gives, the others' inputs being zero."""
    network, names = step.network, step.network.modalities
    present = network.run_encoders(step.inputs)
    absent = network.run_encoders({name: torch.zeros_like(step.inputs[name][:1]) for name in names})
    for group in groups:
        yield network.mix({n: present[n] if n in group else absent[n].expand_as(present[n]) for n in names})


def _all_together(step: Step, groups: list[tuple[str, ...]]) -> Iterator[Features]:
    """Do the same for encoders that cannot be run apart: a whole pass for each group."""
    for group in groups:
        inputs = {name: x if name in group else torch.zeros_like(x) for name, x in step.inputs.items()}
        yield step.network.encode(inputs)


def _share(name: str, names: tuple[str, ...], outputs: dict[frozenset[str], Tensor]) -> Tensor:
    count = len(names)
    others = [other for other in names if other != name]
    total = torch.zeros_like(outputs[frozenset(names)])
    for size in range(count):
        weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
        for group in map(frozenset, itertools.combinations(others, size)):
            gain = outputs[group | {name}] - outputs[group] if group else outputs[group | {name}]
            total = total + weight * gain
    return total
