"""Runs that others are made of: weights that are kept, fine-tuning from them, probes, diagnostics."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from counterpoise.components import component
from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError
from counterpoise.models.network import digest_state
from counterpoise.planning.benchmark import Probe
from counterpoise.protocol import Protocol
from counterpoise.results.evaluate import evaluate_run
from counterpoise.runs.probe import probe_run
from counterpoise.runs.stages import WEIGHTS, ParentCell, read_weights
from counterpoise.runs.train import CellToTrain, run_directory, train_cell

CPU = torch.device("cpu")
SETTINGS = {"train": 36, "val": 0, "test": 24, "noise": 0.5, "audio": [1, 12, 12], "visual": [2, 3, 12, 12]}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return prepare_dataset("miniature_clips", SETTINGS, folder, folder / "clips.0a", "0a").path


@pytest.fixture
def cell(clips, tmp_path):
    """``cell("uniform", epochs=3)``: a small cell on made-up clips."""

    def make(method, key="abc", keep=True, parents=None, diagnostics=False, lr=0.05, **settings):
        part = {"component": "mlp", "settings": {"width": 16, "layers": 2, "dropout": 0.0}}
        frames = {"component": "resnet18", "settings": {"width": 16, "norm_init": "ones"}}
        found = component("method", method)
        protocol = Protocol.model_validate(
            {"optimiser": {"lr": lr}, "epochs": 3, "batch_size": 12, "diagnostics": diagnostics}
        )
        config = {
            "model": {
                "encoders": {"audio": part, "visual": frames},
                "fusion": {"component": "concat", "settings": {}},
                "head": {"hidden": None},
                "init": "torch",
                "inputs": {},
            },
            "method": {"name": method, "settings": found.resolve(settings, method)},
            "protocol": protocol.model_dump(mode="json"),
        }
        return CellToTrain(
            "clips",
            "small",
            method,
            "published",
            "small",
            config,
            "s",
            "0a",
            key,
            clips,
            tmp_path / f"{method}.{key}",
            tmp_path / "work" / f"{method}.{key}",
            keep_weights=keep,
            parents=parents or {},
        )

    return make


def record_of(cell, seed=0):
    return json.loads((run_directory(cell, seed) / "record.json").read_text())


def test_kept_weights_are_those_that_the_record_names(cell):
    joint = cell("joint")
    train_cell(joint, [0], CPU)
    state = read_weights(run_directory(joint, 0), "abc", 0)
    assert digest_state(state) == record_of(joint)["weights_sha256"]


def test_a_run_without_weights_is_made_again_where_they_are_wanted_and_gives_the_same(cell):
    plain = cell("joint", keep=False)
    train_cell(plain, [0], CPU)
    before = record_of(plain)
    assert WEIGHTS not in before["files"]
    train_cell(dataclasses.replace(plain, keep_weights=True), [0], CPU)
    after = record_of(plain)
    assert set(after["files"]) == {*before["files"], WEIGHTS}
    assert all(after["files"][name] == digest for name, digest in before["files"].items())


def test_changed_weights_are_refused(cell):
    joint = cell("joint")
    train_cell(joint, [0], CPU)
    path = run_directory(joint, 0) / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(UserError, match="digest"):
        read_weights(run_directory(joint, 0), "abc", 0)


def test_fine_tuning_starts_from_the_unimodal_runs_of_its_own_seed(cell):
    parents = {}
    for key, name in (("aa", "audio"), ("bb", "visual")):
        alone = cell("unimodal", key=key, modality=name)
        train_cell(alone, [0, 1], CPU)
        parents[name] = ParentCell(alone.directory, key)
    tuned = cell("fine_tune", parents=parents, lr=1e-30)  # too small a step to move anything but statistics
    train_cell(tuned, [0, 1], CPU)
    for seed in (0, 1):
        state = read_weights(run_directory(tuned, seed), "abc", seed)
        for name, parent in parents.items():
            source = parent.weights(seed)
            part = {k for k in source if f".{name}." in k and k.endswith("weight")}
            assert part
            assert all(torch.equal(source[k], state[k]) for k in part)
    assert record_of(tuned, 0)["weights_sha256"] != record_of(tuned, 1)["weights_sha256"]


def test_fine_tuning_without_its_unimodal_runs_is_refused(cell):
    with pytest.raises(UserError, match="'audio' alone"):
        train_cell(cell("fine_tune"), [0], CPU)


@pytest.mark.parametrize("how", [{}, {"batch_norm": "train"}, {"augment": True}])
def test_a_probe_learns_from_frozen_encoders_and_changes_nothing(cell, how):
    joint = cell("joint")
    train_cell(joint, [0], CPU)
    folder = run_directory(joint, 0)
    before = (folder / WEIGHTS).read_bytes()
    probe_run(joint, 0, Probe(epochs=10, batch_size=12, lr=0.05, **how), "probe.x", CPU)
    assert (folder / WEIGHTS).read_bytes() == before
    metrics = json.loads(evaluate_run(folder, "m.json", "abc", 0, 15, "probe.x").read_text())
    outputs = metrics["selections"]["last"]["outputs"]
    assert set(outputs) == {"joint", "probe:audio", "probe:visual"}
    assert outputs["probe:audio"]["accuracy"] > 0.5  # chance is 1/6
    assert "probe:audio" not in metrics["selections"]["best_test"]["outputs"]


def test_of_a_run_of_one_modality_only_its_encoder_is_probed(cell):
    alone = cell("unimodal", modality="visual")
    train_cell(alone, [0], CPU)
    probe_run(alone, 0, Probe(epochs=1, batch_size=12), "probe.x", CPU)
    with np.load(run_directory(alone, 0) / "probe.x.npz") as found:
        assert found.files == ["logits.visual"]


def test_an_encoder_that_exchanges_features_on_the_way_is_probed_by_itself(cell):
    """With MMTM the gates stand at their averages, so that nothing of the other modality comes in."""
    plain = cell("joint")
    part = {"component": "resnet18", "settings": {"width": 16, "norm_init": "ones"}}
    model = plain.config["model"] | {
        "encoders": {"audio": part, "visual": part},
        "fusion": {"component": "mmtm", "settings": {"ratio": 4.0}},
    }
    linked = dataclasses.replace(plain, config=plain.config | {"model": model})
    train_cell(linked, [0], CPU)
    probe_run(linked, 0, Probe(epochs=40, batch_size=12, lr=0.05), "probe.x", CPU)
    found = json.loads((run_directory(linked, 0) / "probe.x.json").read_text())["train_accuracy"]
    assert set(found) == {"audio", "visual"}
    assert min(found.values()) > 0.4, found  # chance is 1/6


def test_a_probe_gives_the_same_numbers_again(cell):
    joint = cell("joint")
    train_cell(joint, [0], CPU)
    found = []
    for name in ("probe.a", "probe.b"):
        probe_run(joint, 0, Probe(epochs=2), name, CPU)
        with np.load(run_directory(joint, 0) / f"{name}.npz") as stored:
            found.append({key: stored[key] for key in stored.files})
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])


def test_diagnostics_have_a_row_for_every_step_and_change_no_result(cell):
    plain, watched = cell("mmpareto", key="aa"), cell("mmpareto", key="bb", diagnostics=True)
    for each in (plain, watched):
        train_cell(each, [0], CPU)
    assert record_of(plain)["weights_sha256"] == record_of(watched)["weights_sha256"]
    folder = run_directory(watched, 0)
    with (folder / "diagnostics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(float(row["step"])) for row in rows] == list(range(9))
    assert {"min_norm.audio", "cosine.joint.visual.visual"} <= set(rows[0])
    assert "timings.csv" not in record_of(watched)["files"]


def test_times_and_stationarity_of_a_run_are_among_its_metrics(cell):
    watched = cell("mmpareto", diagnostics=True)
    train_cell(watched, [0], CPU)
    folder = run_directory(watched, 0)
    always = json.loads(evaluate_run(folder, "m.json", "abc", 0, 15, stationarity=1e9).read_text())
    outputs = always["selections"]["last"]["outputs"]
    assert outputs["joint"]["seconds_per_iteration"] > 0
    assert outputs["joint"]["seconds_per_iteration_variance"] >= 0
    assert outputs["audio"]["iterations_to_stationarity"] == outputs["visual"]["iterations_to_stationarity"] == 0
    never = json.loads(evaluate_run(folder, "n.json", "abc", 0, 15, stationarity=1e-30).read_text())
    assert "iterations_to_stationarity" not in never["selections"]["last"]["outputs"]["audio"]


def test_dense_tasks_are_trained_and_measured_without_keeping_every_pixel(tmp_path):
    data = prepare_dataset("miniature_rooms", {"train": 6, "test": 4}, tmp_path, tmp_path / "rooms.0a", "0a")
    config = {
        "model": {
            "encoders": {"image": {"component": "segnet", "settings": {"width": 4}}},
            "fusion": None,
            "head": {"hidden": None},
            "init": "torch",
            "inputs": {},
        },
        "method": {"name": "mmpareto", "settings": component("method", "mmpareto").resolve({}, "")},
        "protocol": Protocol.model_validate({"optimiser": {"lr": 0.01}, "epochs": 2, "batch_size": 2}).model_dump(
            mode="json"
        ),
    }
    rooms = CellToTrain(
        "rooms",
        "segnet",
        "mmpareto",
        "published",
        "small",
        config,
        "s",
        "0a",
        "abc",
        data.path,
        tmp_path / "runs",
        tmp_path / "work",
    )
    train_cell(rooms, [0], CPU)
    folder = run_directory(rooms, 0)
    outputs = json.loads(evaluate_run(folder, "m.json", "abc", 0, 15).read_text())["selections"]["last"]["outputs"]
    assert set(outputs["segmentation"]) == {"miou", "pixel_accuracy"}
    assert set(outputs["depth"]) == {"absolute_error", "relative_error"}
    with np.load(folder / "predictions.npz") as stored:
        assert set(stored.files) == {
            f"{rule}.statistics.{task}" for rule in ("last", "best_test") for task in ("segmentation", "depth")
        }
