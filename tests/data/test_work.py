"""Work over processes: in order, whole, and surviving the death of a process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterpoise.data import work
from counterpoise.data.work import Work


def double(number):
    time.sleep(0.02 if number % 3 == 0 else 0.0)
    return 2 * number


def die_at_five(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_at_five(number):
    if number == 5:
        raise ValueError("five")
    return number


def lost(number):
    return f"lost {number}"


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    assert list(Work(workers).map(double, list(range(30)), lost)) == [2 * number for number in range(30)]


def test_an_item_that_kills_its_process_is_reported_and_the_others_are_done():
    expected = [number if number != 5 else "lost 5" for number in range(20)]
    assert list(Work(2).map(die_at_five, list(range(20)), lost)) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_in_its_place(workers):
    results = Work(workers).map(fail_at_five, list(range(20)), lost)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_no_items_give_no_results():
    assert list(Work(2).map(double, [], lost)) == []


def ten(_):
    return 10


@pytest.mark.parametrize(("size", "ahead"), [(0, 8), (10, 5), (1000, 2)])
def test_the_larger_results_are_the_fewer_are_made_ahead_of_the_one_in_turn(monkeypatch, size, ahead):
    monkeypatch.setattr(work, "BYTES_AHEAD", 50)
    taken = []

    class Watched(list):
        def __iter__(self):
            for item in list.__iter__(self):
                taken.append(item)
                yield item

    results = Work(2).map(ten, Watched(range(30)), lost, lambda _: size)
    for done, _ in enumerate(results, start=1):
        if done == 10:
            # What was given out when the tenth result came: the nine before it, and those under way.
            assert len(taken) - 9 == ahead


PARENT = """
import sys, time
sys.path.insert(0, {folder!r})
from counterpoise.data.work import Work
import sleeper

for _ in Work(3).map(sleeper.sleep, list(range(100)), str):
    print("begun", flush=True)
"""
SLEEPER = """
import os, pathlib, time

def sleep(item):
    pathlib.Path(__file__).with_name(f"{os.getpid()}.pid").touch()
    if item > 0:
        time.sleep(30)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent_however_it_ends(tmp_path, how):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(folder=str(tmp_path))], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "begun\n"
    workers = {int(path.stem) for path in tmp_path.glob("*.pid")}
    assert workers
    parent.send_signal(how)
    parent.wait()
    waited = time.monotonic() + 20
    while time.monotonic() < waited and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
