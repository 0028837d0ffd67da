"""What looks at a whole batch, and so cannot be trained in micro-batches, each with the reason.

The rule is one of structure, so that it holds for methods and networks of other packages, too. It sees which hooks a
method's class overrides, and torch's own layers; a network that mixes samples by other means, or whose buffers move
with every forward pass (spectral norm), is not noticed.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from counterpoise.engine.training import shapes_and_classes
from counterpoise.methods.interface import IntegrationMethod, LossMethod, Method, ModulationMethod
from counterpoise.models.build import Load, build_architecture
from counterpoise.models.network import Network
from counterpoise.models.tasks import CLASSIFICATION

OWN_LOSS = ("loss", "before_forward", "after_backward")
"""What a method overrides that computes something from the batch, besides predictions."""


BETWEEN_EPOCHS = ("start_epoch", "end_epoch")
"""What a method overrides that may train branches of its own."""


class Arrays(Protocol):
    """What a network is built for: modalities and targets of prepared data, or of a form that is declared."""

    @property
    def modalities(self) -> dict[str, dict[str, Any]]: ...

    @property
    def targets(self) -> dict[str, dict[str, Any]]: ...


def refusal(config: dict[str, Any], arrays: Arrays | None, load: Load) -> str:
    """Return why a cell's runs cannot be trained in micro-batches, or nothing.

    Args:
        config: the cell's resolved configuration.
        arrays: what the network is built for; None where nobody can tell yet: then the method alone is looked at.
        load: returns the class of a component by kind and name.
    """
    method = load("method", config["method"]["name"])(**config["method"]["settings"])
    recorded = "'diagnostics' of the protocol records whole batches alone" if config["protocol"]["diagnostics"] else ""
    reason = recorded or refusal_of_method(method)
    if not reason and arrays is not None:
        reason = refusal_of_network(outline(config, arrays, load))
    return f"{method.info.title} cannot be trained with 'micro_batch': {reason}" if reason else ""


def outline(config: dict[str, Any], arrays: Arrays, load: Load) -> Network:
    """Return a cell's network on torch's meta device, which keeps shapes and no numbers."""
    shapes, classes = shapes_and_classes(config, arrays)  # type: ignore[arg-type]  # it asks for these two alone
    with torch.device("meta"):
        network = build_architecture(config["model"], shapes, classes, 0, load)
    network.kinds = {name: target.get("kind", CLASSIFICATION) for name, target in arrays.targets.items()}
    return network


def refusal_of_method(method: Method) -> str:
    """Return why a method needs the whole batch at once, or nothing.

    An integration method is told inner products of gradients and losses, which are sums over samples; a loss method
    that keeps the plain sum of losses is one, too.
    """
    if type(method).predict is not Method.predict:
        # MMCosine's are made sample by sample; of any other `predict` nobody can tell.
        return "it predicts in a way of its own ('predict'), which may look at the whole batch"
    if isinstance(method, ModulationMethod):
        return "it scales gradients by scores of the whole batch"
    # An integration method has no loss of its own: its formula is told sums over samples.
    hooks = () if isinstance(method, IntegrationMethod) else OWN_LOSS
    own = [name for name in hooks if getattr(type(method), name, None) is not getattr(LossMethod, name)]
    if own:
        return f"it has a step of its own ('{own[0]}'), which may look at the whole batch"
    between = [name for name in BETWEEN_EPOCHS if getattr(type(method), name) is not getattr(Method, name)]
    return f"it may train between epochs ('{between[0]}'), on whole batches" if between else ""


def refusal_of_network(network: Network) -> str:
    """Return why a network needs the whole batch at once, or nothing. Leaves it in training mode."""
    network.train()  # layers that stay as they are in training (a frozen trunk's) are in evaluation mode now
    for name, part in network.named_modules():
        averages = isinstance(part, nn.modules.batchnorm._BatchNorm) or getattr(part, "track_running_stats", False)
        if averages and part.training:
            return f"'{name}' of its network keeps statistics of the batch ({type(part).__name__})"
    for objective in network.objectives:
        if network.kind(objective) != CLASSIFICATION:
            # A mean over the pixels that are known, of which every part of a batch has another number.
            return f"the loss of target '{network.targets[objective]}' is a mean over pixels and not over samples"
    return ""
