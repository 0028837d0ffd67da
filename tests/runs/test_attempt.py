"""A run's work folder: one process at a time, killed attempts are seen, finished runs are whole or do not count."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from small_project import SmallProject

from counterpoise.locks import Stopped
from counterpoise.results.record import RunRecord, read_record
from counterpoise.runs.attempt import WorkFolder, is_whole, publish


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


@pytest.fixture
def finished(tmp_path, repository) -> tuple[Path, RunRecord]:
    """The folder of a finished run, and its record."""
    project = SmallProject(tmp_path / "project", repository)
    cell = project.cell("uniform")
    folder = project.run(cell, 0)
    return folder, read_record(folder, cell.key, 0)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_finished_run_is_not_whole(finished, damage):
    folder, record = finished
    assert is_whole(folder, record)
    if damage == "truncated":
        (folder / "history.csv").write_text("epoch\n")
    else:
        (folder / "history.csv").unlink()
    assert not is_whole(folder, record)


def test_publishing_copies_all_and_clears_what_a_killed_writer_left(finished, tmp_path):
    folder, record = finished
    there = tmp_path / "there"
    there.mkdir()
    (there / ".record.json.x7.json").write_text("{")
    publish(folder, there)
    assert is_whole(there, record)
    assert sorted(path.name for path in there.iterdir()) == ["history.csv", "predictions.npz", "record.json"]


def test_a_settled_run_leaves_nothing(tmp_path):
    work = WorkFolder(tmp_path / "cell" / "seed-0")
    with work.held():
        work.finished.mkdir()
    work.remove()
    assert list((tmp_path / "cell").iterdir()) == []


@pytest.mark.parametrize("text", ["", "null", "7", "{}", '["x"]', '{"a": 1}'])
def test_a_torn_list_of_attempts_does_not_end_the_run_that_goes_on(tmp_path, text):
    work = WorkFolder(tmp_path / "run")
    work.path.mkdir()
    (work.path / "attempts.json").write_text(text)
    assert work.attempts_before(7) == []
