"""Every method written out a second time: slowly, one number after the other, as its paper or code tells it.

Shares nothing with the product but the network. Each function takes a network, a batch and a memory, and returns the
gradient of every parameter (``None``: left alone); :class:`Descent` then does momentum, weight decay and the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Gradients = dict[str, Tensor | None]


class Descent:
    """SGD as its formula says: ``g + decay p``, ``b <- momentum b + g``, ``p <- p - lr b``."""

    def __init__(self, network: nn.Module, lr: float, momentum: float, decay: float) -> None:
        self.network, self.lr, self.momentum, self.decay = network, lr, momentum, decay
        self.buffers: dict[str, Tensor] = {}

    def step(self, gradients: Gradients) -> None:
        for name, parameter in self.network.named_parameters():
            gradient = gradients[name]
            if gradient is None:
                continue
            gradient = gradient + self.decay * parameter.detach()
            if name in self.buffers:
                gradient = self.momentum * self.buffers[name] + gradient
            self.buffers[name] = gradient
            parameter.data = parameter.data - self.lr * gradient


class Scene:
    """A network and a batch, its features, logits and losses, and gradients by plain backward passes."""

    def __init__(self, network, inputs, targets, memory, generator, epoch=0) -> None:
        self.network, self.inputs, self.targets = network, inputs, targets
        self.memory, self.generator, self.epoch = memory, generator, epoch
        self.encoders = list(network.encoders)
        self.features = {name: network.encoders[name](inputs[name]) for name in self.encoders}
        self.logits: dict[str, Tensor] = {}
        if network.fusion is not None:
            self.logits["joint"] = self.fuse(self.features)
            for name in self.encoders:
                self.logits[name] = network.heads[name](self.features[name])
        else:
            (shared,) = self.features.values()
            for task, head in network.heads.items():
                self.logits[task] = head(shared)
        self.labels = {name: targets[network.targets[name]] for name in self.logits}
        self.losses = {name: cross_entropy(o, self.labels[name]) for name, o in self.logits.items()}

    def fuse(self, features: dict[str, Tensor]) -> Tensor:
        linear = self.network.fusion.linear
        return torch.cat([features[name] for name in self.encoders], dim=1) @ linear.weight.T + linear.bias

    def columns(self, modality: str) -> slice:
        width = self.features[modality].shape[1]
        start = self.encoders.index(modality) * width
        return slice(start, start + width)

    def slice_logits(self, modality: str) -> Tensor:
        linear = self.network.fusion.linear
        part = linear.weight[:, self.columns(modality)]
        return self.features[modality] @ part.T + linear.bias / len(self.encoders)

    def backward(self, loss: Tensor, keep: bool = True) -> Gradients:
        """Clear, go back, and hand out what was found."""
        self.network.zero_grad(set_to_none=True)
        loss.backward(retain_graph=keep)
        return {
            name: None if p.grad is None else p.grad.detach().clone() for name, p in self.network.named_parameters()
        }

    def names_of(self, encoder: str) -> list[str]:
        return [name for name, _ in self.network.named_parameters() if name.startswith(f"encoders.{encoder}.")]

    def objectives_of(self, encoder: str) -> list[str]:
        return ["joint", encoder] if self.network.fusion is not None else list(self.losses)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    total = logits.new_zeros(())
    for row, label in zip(logits, labels.tolist(), strict=True):
        total = total - row[label] + torch.logsumexp(row, dim=0)
    return total / len(labels)


def probability(row: Tensor, label: int) -> float:
    values = [float(v) for v in row.detach()]
    top = max(values)
    return math.exp(values[label] - top) / sum(math.exp(v - top) for v in values)


def score(logits: Tensor, labels: Tensor) -> float:
    return sum(probability(row, label) for row, label in zip(logits, labels.tolist(), strict=True))


def flat(gradients: Gradients, names: list[str]) -> list[float]:
    return [float(v) for name in names for v in gradients[name].flatten()]


def dot(left: list[float], right: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def length(vector: list[float]) -> float:
    return math.sqrt(dot(vector, vector))


def plain_sum(scene: Scene) -> Gradients:
    return scene.backward(sum(scene.losses.values()))


# -- which losses are summed


def joint(scene: Scene, settings: dict[str, Any]) -> Gradients:
    return scene.backward(scene.losses["joint"])


def uniform(scene: Scene, settings: dict[str, Any]) -> Gradients:
    return plain_sum(scene)


def unimodal(scene: Scene, settings: dict[str, Any]) -> Gradients:
    # The other encoders are not run: their batch norms see no batch. The caller undoes what Scene ran.
    return scene.backward(scene.losses[settings["modality"]])


def g_blending(scene: Scene, settings: dict[str, Any]) -> Gradients:
    total = 0
    for weight, loss in zip(scene.memory["weights"], scene.losses.values(), strict=True):
        total = total + float(weight) * loss
    return scene.backward(total)


def mmcosine(scene: Scene, settings: dict[str, Any]) -> Gradients:
    weight = scene.network.fusion.linear.weight
    rows = []
    for i in range(len(scene.labels["joint"])):
        row = []
        for k in range(weight.shape[0]):
            total = 0
            for name in scene.encoders:
                z, w = scene.features[name][i], weight[k, scene.columns(name)]
                total = total + (z @ w) / (z.square().sum().sqrt() * w.square().sum().sqrt())
            row.append(settings["scale"] * total)
        rows.append(torch.stack(row))
    return scene.backward(cross_entropy(torch.stack(rows), scene.labels["joint"]))


# -- gradients scaled after the backward pass


def scale_modalities(scene: Scene, gradients: Gradients, coefficients: list[float], what: str) -> Gradients:
    for modality, k in zip(scene.encoders, coefficients, strict=True):
        for name in scene.names_of(modality):
            if what != "convolutions" or gradients[name].dim() == 4:
                gradients[name] = gradients[name] * k
        if what == "modality":
            for name in list(gradients):
                if name.startswith(f"heads.{modality}.") and gradients[name] is not None:
                    gradients[name] = gradients[name] * k
            gradients["fusion.linear.weight"][:, scene.columns(modality)] *= k
    return gradients


def ogm_coefficients(scene: Scene, settings: dict[str, Any]) -> list[float]:
    labels = scene.labels["joint"]
    scores = [score(scene.slice_logits(name), labels) for name in scene.encoders]
    coefficients = []
    for u in range(len(scores)):
        others = [scores[j] for j in range(len(scores)) if j != u]
        ahead = scores[u] / (sum(others) / len(others))
        coefficients.append(1 - math.tanh(settings["alpha"] * max(ahead, 0)) if ahead > 1 else 1.0)
    return coefficients


def ogm(scene: Scene, settings: dict[str, Any]) -> Gradients:
    gradients = scene.backward(scene.losses["joint"])
    if not settings["starts"] <= scene.epoch <= settings["ends"]:
        return gradients
    return scale_modalities(scene, gradients, ogm_coefficients(scene, settings), settings["scaled"])


def ogm_ge(scene: Scene, settings: dict[str, Any]) -> Gradients:
    gradients = scene.backward(scene.losses["joint"])
    for modality, k in zip(scene.encoders, ogm_coefficients(scene, settings), strict=True):
        for name in scene.names_of(modality):
            g = gradients[name]
            if settings["scaled"] == "convolutions" and g.dim() != 4:
                continue
            numbers = [float(v) for v in g.flatten()]
            mean = sum(numbers) / len(numbers)
            divisor = max(len(numbers) - 1, 1)
            deviation = math.sqrt(sum((v - mean) ** 2 for v in numbers) / divisor) + 1e-8
            noise = torch.empty_like(g).normal_(generator=scene.generator)
            gradients[name] = k * g + deviation * noise
    return gradients


def mlb(scene: Scene, settings: dict[str, Any]) -> Gradients:
    scores = [score(scene.logits[name], scene.labels[name]) for name in scene.encoders]
    coefficients = []
    for i in range(len(scores)):
        others = [scores[j] for j in range(len(scores)) if j != i]
        r = (sum(others) / len(others)) / scores[i]
        largest = settings["beta_max"] if settings["bound"] == "beta_max" else 2
        beta = largest if r > 1 else 2
        coefficients.append(1 + (beta - 1) * math.tanh(settings["alpha"] * (r - 1)))
    return scale_modalities(scene, plain_sum(scene), coefficients, settings["scaled"])


def mslr(scene: Scene, settings: dict[str, Any]) -> Gradients:
    gradients = scene.backward(scene.losses["joint"])
    return scale_modalities(scene, gradients, settings["initial"], "encoder")


def agm(scene: Scene, settings: dict[str, Any]) -> Gradients:
    """As the released step: full-size zero inputs, padded passes in evaluation mode, hooks on the outputs."""
    network, labels = scene.network, scene.labels["joint"]
    a, v = scene.encoders
    zeros = {name: torch.zeros_like(scene.inputs[name]) for name in scene.encoders}
    network.eval()
    f_0v = scene.fuse({a: network.encoders[a](zeros[a]), v: network.encoders[v](scene.inputs[v])})
    f_a0 = scene.fuse({a: network.encoders[a](scene.inputs[a]), v: network.encoders[v](zeros[v])})
    network.train()
    f_av = scene.logits["joint"]
    outputs = {a: 0.5 * (f_av - f_0v + f_a0), v: 0.5 * (f_av - f_a0 + f_0v)}
    scores = {}
    for name in (a, v):
        total = 0.0
        for row, label in zip(outputs[name], labels.tolist(), strict=True):
            total += -math.log(max(probability(row, label), settings["floor"]))
        scores[name] = total / len(labels)
    memory = scene.memory
    memory.setdefault("mean", {a: 0.0, v: 0.0})
    n = memory["n"] = memory.get("n", 0) + 1
    for name, other in ((a, v), (v, a)):
        now = math.exp(scores[other] - scores[name])
        usual = math.exp(memory["mean"][other] - memory["mean"][name])
        k = math.exp(settings["alpha"] * min(usual - now, settings["cap"]))
        if scene.epoch < settings["starts"]:
            k = 1.0
        outputs[name].register_hook(lambda g, k=k: k * g)
    for name in (a, v):
        memory["mean"][name] = memory["mean"][name] * (n - 1) / n + scores[name] / n
    gradients = scene.backward(cross_entropy(outputs[a] + outputs[v], labels))
    if settings["clip"] and gradients["fusion.linear.weight"].abs().max() > 1:
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values() if g is not None))
        factor = min(1.0, 1.0 / (norm + 1e-6))
        gradients = {name: None if g is None else g * factor for name, g in gradients.items()}
    return gradients


def greedy(scene: Scene, settings: dict[str, Any]) -> Gradients:
    memory = scene.memory
    memory.setdefault("bypass", [0.0, 0.0])
    memory.setdefault("main", [0.0, 0.0])
    memory.setdefault("left", 0)
    memory.setdefault("mean", {name: 0.0 for name in scene.encoders})
    n = memory["n"] = memory.get("n", 0) + 1
    features = dict(scene.features)
    if memory["left"] > 0:
        other = scene.encoders[1 - memory["alone"]]
        features[other] = (memory["mean"][other] + torch.zeros_like(features[other])).detach()
    for name in scene.encoders:
        batch_mean = scene.features[name].detach().mean(dim=0)
        memory["mean"][name] = (memory["mean"][name] * (n - 1) + batch_mean) / n
    gradients = scene.backward(cross_entropy(scene.fuse(features), scene.labels["joint"]))
    for encoder in scene.encoders:  # a replaced encoder is still in the graph of the product, with zeros
        for name in scene.names_of(encoder):
            if gradients[name] is None:
                gradients[name] = torch.zeros_like(scene.network.get_parameter(name))
    if memory["left"] > 0:
        memory["left"] -= 1
        return gradients
    weight = scene.network.fusion.linear.weight
    for k in (0, 1):
        main, other = scene.encoders[k], scene.encoders[1 - k]
        top = bottom = 0.0
        for name in scene.names_of(main):
            top += float(gradients[name].square().sum())
            bottom += float(scene.network.get_parameter(name).detach().square().sum())
        memory["main"][k] += top / bottom
        part = gradients["fusion.linear.weight"][:, scene.columns(other)]
        memory["bypass"][k] += float(part.square().sum() / weight.detach()[:, scene.columns(other)].square().sum())
    speeds = [math.log10(memory["bypass"][k] / memory["main"][k]) for k in (0, 1)]
    difference = speeds[0] - speeds[1]
    if scene.epoch >= settings["starts"] and abs(difference) > settings["tolerance"]:
        memory["left"], memory["alone"] = settings["window"], 1 if difference < 0 else 0
    return gradients


def pmr(scene: Scene, settings: dict[str, Any]) -> Gradients:
    labels = scene.labels["joint"]
    logs, scores = {}, {}
    for name in scene.encoders:
        rows = []
        for z in scene.features[name]:
            distances = [(z - c).square().sum().sqrt() for c in scene.memory[f"prototypes/{name}"]]
            rows.append(-torch.stack(distances))
        logs[name] = torch.stack(rows)
        scores[name] = score(logs[name], labels)
    a, v = scene.encoders
    rho = scores[a] / scores[v]
    if settings["strength"] == "switch":
        beta, gamma = (0.0, 1.0) if rho > 1 else (1.0, 0.0) if rho < 1 else (0.0, 0.0)
    elif rho < 1:
        beta, gamma = min(max(0, 1 / rho - 1), 1), 0.0
    else:
        beta, gamma = 0.0, min(max(0, rho - 1), 1)
    loss = scene.losses["joint"]
    loss = loss + settings["alpha"] * beta * cross_entropy(logs[a], labels)
    loss = loss + settings["alpha"] * gamma * cross_entropy(logs[v], labels)
    if scene.epoch < settings["entropy_epochs"]:
        for name, strength in ((a, gamma), (v, beta)):
            entropy = 0
            for row in logs[name]:
                p = torch.softmax(row, dim=0)
                entropy = entropy - (p * torch.log(p)).sum()
            loss = loss - settings["entropy"] * strength * entropy / len(labels)
    return scene.backward(loss)


# -- gradients of several objectives combined


def integrated(scene: Scene, combine: Callable[[Scene, str, list[Gradients]], Gradients]) -> Gradients:
    """One backward pass per loss and one of the sum; encoders get what ``combine`` makes of the separate ones."""
    separate = {name: scene.backward(loss) for name, loss in scene.losses.items()}
    result = plain_sum(scene)
    for encoder in scene.encoders:
        result |= combine(scene, encoder, [separate[name] for name in scene.objectives_of(encoder)])
    return result


def min_norm_of_two(g_m: list[float], g_u: list[float]) -> tuple[float, float]:
    """MMPareto, Section 3.3.2: the case distinction of the text, for either order of lengths."""
    if length(g_m) > length(g_u):
        second, first = min_norm_of_two(g_u, g_m)
        return first, second
    cosine = dot(g_m, g_u) / (length(g_m) * length(g_u))
    if cosine >= length(g_m) / length(g_u):
        return 1.0, 0.0
    difference = [u - m for m, u in zip(g_m, g_u, strict=True)]
    first = dot(difference, g_u) / dot(difference, difference)
    return first, 1 - first


def off_boundary(weights: tuple[float, float], least: float) -> tuple[float, float]:
    if weights[0] >= 1:
        return 1 - least, least
    if weights[0] <= 0:
        return least, 1 - least
    return weights


def conventional_pareto(scene: Scene, settings: dict[str, Any]) -> Gradients:
    used: dict[str, list[float]] = {name: [] for name in scene.losses}

    def combine(scene: Scene, encoder: str, both: list[Gradients]) -> Gradients:
        names = scene.names_of(encoder)
        alpha = min_norm_of_two(flat(both[0], names), flat(both[1], names))
        alpha = off_boundary(alpha, settings["least_weight"]) if settings["least_weight"] > 0 else alpha
        for objective, weight in zip(scene.objectives_of(encoder), alpha, strict=True):
            used[objective].append(2 * weight)
        return {name: 2 * alpha[0] * both[0][name] + 2 * alpha[1] * both[1][name] for name in names}

    result = integrated(scene, combine)
    return weigh_heads(result, used) if settings["heads_weighted"] else result


def weigh_heads(gradients: Gradients, used: dict[str, list[float]]) -> Gradients:
    """The gradient of each objective's own head times the mean of the weights that the objective got."""
    result = dict(gradients)
    for objective, weights in used.items():
        prefix = "fusion." if objective == "joint" else f"heads.{objective}."
        for name in result:
            if name.startswith(prefix):
                result[name] = result[name] * (sum(weights) / len(weights))
    return result


