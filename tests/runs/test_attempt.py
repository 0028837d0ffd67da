"""A run's work folder: one process at a time, killed attempts are seen, finished runs are whole or do not
count.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from counterpoise.runs.attempt import Stopped, WorkFolder, is_whole, publish


def hold_for_ever(path: str, ready) -> None:
    with WorkFolder(Path(path)).held():
        ready.set()
        time.sleep(600)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the work folder ``tmp_path/run``."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold_for_ever, args=(str(tmp_path / "run"), ready))
    process.start()
    assert ready.wait(60)
    yield process
    if process.is_alive():
        process.kill()
    process.join()


def write_run(folder: Path, key: str = "k", seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("epoch\n0\n")
    digest = hashlib.sha256((folder / "history.csv").read_bytes()).hexdigest()
    record = {"schema": 1, "key": key, "seed": seed, "files": {"history.csv": digest}}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def test_a_held_run_is_waited_for_until_its_process_dies(holder, tmp_path, capfd):
    entered = threading.Event()

    def enter() -> None:
        with WorkFolder(tmp_path / "run").held():
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(1.0)
    holder.kill()
    assert entered.wait(60), "the lock ends with the process that held it"
    thread.join()
    assert "another process trains this run" in capfd.readouterr().err


def test_who_waits_for_a_run_can_be_stopped(holder, tmp_path):
    with pytest.raises(Stopped), WorkFolder(tmp_path / "run").held(stop=lambda: True):
        pytest.fail("entered a run that another process holds")


def test_a_killed_attempt_is_seen_once_its_process_is_gone(holder, tmp_path):
    work = WorkFolder(tmp_path / "run")
    assert work.cut_off() is None, "still at it"
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    found = work.cut_off()
    assert found is not None
    assert not found.out_of_memory


def test_an_attempt_that_ended_by_itself_leaves_no_mark(tmp_path):
    work = WorkFolder(tmp_path / "run")
    with pytest.raises(ValueError), work.held():
        raise ValueError
    assert work.cut_off() is None
    with work.held():
        pass
    assert work.cut_off() is None


def test_a_memory_kill_on_this_machine_since_the_start_is_taken_as_the_reason(holder, tmp_path):
    work = WorkFolder(tmp_path / "run")
    holder.kill()
    holder.join()
    marker = tmp_path / "run" / "attempt.json"
    noted = json.loads(marker.read_text())
    marker.write_text(json.dumps({**noted, "memory_kills": noted["memory_kills"] - 1}))
    assert work.cut_off().out_of_memory
    marker.write_text(json.dumps({**noted, "memory_kills": noted["memory_kills"] - 1, "boot": "another"}))
    assert not work.cut_off().out_of_memory, "counters of another start of the machine say nothing"


@pytest.mark.parametrize("damage", ["truncated", "missing", "torn record", "other seed"])
def test_a_damaged_finished_run_does_not_count(tmp_path, damage):
    work = WorkFolder(tmp_path / "run")
    write_run(work.finished)
    assert work.is_finished("k", 0)
    if damage == "truncated":
        (work.finished / "history.csv").write_text("epoch\n")
    elif damage == "missing":
        (work.finished / "history.csv").unlink()
    elif damage == "torn record":
        (work.finished / "record.json").write_text('{"schema": 1, "key"')
    assert not work.is_finished("k", 1 if damage == "other seed" else 0)


def test_publishing_copies_all_and_clears_what_a_killed_writer_left(tmp_path):
    finished, there = write_run(tmp_path / "finished"), tmp_path / "there"
    there.mkdir()
    (there / ".record.json.x7.json").write_text("{")
    publish(finished, there)
    assert is_whole(there, "k", 0)
    assert sorted(path.name for path in there.iterdir()) == ["history.csv", "record.json"]


def test_a_settled_run_leaves_nothing(tmp_path):
    work = WorkFolder(tmp_path / "cell" / "seed-0")
    with work.held():
        write_run(work.finished)
    work.remove()
    assert list((tmp_path / "cell").iterdir()) == []
