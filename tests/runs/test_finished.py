"""What is made of finished runs: fine-tuning from their weights, probes, diagnostics, measurements."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from counterpoise.components import component
from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError
from counterpoise.identity import source_digest
from counterpoise.models.network import digest_state
from counterpoise.planning.cells import Cell, PreparedDataset
from counterpoise.planning.configs import PrepareJob
from counterpoise.planning.probe import Probe
from counterpoise.planning.resolve import modules_of
from counterpoise.protocol import Protocol
from counterpoise.results.record import RunRecord, read_record
from counterpoise.runs.probe import probe_run
from counterpoise.runs.run import Run
from counterpoise.runs.train import train_run
from counterpoise.runs.weights import WEIGHTS, read_weights

CPU = torch.device("cpu")
SETTINGS = {"train": 36, "val": 0, "test": 24, "noise": 0.5, "audio": [1, 12, 12], "visual": [2, 3, 12, 12]}
FRAMES = {"component": "resnet18", "settings": {"width": 16, "norm_init": "ones"}}
MODEL = {
    "encoders": {
        "audio": {"component": "mlp", "settings": {"width": 16, "layers": 2, "dropout": 0.0}},
        "visual": FRAMES,
    },
    "fusion": {"component": "concat", "settings": {}},
    "head": {"hidden": None},
    "init": "torch",
    "inputs": {},
}


def prepared(root: Path, name: str, settings: dict[str, Any]) -> PreparedDataset:
    """Prepare a dataset in a project of its own."""
    dataset = component("dataset", name)
    data = PreparedDataset(
        name="made",
        title="Made up",
        component=name,
        settings=settings,
        modules=(dataset.module,),
        source="",
        key="0a",
        job=PrepareJob(),
    )
    prepare_dataset(name, settings, root / "data/raw", root / data.directory, data.key)
    return data


def cell_of(data: PreparedDataset, method: str, model: dict[str, Any], protocol: dict[str, Any], key: str, **settings):
    """Return a cell as a plan would have it."""
    found = component("method", method)
    whole = Protocol.model_validate(protocol).model_dump(mode="json")
    modules = modules_of(found, model, whole)
    method_part = {"name": method, "variant": "published", "settings": found.resolve(settings, method)}
    return Cell(
        dataset="made",
        model="small",
        method=method,
        variant="published",
        protocol="small",
        config={
            "dataset": {"component": data.component, "settings": data.settings},
            "model": model,
            "method": method_part,
            "protocol": whole,
        },
        modules=modules,
        source=source_digest(modules),
        data=data,
        key=key,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> tuple[Path, PreparedDataset]:
    root = tmp_path_factory.mktemp("project")
    return root, prepared(root, "miniature_clips", SETTINGS)


@pytest.fixture
def run(project, tmp_path):
    """``run("uniform")``: a run of a small cell on made-up clips, in a project of this test's own."""

    def make(method, key="abc", keep=True, parents=(), diagnostics=False, lr=0.05, model=MODEL, seed=0, **settings):
        root, data = project
        if not (tmp_path / "data").exists():
            (tmp_path / "data").symlink_to(root / "data")
        protocol = {"optimiser": {"lr": lr}, "epochs": 3, "batch_size": 12, "diagnostics": diagnostics}
        cell = dataclasses.replace(cell_of(data, method, model, protocol, key, **settings), parents=parents)
        return Run(cell=cell, seed=seed, root=tmp_path, keep_weights=keep)

    return make


def record_of(run: Run) -> RunRecord:
    return read_record(run.folder, run.cell.key, run.seed)


