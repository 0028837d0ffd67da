"""Locks between processes: one holder, free when it dies, and nobody waits for ever."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from counterpoise import locks
from counterpoise.errors import UserError
from counterpoise.locks import Lock, Stopped, locked, one_at_a_time


def hold(path: str, ready, silent: bool) -> None:
    if silent:
        Lock(Path(path)).take()
    else:
        locks.SIGN_SECONDS = 0.1
        lock = Lock(Path(path))
        lock.take()
        lock.give_signs()
    ready.set()
    time.sleep(600)


@pytest.fixture
def holder(tmp_path):
    """Return a function that starts a process that holds ``tmp_path/a.lock``."""
    started = []

    def start(silent: bool = False):
        context = multiprocessing.get_context("fork")
        ready = context.Event()
        started.append(context.Process(target=hold, args=(str(tmp_path / "a.lock"), ready, silent)))
        started[-1].start()
        assert ready.wait(60)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_lock_is_one_process_es_at_a_time(holder, tmp_path):
    process = holder()
    assert not Lock(tmp_path / "a.lock").take()
    process.kill()
    process.join()
    lock = Lock(tmp_path / "a.lock")
    assert lock.take()
    lock.release()


def test_who_waits_says_so_and_can_be_stopped(holder, tmp_path, capfd):
    holder()
    with pytest.raises(Stopped), locked(tmp_path / "a.lock", "somebody is at it", stop=lambda: True):
        pytest.fail("entered what another process holds")
    assert "a.lock: somebody is at it" in capfd.readouterr().err


def test_a_holder_without_a_sign_of_life_is_not_waited_for_for_ever(holder, tmp_path, monkeypatch):
    """A lock over a network can outlive its process on another host."""
    holder(silent=True)
    monkeypatch.setattr(locks, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.05)
    said = r"a\.lock: is locked by .* no sign of life.*delete this file"
    with pytest.raises(UserError, match=said), locked(tmp_path / "a.lock", "waiting"):
        pytest.fail("entered what another process holds")


def test_a_holder_that_is_alive_is_waited_for(holder, tmp_path, monkeypatch):
    process = holder()
    monkeypatch.setattr(locks, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.05)
    entered = threading.Event()

    def enter() -> None:
        with locked(tmp_path / "a.lock", "waiting"):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(2.5)
    process.kill()
    assert entered.wait(60)
    thread.join()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"a\.lock: this file system has no locks .*local disk"):
        Lock(tmp_path / "a.lock").take()


def test_a_place_where_no_file_can_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no lock can be made there"):
        Lock(tmp_path / "file/a.lock").take()


def test_a_lock_whose_file_was_deleted_meanwhile_guards_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "a.lock"
    first = Lock(path)
    first.take()
    opened = os.open
    monkeypatch.setattr(os, "open", lambda *a, **k: (opened(*a, **k), first.release(delete=True))[0])
    second = Lock(path)
    assert second.take()
    monkeypatch.undo()
    assert path.exists()
    assert not Lock(path).take()
    second.release()


def test_what_is_made_alone_leaves_its_neighbours_in_peace(tmp_path):
    with one_at_a_time(tmp_path / "data"), one_at_a_time(tmp_path / "other"):
        assert not Lock(tmp_path / ".data.lock").take()
