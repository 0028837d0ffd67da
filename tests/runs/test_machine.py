"""Which device a run gets, what a record says of it, and memory that a process keeps."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tiny_training import protocol

from counterpoise.errors import UserError
from counterpoise.runs.machine import choose_device, describe

CPU = torch.device("cpu")


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
        "from counterpoise.runs.machine import keep_freed_memory\n"
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
