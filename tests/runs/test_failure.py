"""Classes of failure and what is tried again."""

from __future__ import annotations

import errno

import pytest
import torch

from counterpoise.errors import UserError
from counterpoise.runs.failure import classify, forget_failure, note_failure, read_failure, read_failures


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an exception as one that was really raised."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
MACHINE = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]
MISTAKES = [
    ValueError("shapes do not match"),
    KeyError("colour"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (64x16 and 8x10)"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    UserError("method 'mslr' needs validation data"),
]


@pytest.mark.parametrize("error", MEMORY, ids=lambda e: str(e)[:30] or type(e).__name__)
def test_memory_errors_are_out_of_memory_and_tried_again_with_more(error):
    failure = classify(raised(error))
    assert (failure.status, failure.again) == ("out_of_memory", True)


@pytest.mark.parametrize("error", MACHINE, ids=lambda e: str(e)[:40])
def test_the_machines_fault_is_tried_again(error):
    failure = classify(raised(error))
    assert (failure.status, failure.again) == ("failed", True)


@pytest.mark.parametrize("error", MISTAKES, ids=lambda e: str(e)[:40])
def test_a_mistake_is_not_tried_again(error):
    failure = classify(raised(error))
    assert (failure.status, failure.again) == ("failed", False)


def test_the_cause_behind_a_readable_message_decides():
    full = raised(UserError("work/x: cannot be written"), OSError(errno.ENOSPC, "No space left on device"))
    assert classify(full).again
    assert classify(full).reason == "work/x: cannot be written"


def test_last_lines_end_with_the_exception():
    failure = classify(raised(ValueError("the seventh batch")), "logs/train.log")
    assert failure.last_lines[-1] == "ValueError: the seventh batch"
    assert any("test_failure.py" in line for line in failure.last_lines)
    assert (failure.reason, failure.log) == ("ValueError: the seventh batch", "logs/train.log")


def test_a_note_comes_back_for_its_run_only(tmp_path):
    failure = classify(raised(MemoryError("x")), attempt=2)
    note_failure(tmp_path, "abc", 3, failure)
    assert read_failure(tmp_path, "abc", 3) == failure
    assert read_failure(tmp_path, "other", 3) is None
    assert read_failure(tmp_path, "abc", 4) is None
    assert read_failure(tmp_path, "abc", 3).attempt == 2
    forget_failure(tmp_path)
    assert read_failure(tmp_path, "abc", 3) is None


def test_a_later_failure_hides_no_earlier_one(tmp_path):
    first, second = classify(raised(MemoryError("x"))), classify(raised(KeyError("colour")), attempt=2)
    note_failure(tmp_path, "abc", 3, first)
    note_failure(tmp_path, "abc", 3, second)
    assert read_failures(tmp_path, "abc", 3) == (first, second)
    assert read_failure(tmp_path, "abc", 3) == second
