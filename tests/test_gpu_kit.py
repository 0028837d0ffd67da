"""The kit for a lent GPU: runs travel in parts of limited size, and the program needs nothing but Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch

from counterpoise.engine.state import RunState
from counterpoise.runs.checkpoint import Checkpoints


@pytest.fixture
def kit(repository, tmp_path, monkeypatch):
    """The program, at work in an empty checkout."""
    spec = importlib.util.spec_from_file_location("kit", repository / "workflow/gpu_kit/kit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path / "there")
    monkeypatch.setattr(module, "KIT", tmp_path / "there/build/gpu-kit")
    monkeypatch.setattr(module, "PART_BYTES", 30_000)
    return module


def put(root, files):
    for name, size in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode().ljust(size, b"."))


def test_what_was_trained_travels_in_parts_and_arrives_whole(kit, tmp_path, monkeypatch):
    runs = {f"results/runs/data/model/method.{i}/seed-0/predictions.npz": 9_000 for i in range(7)}
    runs["results/data/data.0/manifest.json"] = 50  # what the runs were trained on
    folder = "work/data/model/method.9/seed-0"
    checkpoints = Checkpoints(kit.ROOT / folder / "states", "abc", 0, "raw")
    for step in (9, 10):
        checkpoints.save(RunState({"w": torch.full((1000,), float(step))}, {"step": step}))
    put(kit.ROOT, runs | {"results/performance/steps.csv": 10, f"{folder}/attempts.json": 100})
    out, here = tmp_path / "out", tmp_path / "here"
    out.mkdir()
    parts = kit._pack_parts(out)
    assert parts == len(list(out.iterdir())) > 1
    assert all(path.stat().st_size < 45_000 for path in out.iterdir())
    monkeypatch.setattr(kit, "ROOT", here)
    monkeypatch.setattr(kit, "KIT", here / "build/gpu-kit")
    here.mkdir()
    kit.bring(out)
    arrived = {path.relative_to(here).as_posix() for path in (here / "results").rglob("*") if path.is_file()}
    assert arrived == set(runs)
    assert all((here / name).read_bytes() == name.encode().ljust(size, b".") for name, size in runs.items())
    state, passed_over = Checkpoints(here / folder / "states", "abc", 0, "raw").load()
    assert passed_over == []
    assert state.plain == {"step": 10}, "the run goes on from its newest state, not from its beginning"
    assert (here / folder / "attempts.json").exists()
    assert len(list((here / "build/gpu-kit/so-far").iterdir())) == parts


def test_a_folder_without_parts_is_named(kit, tmp_path):
    with pytest.raises(SystemExit, match=r"part-\*.tar"):
        kit.bring(tmp_path)


def test_a_mirror_without_the_data_is_named_before_anything_is_fetched(kit, tmp_path):
    with pytest.raises(SystemExit, match="has no folder mnist"):
        kit.pack("3.12", ["mnist"], tmp_path)
    assert not kit.KIT.exists()


def test_it_starts_without_any_package(repository):
    command = [sys.executable, "-I", "-S", str(repository / "workflow/gpu_kit/kit.py"), "train", "--help"]
    assert "--at-once" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
