"""A captured step computes what the step does, and a graph that does not is found out.

What captures on a device is replaced where there is none by something that makes the calls again in Python.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from counterpoise.engine.graph import WARM_UP, CudaCapturer, GraphedStep
from counterpoise.engine.loop import Trainer
from counterpoise.errors import UserError
from counterpoise.models.network import digest_state
from counterpoise.protocol import Protocol
from counterpoise.testing.toy import Toy, make_method

CPU = torch.device("cpu")
METHODS = ("joint", "uniform", "mmpareto", "metabalance", "gradnorm", "ogm", "pmr", "mslr", "agm", "g_blending")


class Again:
    """Captures by keeping the Python function, and replays by calling it."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def warm_up(self, body):
        return body()

    def capture(self, body):
        self.captured += 1
        found: dict[str, Tensor] = {}

        def replay() -> None:
            self.replayed += 1
            found.update(body())

        return replay, found


def protocol(**changes) -> Protocol:
    settings = {"optimiser": {"lr": 0.02, "momentum": 0.9}, "epochs": 2, "batch_size": 10}
    return Protocol.model_validate(settings | changes)


def trained(name: str, variant: str = "published", device: str = "cpu", capturer=None, **changes) -> Trainer:
    toy = Toy(device=device)
    method = make_method(name, variant, toy)
    trainer = Trainer(toy.network(), method, protocol(**changes), toy.data(), 0, torch.device(device), capturer)
    trainer.run()
    return trainer


def everything(trainer: Trainer) -> str:
    state = trainer.network.state_dict() | {f"method.{k}": v for k, v in trainer.state.items()}
    return digest_state(state)


@pytest.mark.parametrize("name", METHODS)
def test_a_captured_run_has_the_bits_of_an_eager_one(name):
    capturer = Again()
    graphed = trained(name, capturer=capturer, execution="cuda_graph")
    eager = trained(name)
    assert everything(graphed) == everything(eager)
    assert graphed.progress.history == eager.progress.history
    assert capturer.captured >= 2, "once in each epoch"
    # 72 samples in batches of 10: seven whole ones and a short one, which no graph fits.
    assert capturer.replayed == capturer.captured * (7 - WARM_UP) + capturer.captured // 2


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_captured_on_a_device_has_the_bits_of_an_eager_one(name):
    graphed, eager = (trained(name, device="cuda", execution=how) for how in ("cuda_graph", "eager"))
    assert everything(graphed) == everything(eager)


class Steps:
    """A step on one number per sample with dropout, captured by ``capturer``."""

    def __init__(self, capturer) -> None:
        self.weight = torch.zeros(64)
        self.seen = 0
        self.step = GraphedStep(self.body, lambda: [self.weight], self.seed, capturer)

    def seed(self, trial: int) -> None:
        torch.manual_seed(1000 * trial + self.seen)

    def body(self, inputs: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        dropped = functional.dropout(inputs["x"] * targets["y"][:, None], 0.5)
        self.weight.add_(dropped.mean(dim=0))
        return {"joint": self.weight.sum()}

    def take(self, steps: int) -> Tensor:
        random = torch.Generator().manual_seed(0)
        for _ in range(steps):
            self.seed(0)
            batch = torch.randn(6, 64, generator=random), torch.randn(6, generator=random)
            self.step({"x": batch[0]}, {"y": batch[1]})
            self.seen += 1
        return self.weight


def test_dropout_in_a_captured_step_is_drawn_anew():
    plain = Steps(Again())
    plain.step.__class__ = type("Eager", (GraphedStep,), {"__call__": lambda self, x, y: self._body(x, y)})
    assert torch.equal(Steps(Again()).take(8), plain.take(8))


class HoldsOn(Again):
    """Replays from what ``holds`` gave when the step was captured."""

    def __init__(self, holds: Callable[[], Callable[[], None]]) -> None:
        super().__init__()
        self.holds = holds

    def capture(self, body):
        restore = self.holds()
        replay, found = super().capture(body)

        def wrong() -> None:
            restore()
            replay()

        return wrong, found


def test_a_graph_that_draws_the_same_numbers_again_is_found_out():
    def holds() -> Callable[[], None]:
        state = torch.get_rng_state()
        return lambda: torch.set_rng_state(state)

    with pytest.raises(UserError, match="cuda_graph"):
        Steps(HoldsOn(holds)).take(8)


def test_a_graph_that_sees_the_first_batch_again_is_found_out():
    def holds() -> Callable[[], None]:
        inputs = steps.step._inputs["x"]
        first = inputs.clone()
        return lambda: inputs.copy_(first)

    steps = Steps(HoldsOn(holds))
    with pytest.raises(UserError, match="cuda_graph"):
        steps.take(8)


def test_the_check_of_a_graph_leaves_no_trace():
    steps = Steps(Again())
    before = steps.take(WARM_UP).clone()
    inputs, targets = {"x": torch.ones(6, 64)}, {"y": torch.ones(6)}
    steps.step._capture(inputs, targets)
    assert torch.equal(steps.weight, before)


def test_a_graph_needs_a_cuda_device():
    with pytest.raises(UserError, match="CUDA"):
        CudaCapturer(CPU)
    with pytest.raises(UserError, match="CUDA"):
        trained("joint", execution="cuda_graph")


def test_a_method_that_draws_in_its_steps_is_refused():
    with pytest.raises(UserError, match="ogm_ge"):
        trained("ogm_ge", capturer=Again(), execution="cuda_graph")


@pytest.mark.parametrize(
    "changes",
    [{"schedule": {"name": "cosine_restarts"}}, {"diagnostics": True}, {"deterministic": False}],
    ids=["rate of every step", "diagnostics", "not deterministic"],
)
def test_what_no_graph_can_hold_is_refused_before_training(changes):
    with pytest.raises(ValidationError, match="cuda_graph"):
        protocol(execution="cuda_graph", **changes)
    protocol(**changes)