def mmpareto(scene: Scene, settings: dict[str, Any]) -> Gradients:
    gamma = settings["gamma"]

    def combine(scene: Scene, encoder: str, both: list[Gradients]) -> Gradients:
        names = scene.names_of(encoder)
        g_m, g_u = (flat(gradients, names) for gradients in both)
        cosine = dot(g_m, g_u) / (length(g_m) * length(g_u))
        conflict = cosine <= 0 if settings["zero_cosine_conflicts"] else cosine < 0
        alpha = min_norm_of_two(g_m, g_u) if conflict else (0.5, 0.5)
        h = {name: 2 * alpha[0] * both[0][name] + 2 * alpha[1] * both[1][name] for name in names}
        if settings["rescale"] == "encoder":
            total = [m + u for m, u in zip(g_m, g_u, strict=True)]
            factor = length(total) / length(flat(h, names))
            return {name: h[name] * factor * gamma for name in names}
        for name in names:
            total = (both[0][name] + both[1][name]).norm()
            ratio = float(total / h[name].norm())
            h[name] = h[name] * (ratio if ratio > 1 else 1.0) * gamma
        return h

    return integrated(scene, combine)


def pcgrad(scene: Scene, settings: dict[str, Any]) -> Gradients:
    def combine(scene: Scene, encoder: str, both: list[Gradients]) -> Gradients:
        names = scene.names_of(encoder)
        vectors = [flat(gradients, names) for gradients in both]
        result = {name: torch.zeros_like(both[0][name]) for name in names}
        for i, j in ((0, 1), (1, 0)):
            inner = dot(vectors[i], vectors[j])
            factor = inner / dot(vectors[j], vectors[j]) if inner < 0 else 0.0
            for name in names:
                result[name] = result[name] + both[i][name] - factor * both[j][name]
        return result

    return integrated(scene, combine)


