"""A run sets the switches that exactness asks for, and leaves all of them as they were."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tiny_training import protocol

from counterpoise.engine.device import choose_device, describe, exactness
from counterpoise.errors import UserError

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


@pytest.mark.parametrize(("name", "near"), [("gpu", "allowed"), ("cpuu", "did you mean 'cpu'"), ("", "allowed")])
def test_an_unknown_device_is_refused(name, near):
    with pytest.raises(UserError, match=f"--device .*{near}"):
        choose_device(name)


def test_auto_is_a_device_that_is_there():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no CUDA device"):
        choose_device("cuda:0")


def test_the_description_names_all_that_bits_depend_on():
    found = describe(CPU, protocol(memory_format="channels_last"))
    assert found["device"] == "cpu"
    assert found["device_name"]
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert (found["threads"], found["memory_format"], found["precision"]) == (1, "channels_last", "fp32")
    assert found["deterministic"] is True
    assert found["libraries"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["python"]


def test_memory_that_a_job_frees_is_used_again():
    program = (
        "import resource, torch\n"
        "from counterpoise.engine.device import keep_freed_memory\n"
        "print(keep_freed_memory())\n"
        "for _ in range(10): torch.ones(5_000_000)\n"  # takes what it will use
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): torch.ones(5_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, faults = done.stdout.split()
    if told == "False":
        pytest.skip("this C library cannot be told to keep memory")
    assert int(faults) < 1000  # a page of 4 kB each would be 97,000