def predictions(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.folder / "predictions.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_kept_weights_are_those_that_the_record_names(run):
    joint = run("joint")
    train_run(joint, CPU)
    assert digest_state(read_weights(joint)) == record_of(joint).weights_sha256


def test_a_run_without_weights_is_made_again_where_they_are_wanted_and_gives_the_same(run):
    plain = run("joint", keep=False)
    train_run(plain, CPU)
    before = record_of(plain).files
    assert WEIGHTS not in before
    train_run(dataclasses.replace(plain, keep_weights=True), CPU)
    after = record_of(plain).files
    assert set(after) == {*before, WEIGHTS}
    assert all(after[name] == digest for name, digest in before.items())


def test_changed_weights_are_refused(run):
    joint = run("joint")
    train_run(joint, CPU)
    path = joint.folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(UserError, match="digest"):
        read_weights(joint)


def test_fine_tuning_starts_from_the_unimodal_runs_of_its_own_seed(run):
    parents = {}
    for key, name in (("aa", "audio"), ("bb", "visual")):
        for seed in (0, 1):
            alone = run("unimodal", key=key, modality=name, seed=seed)
            train_run(alone, CPU)
            parents[name] = alone
    cells = tuple((name, alone.cell) for name, alone in parents.items())
    # Too small a step to move anything but statistics.
    tuned = [run("fine_tune", parents=cells, lr=1e-30, seed=seed) for seed in (0, 1)]
    for each in tuned:
        train_run(each, CPU)
        state = read_weights(each)
        for name, alone in parents.items():
            source = read_weights(dataclasses.replace(alone, seed=each.seed))
            part = {k for k in source if f".{name}." in k and k.endswith("weight")}
            assert part
            assert all(torch.equal(source[k], state[k]) for k in part)
    assert record_of(tuned[0]).weights_sha256 != record_of(tuned[1]).weights_sha256


def test_fine_tuning_without_its_unimodal_runs_is_refused(run):
    with pytest.raises(UserError, match="'audio' alone"):
        train_run(run("fine_tune"), CPU)


@pytest.mark.parametrize("how", [{}, {"batch_norm": "train"}, {"augment": True}])
def test_a_probe_learns_from_frozen_encoders_and_changes_nothing(run, how):
    joint = run("joint")
    train_run(joint, CPU)
    before = (joint.folder / WEIGHTS).read_bytes()
    probe_run(joint, Probe(epochs=10, batch_size=12, lr=0.05, **how), "probe.x", CPU)
    assert (joint.folder / WEIGHTS).read_bytes() == before
    labels = predictions(joint)["labels.label"]
    with np.load(joint.folder / "probe.x.npz") as found:
        assert set(found.files) == {"logits.audio", "logits.visual"}
        assert (found["logits.audio"].argmax(axis=1) == labels).mean() > 0.5  # chance is 1/6


def test_of_a_run_of_one_modality_only_its_encoder_is_probed(run):
    alone = run("unimodal", modality="visual")
    train_run(alone, CPU)
    probe_run(alone, Probe(epochs=1, batch_size=12), "probe.x", CPU)
    with np.load(alone.folder / "probe.x.npz") as found:
        assert found.files == ["logits.visual"]


def test_an_encoder_that_exchanges_features_on_the_way_is_probed_by_itself(run):
    """With MMTM the gates stand at their averages, so that nothing of the other modality comes in."""
    linked_model = MODEL | {
        "encoders": {"audio": FRAMES, "visual": FRAMES},
        "fusion": {"component": "mmtm", "settings": {"ratio": 4.0}},
    }
    linked = run("joint", model=linked_model)
    train_run(linked, CPU)
    probe_run(linked, Probe(epochs=40, batch_size=12, lr=0.05), "probe.x", CPU)
    found = json.loads((linked.folder / "probe.x.json").read_text())["train_accuracy"]
    assert set(found) == {"audio", "visual"}
    assert min(found.values()) > 0.4, found  # chance is 1/6


def test_a_probe_gives_the_same_bytes_again(run):
    """Results rest on the digests of its files, so that no time may stand in them."""
    joint = run("joint")
    train_run(joint, CPU)
    written = []
    for _ in range(2):
        path = probe_run(joint, Probe(epochs=2), "probe.a", CPU)
        written.append((path.read_bytes(), path.with_suffix(".npz").read_bytes()))
        time.sleep(1)  # another second of the day
    assert written[0] == written[1]


def test_diagnostics_have_a_row_for_every_step_and_change_no_result(run):
    plain, watched = run("mmpareto", key="aa"), run("mmpareto", key="bb", diagnostics=True)
    for each in (plain, watched):
        train_run(each, CPU)
    assert record_of(plain).weights_sha256 == record_of(watched).weights_sha256
    with (watched.folder / "diagnostics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(float(row["step"])) for row in rows] == list(range(9))
    assert {"min_norm.audio", "cosine.joint.visual.visual"} <= set(rows[0])
    assert (watched.folder / "timings.csv").is_file()
    assert "timings.csv" not in record_of(watched).files


def test_only_runs_that_record_their_steps_depend_on_the_source_that_does(run):
    recording = "counterpoise.engine.diagnostics"
    assert recording not in run("mmpareto").cell.modules
    assert recording in run("mmpareto", diagnostics=True).cell.modules


def test_dense_tasks_are_trained_without_keeping_every_pixel(tmp_path):
    data = prepared(tmp_path, "miniature_rooms", {"train": 6, "test": 4})
    model = {
        "encoders": {"image": {"component": "segnet", "settings": {"width": 4}}},
        "fusion": None,
        "head": {"hidden": None},
        "init": "torch",
        "inputs": {},
    }
    protocol = {"optimiser": {"lr": 0.01}, "epochs": 2, "batch_size": 2}
    rooms = Run(cell=cell_of(data, "mmpareto", model, protocol, "abc"), seed=0, root=tmp_path)
    train_run(rooms, CPU)
    assert set(predictions(rooms)) == {
        f"{rule}.statistics.{task}" for rule in ("last", "best_test") for task in ("segmentation", "depth")
    }
