"""A saved state is whole and this run's, or it is passed over."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from counterpoise.engine.state import RunState
from counterpoise.runs.checkpoint import Checkpoints


def state(step: int) -> RunState:
    tensors = {
        "network.weight": torch.arange(6.0).reshape(2, 3) + step,
        "network.count": torch.tensor(step),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "mask": torch.tensor([True, False]),
        "strided": torch.arange(6.0).reshape(2, 3).t(),
    }
    return RunState(tensors, {"step": step, "history": [{"epoch": 0, "loss": 0.1 + step}]})


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "states", "key", 3, "raw")


def newest(checkpoints: Checkpoints, suffix: str) -> Path:
    return sorted(checkpoints.folder.glob(f"state-*.{suffix}"))[-1]


def test_what_is_saved_comes_back_bit_for_bit(checkpoints):
    checkpoints.save(state(1))
    found, passed_over = checkpoints.load()
    assert passed_over == []
    assert found.plain == state(1).plain
    assert list(found.tensors) == list(state(1).tensors)
    for name, tensor in state(1).tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_without_a_state_there_is_none(checkpoints):
    assert checkpoints.load() == (None, [])


def test_the_newest_state_is_taken(checkpoints):
    for step in (1, 2, 3):
        checkpoints.save(state(step))
    assert checkpoints.load()[0].plain["step"] == 3


@pytest.mark.parametrize("when", [0, 4e9], ids=["long ago", "to come"])
def test_a_clock_that_jumps_does_not_make_an_old_state_the_newest(checkpoints, when):
    for step in (1, 2):
        checkpoints.save(state(step))
    for suffix in ("json", "safetensors"):
        os.utime(newest(checkpoints, suffix), (when, when))
    assert checkpoints.load()[0].plain["step"] == 2
    checkpoints.save(state(3))
    assert checkpoints.load()[0].plain["step"] == 3


def test_only_the_previous_state_is_kept_beside_the_newest(checkpoints):
    for step in range(5):
        checkpoints.save(state(step))
    assert len(list(checkpoints.folder.iterdir())) == 4


def test_saving_does_not_hold_on_to_the_tensors(checkpoints):
    live = {"weight": torch.zeros(3)}
    checkpoints.save(RunState(live, {"step": 0}))
    live["weight"] += 1
    assert checkpoints.load()[0].tensors["weight"].tolist() == [0, 0, 0]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "gone"])
def test_torn_tensors_are_passed_over_for_the_previous_state(checkpoints, damage):
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    damage(newest(checkpoints, "safetensors"))
    found, passed_over = checkpoints.load()
    assert found.plain["step"] == 1
    (line,) = passed_over
    assert "state-000002" in line


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_torn_description_is_passed_over(checkpoints, text):
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    newest(checkpoints, "json").write_text(text)
    found, passed_over = checkpoints.load()
    assert found.plain["step"] == 1
    assert len(passed_over) == 1


def test_a_changed_description_is_passed_over(checkpoints):
    checkpoints.save(state(1))
    path = newest(checkpoints, "json")
    path.write_text(path.read_text().replace('"step": 1', '"step": 7'))
    assert checkpoints.load()[0] is None


def test_a_copy_that_another_program_left_is_no_state(checkpoints):
    checkpoints.save(state(1))
    path = newest(checkpoints, "json")
    for name in ("state-000001 (conflict).json", "state-.json"):
        path.with_name(name).write_bytes(path.read_bytes())
    assert checkpoints.load()[0].plain["step"] == 1
    checkpoints.save(state(2))


def test_tensors_without_a_description_are_no_state(checkpoints):
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    newest(checkpoints, "json").unlink()  # killed between the two files
    found, passed_over = checkpoints.load()
    assert (found.plain["step"], passed_over) == (1, [])
    checkpoints.save(state(3))
    assert checkpoints.load()[0].plain["step"] == 3


@pytest.mark.parametrize(
    ("key", "seed", "raw", "named"),
    [("other", 3, "raw", "key"), ("key", 4, "raw", "seed"), ("key", 3, "other", "raw_data")],
)
def test_another_runs_state_is_never_taken(checkpoints, key, seed, raw, named):
    Checkpoints(checkpoints.folder, key, seed, raw).save(state(1))
    found, passed_over = checkpoints.load()
    assert found is None
    assert f"'{named}'" in passed_over[0]


def test_a_state_of_another_schema_is_passed_over(checkpoints):
    checkpoints.save(state(1))
    path = newest(checkpoints, "json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    assert checkpoints.load()[0] is None


def test_when_every_state_is_torn_the_run_begins_anew(checkpoints):
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    for path in checkpoints.folder.glob("*.safetensors"):
        truncate(path)
    found, passed_over = checkpoints.load()
    assert found is None
    assert len(passed_over) == 2


def test_removing_leaves_nothing(checkpoints):
    checkpoints.save(state(1))
    checkpoints.remove()
    assert not checkpoints.folder.exists()
    checkpoints.remove()
