"""Leases of devices: shared by no more runs than each agrees to, in order, and free again when the holder dies."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from counterpoise.locks import Stopped
from counterpoise.runs.lease import devices, leased, visible


def take(folder: str, names: list[str], runs_per_gpu: int, log: str, seconds: float, ready=None) -> None:
    """Lease, note when it began and ended and on what, and leave."""
    with leased(names, runs_per_gpu, Path(folder), poll_seconds=0.01) as name:
        began = time.monotonic()
        if ready is not None:
            ready.set()
        time.sleep(seconds)
        with open(log, "a") as file:
            file.write(f"{name} {runs_per_gpu} {began} {time.monotonic()}\n")


def hold(context, folder: Path, names: list[str], runs_per_gpu: int, log: Path):
    ready = context.Event()
    process = context.Process(target=take, args=(str(folder), names, runs_per_gpu, str(log), 600, ready))
    process.start()
    assert ready.wait(60)
    return process


@pytest.fixture(scope="module")
def context():
    return multiprocessing.get_context("fork")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("COUNTERPOISE_GPUS", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("runs_per_gpu", [1, 2, 3, 5])
def test_under_contention_no_device_has_more_runs_than_they_agreed_to(context, tmp_path, runs_per_gpu):
    names, log = ["0", "1"], tmp_path / "log"
    workers = [
        context.Process(target=take, args=(str(tmp_path / "locks"), names, runs_per_gpu, str(log), 0.1))
        for _ in range(12)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    rows = [line.split() for line in log.read_text().splitlines()]
    assert len(rows) == 12
    used = {row[0] for row in rows}  # on a busy machine one device may be free again before the next job asks
    assert used <= set(names)
    for name in used:
        spans = [(float(began), float(ended)) for device, _, began, ended in rows if device == name]
        most = max(sum(began <= at < ended for began, ended in spans) for at, _ in spans)
        assert most <= runs_per_gpu


def test_the_next_job_gets_the_next_device(context, tmp_path):
    holder = hold(context, tmp_path, ["0", "1"], 1, tmp_path / "log")
    with leased(["0", "1"], 1, tmp_path) as name:
        assert name == "1"
    holder.kill()
    holder.join()


def test_a_killed_holder_frees_its_device(context, tmp_path):
    holder = hold(context, tmp_path, ["0"], 1, tmp_path / "log")
    got = threading.Event()

    def wait() -> None:
        with leased(["0"], 1, tmp_path, poll_seconds=0.01):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.5)
    holder.kill()
    assert got.wait(60)
    thread.join()


def test_a_run_that_wants_a_whole_device_is_not_overtaken_by_others(context, tmp_path):
    log = tmp_path / "log"
    first = hold(context, tmp_path, ["0"], 2, log)
    whole = context.Process(target=take, args=(str(tmp_path), ["0"], 1, str(log), 0.0))
    whole.start()
    time.sleep(1.0)
    sharing = context.Process(target=take, args=(str(tmp_path), ["0"], 2, str(log), 0.0))
    sharing.start()
    sharing.join(1.0)
    assert sharing.is_alive(), "there is a place, and the run that wants the whole device was first"
    first.kill()
    for process in (whole, sharing):
        process.join(60)
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["1", "2"]


def test_a_run_that_shares_does_not_join_one_that_wants_the_whole(context, tmp_path):
    holder = hold(context, tmp_path, ["0", "1"], 1, tmp_path / "log")
    with leased(["0", "1"], 4, tmp_path) as first, leased(["0", "1"], 4, tmp_path) as second:
        assert (first, second) == ("1", "1")
    holder.kill()
    holder.join()


def test_runs_that_agree_to_different_numbers_keep_the_smaller(tmp_path):
    third = leased(["0"], 3, tmp_path, stop=lambda: True)
    with leased(["0"], 3, tmp_path), leased(["0"], 2, tmp_path), pytest.raises(Stopped), third:
        pytest.fail("a third run beside one that agreed to two")


def test_waiting_for_a_device_can_be_stopped(context, tmp_path):
    holder = hold(context, tmp_path, ["0"], 1, tmp_path / "log")
    with pytest.raises(Stopped), leased(["0"], 4, tmp_path, stop=lambda: True):
        pytest.fail("leased what another process holds")
    holder.kill()
    holder.join()


def test_without_devices_there_is_nothing_to_wait_for(tmp_path):
    with leased([], 1, tmp_path / "unused") as name:
        assert name is None
    assert not (tmp_path / "unused").exists()


def test_a_job_sees_its_device_alone(environment):
    with visible("3"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    environment.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with visible("1"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_devices_are_those_that_the_user_or_the_environment_names(environment):
    environment.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8f")
    assert devices() == ["2", "GPU-8f"]
    environment.setenv("COUNTERPOISE_GPUS", "0")
    assert devices() == ["0"]
    environment.setenv("COUNTERPOISE_GPUS", "")
    assert devices() == []


def test_inside_a_slurm_job_the_cluster_has_given_the_devices(environment):
    environment.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment.setenv("SLURM_JOB_ID", "17")
    assert devices() == []
