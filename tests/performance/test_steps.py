"""What a training step costs against one of the plain sum of the losses, and that against a bare loop.

The floors: one forward pass f and one backward pass b through encoders and fusion for the plain sum; methods
that need the gradients of two objectives by themselves take f + 2b, whatever the number of modalities, since
a unimodal loss reaches its own encoder alone or, where modalities see each other on the way (MBT), the sum of
the unimodal losses is one objective; T tasks on a trunk take f + Tb. AGM takes 2f + 2b and a row of zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from measured import Action, interleaved
from scenes import Scene, make_method, one_epoch, scene
from torch import nn
from torch.nn import functional

from counterpoise.engine.loop import Trainer
from counterpoise.engine.splits import Splits
from counterpoise.protocol import Protocol
from counterpoise.runs.machine import keep_freed_memory
from counterpoise.testing.toy import ToyBatches

pytestmark = pytest.mark.performance

TWO_GRADIENTS = ("mmpareto", "conventional_pareto", "pcgrad", "metabalance")
ONE_PASS = {"mlb": 1.03, "mslr": 1.03, "ogm_ge": 1.08, "gradnorm": 1.10}
WITHOUT_GOAL = ("joint", "ogm", "mmcosine", "pmr", "greedy")
PAPERS = {"resnet18": (4, 7), "cg_mnist": (64, 21)}  # batch, rounds
TIMES_FLOOR = 1.05

Times = dict[str, list[float]]


@pytest.fixture(autouse=True, scope="module")
def as_in_a_job():
    """One thread, exact, and with memory kept, as training jobs run."""
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


def forward(seen: Scene) -> Action:
    """Return the passes of a step through the network alone, with their graph."""
    network = seen.network
    return lambda: network.predict(network.encode(seen.inputs), network.objectives)


def floor(times: Times) -> float:
    """Return (f + 2b) / (f + b), with f and f + b as they were measured."""
    shares = [f / both for f, both in zip(times["forward"], times["uniform"], strict=True)]
    return 2 - sorted(shares)[len(shares) // 2]


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
def test_every_method_against_the_plain_sum(side_by_side, results, name, channels_last):
    batch, rounds = PAPERS[name]
    seen = scene(name, batch, channels_last=channels_last)
    methods = ("uniform", *WITHOUT_GOAL, *ONE_PASS, *TWO_GRADIENTS, "agm")
    actions = {"forward": forward(seen)} | {m: seen.step(make_method(m)) for m in methods}

    def goals(times: Times) -> dict[str, float]:
        most = TIMES_FLOOR * floor(times)
        return ONE_PASS | dict.fromkeys(TWO_GRADIENTS, most) | {"agm": 2.1 + 1.1 / batch}

    where = f"{name}, batch {batch}, {'channels last' if channels_last else 'contiguous'}"
    side_by_side(actions, "uniform", rounds=rounds, goals=goals, where=where)


@pytest.mark.parametrize(
    ("name", "batch", "rounds"), [("multi_mnist", 256, 21), ("three_modalities", 64, 15), ("mbt", 2, 5)]
)
def test_floors_of_tasks_of_three_modalities_and_of_mixing(side_by_side, name, batch, rounds):
    seen = scene(name, batch)
    names = ("uniform", "mmpareto", "conventional_pareto", "pcgrad")
    actions = {"forward": forward(seen)} | {m: seen.step(make_method(m)) for m in names}
    side_by_side(
        actions,
        "uniform",
        rounds=rounds,
        goals=lambda times: dict.fromkeys(names[1:], TIMES_FLOOR * floor(times)),
        where=f"{name}, batch {batch}, contiguous",
    )


def bare_loop(seen: Scene, objectives: tuple[str, ...], steps: int) -> Action:
    """Return what one would write by hand for the sum of some losses: the baseline of the loop's overhead."""
    network = seen.network
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4, foreach=True)

    def run() -> None:
        network.train()
        order = torch.randperm(steps * seen.batch) % seen.batch
        total = 0.0
        for index in order.split(seen.batch):
            inputs = {name: x.index_select(0, index) for name, x in seen.inputs.items()}
            labels = seen.targets["label"].index_select(0, index)
            features = {name: network.encoders[name](x) for name, x in inputs.items()}
            logits = [network.fusion(features)] if "joint" in objectives else []
            logits += [network.heads[n](features[n]) for n in objectives if n != "joint"]
            loss = torch.stack([functional.cross_entropy(values, labels) for values in logits]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()

    return run


def our_loop(seen: Scene, name: str, steps: int) -> Action:
    """Return an epoch of the product's loop over the same samples."""
    repeated = torch.arange(steps * seen.batch) % seen.batch
    samples = ToyBatches(seen.inputs, seen.targets)
    protocol = Protocol.model_validate(
        {"optimiser": {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-4}, "epochs": 1, "batch_size": seen.batch}
    )
    trainer = Trainer(
        seen.network, make_method(name), protocol, Splits(samples, repeated, samples, samples), 0, torch.device("cpu")
    )
    return lambda: one_epoch(trainer)


@pytest.mark.parametrize(
    ("name", "batch", "steps", "rounds"), [("cg_mnist", 64, 6, 21), ("digits", 32, 30, 21), ("resnet18", 4, 1, 9)]
)
@pytest.mark.parametrize("method", ["joint", "uniform"])
def test_the_loop_against_a_bare_one(side_by_side, name, batch, steps, rounds, method):
    seen = scene(name, batch)
    objectives = ("joint",) if method == "joint" else seen.network.objectives
    actions = {method: our_loop(seen, method, steps), "bare loop": bare_loop(seen, objectives, steps)}
    # No goal for the digits' network, a hundred times smaller than the paper's: it shows what a step fixes.
    goals = {} if name == "digits" else {method: 1.02}
    side_by_side(actions, "bare loop", rounds=rounds, goals=goals, where=f"{name}, batch {batch}, whole loop")


BATCHES = (8, 32, 128)
WIDTHS = (8, 16, 32, 64)


def throughput(seen: Scene, method: str, rounds: int = 5) -> float:
    """Return the samples per second of processor time of a method's step, at the median round."""
    (times,) = interleaved({"step": seen.step(make_method(method))}, rounds).values()
    return seen.batch / sorted(times)[len(times) // 2]


def test_throughput_against_batch(results):
    rows = [
        {"batch": size, "method": method, "samples_per_second": throughput(scene("cg_mnist", size), method)}
        for size in BATCHES
        for method in ("uniform", "mmpareto")
    ]
    results.series("batch", rows)


def test_throughput_against_parameters(results, monkeypatch):
    import scenes

    rows = []
    for width in WIDTHS:
        encoders = dict.fromkeys(("gray", "colour"), ("conv4", {"channels": width, "width": 16 * width}))
        monkeypatch.setitem(scenes.SETTINGS, "scaled", (encoders, *scenes.SETTINGS["cg_mnist"][1:]))
        for method in ("uniform", "mmpareto"):
            seen = scene("scaled", 64)
            rows.append(
                {
                    "parameters": sum(p.numel() for p in seen.network.parameters()),
                    "method": method,
                    "samples_per_second": throughput(seen, method),
                }
            )
    results.series("parameters", rows)


# -- rewrites that leave the numbers alone


class _Literal(nn.Module):
    """PMR's encoder layer by layer, without the rewrites of the product's."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        own = self.encoder
        x = functional.max_pool2d(functional.relu(own.conv1(own.norm(x))), 3, stride=2, padding=1)
        for layer in (own.conv2, own.conv3, own.conv4):
            x = functional.relu(layer(x))
        return own.project(x.mean(dim=(2, 3)))


def _plainly(seen: Scene) -> Callable[[], object]:
    encoders = {name: _Literal(module) for name, module in seen.network.encoders.items()}
    parameters = list(seen.network.parameters())

    def run() -> None:
        features = {name: encoders[name](x) for name, x in seen.inputs.items()}
        outputs = seen.network.predict(features, seen.network.objectives)
        losses = [functional.cross_entropy(o, seen.targets["label"]) for o in outputs.values()]
        torch.autograd.grad(torch.stack(losses).sum(), parameters)

    return run


def test_rewrites_against_the_layers_as_published(side_by_side):
    plain, last = scene("cg_mnist", 64), scene("cg_mnist", 64, channels_last=True)
    actions = {
        "layers as published": _plainly(plain),
        "layers as published, channels last": _plainly(last),
        "rewritten": plain.step(make_method("uniform")),
        "rewritten, channels last": last.step(make_method("uniform")),
    }
    side_by_side(actions, "layers as published", rounds=11, kind="speed-up", where="cg_mnist, batch 64")