def metabalance(scene: Scene, settings: dict[str, Any]) -> Gradients:
    moving = scene.memory.setdefault("moving", {})

    def combine(scene: Scene, encoder: str, both: list[Gradients]) -> Gradients:
        result = {}
        for name in scene.names_of(encoder):
            for i in (0, 1):
                old = moving.get((name, i), 0.0)
                norm = float(both[i][name].norm())
                moving[name, i] = settings["beta"] * old + (1 - settings["beta"]) * norm
            auxiliary, r = both[1][name], settings["relax"]
            matched = auxiliary * (moving[name, 0] / moving[name, 1])
            result[name] = both[0][name] + r * matched + (1 - r) * auxiliary
        return result

    return integrated(scene, combine)


def gradnorm(scene: Scene, settings: dict[str, Any]) -> Gradients:
    """With the second-order graph of the paper: L_grad is differentiated by autograd."""
    memory = scene.memory
    result = plain_sum(scene)
    heads: dict[str, list[float]] = {name: [] for name in scene.losses}
    for encoder in scene.encoders:
        objectives = scene.objectives_of(encoder)
        losses = [scene.losses[name] for name in objectives]
        start = memory.setdefault(("start", encoder), [loss.item() for loss in losses])
        weights = torch.tensor(memory.get(("w", encoder), [1.0, 1.0]), dtype=torch.float64, requires_grad=True)
        layer = scene.network.encoders[encoder].last_layer.weight
        norms = []
        for w, loss in zip(weights, losses, strict=True):
            (g,) = torch.autograd.grad(w.to(loss.dtype) * loss, layer, create_graph=True)
            norms.append(g.double().square().sum().sqrt())
        mean = sum(norm.item() for norm in norms) / len(norms)
        progress = [loss.item() / first for loss, first in zip(losses, start, strict=True)]
        rates = [p / (sum(progress) / len(progress)) for p in progress]
        l_grad = sum(abs(g - mean * r ** settings["alpha"]) for g, r in zip(norms, rates, strict=True))
        (slope,) = torch.autograd.grad(l_grad, weights, retain_graph=True)
        used = weights.tolist()
        for name, w in zip(objectives, used, strict=True):
            heads[name].append(w)
        gradients = [scene.backward(loss) for loss in losses]
        for name in scene.names_of(encoder):
            result[name] = sum(w * g[name] for w, g in zip(used, gradients, strict=True))
        stepped = [
            max(w - settings["weight_lr"] * s, settings["least_weight"])
            for w, s in zip(used, slope.tolist(), strict=True)
        ]
        memory["w", encoder] = [w * len(stepped) / sum(stepped) for w in stepped]
    return weigh_heads(result, heads)


METHODS: dict[str, Callable[[Scene, dict[str, Any]], Gradients]] = {
    "agm": agm,
    "conventional_pareto": conventional_pareto,
    "fine_tune": uniform,
    "g_blending": g_blending,
    "gradnorm": gradnorm,
    "greedy": greedy,
    "joint": joint,
    "metabalance": metabalance,
    "mlb": mlb,
    "mmcosine": mmcosine,
    "mmpareto": mmpareto,
    "mslr": mslr,
    "ogm": ogm,
    "ogm_ge": ogm_ge,
    "pcgrad": pcgrad,
    "pmr": pmr,
    "uniform": uniform,
    "unimodal": unimodal,
}
