"""A run sets the switches that exactness asks for, and leaves all of them as they were."""

from __future__ import annotations

import pytest
import torch
from tiny_training import protocol

from counterpoise.engine.exactness import exactness

CPU = torch.device("cpu")


def switches() -> dict:
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "conv_tf32": torch.backends.cudnn.allow_tf32,
        "random": torch.get_rng_state().tolist(),
    }


@pytest.mark.parametrize("changes", [{}, {"threads": 2, "deterministic": False, "precision": "tf32"}], ids=str)
def test_every_switch_and_the_random_state_are_as_before(changes):
    torch.manual_seed(7)
    before = switches()
    with exactness(protocol(**changes), CPU):
        torch.manual_seed(99)
        torch.randn(10)
    assert switches() == before


def test_switches_are_restored_after_a_failure():
    def fail():
        with exactness(protocol(threads=2), CPU):
            torch.randn(3)
            raise ZeroDivisionError

    before = switches()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert switches() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_protocols(threads):
    with exactness(protocol(threads=threads), CPU):
        assert torch.get_num_threads() == threads


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_tf32_only_where_the_protocol_says_so(precision):
    with exactness(protocol(precision=precision), CPU):
        assert torch.backends.cuda.matmul.allow_tf32 is (precision == "tf32")
        assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")


def test_deterministic_unless_the_protocol_says_otherwise():
    with exactness(protocol(), CPU):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    with exactness(protocol(deterministic=False), CPU):
        assert not torch.are_deterministic_algorithms_enabled()
