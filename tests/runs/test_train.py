"""Runs of a cell are trained once, published whole, and the same whether they were stopped or not."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_project import SmallProject
from tiny_training import stop_after

from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.loop import Control, Interrupted
from counterpoise.engine.streams import generator
from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.models.network import digest_state
from counterpoise.protocol import Protocol
from counterpoise.runs.job import FAILED, SIGNALS, run_job
from counterpoise.runs.train import CellToTrain, make_trainer, train_cell
from counterpoise.runs.trial import try_cell

CPU = torch.device("cpu")
MODEL = {
    "title": "Tiny",
    "encoders": {name: {"component": "conv4", "settings": {"channels": 2, "width": 6}} for name in ("gray", "colour")},
    "fusion": {"component": "concat"},
}
PROTOCOL = {"title": "Tiny", "optimiser": {"name": "sgd", "lr": 0.02}, "epochs": 2, "batch_size": 256}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, repository) -> tuple[SmallProject, PreparedData]:
    """A project with a tiny model and its data, prepared once."""
    project = SmallProject(tmp_path_factory.mktemp("project"), repository)
    project.write("configs/models/tiny.yaml", MODEL)
    project.write("configs/protocols/tiny.yaml", PROTOCOL)
    project.table(columns={"cg_mnist": {"dataset": "cg_digits", "model": "tiny", "protocol": "tiny"}})
    cell = project.cell("uniform")
    raw, destination = project.root / "data/raw", project.root / cell.data_directory
    return project, prepare_dataset(cell.data.component, cell.data.settings, raw, destination, cell.data_key)


@pytest.fixture
def cell(prepared, tmp_path) -> CellToTrain:
    """The uniform baseline, to be trained into folders of this test's own."""
    project, data = prepared
    planned = project.cell("uniform")
    names = ("dataset", "model", "method", "variant", "protocol", "config", "source", "data_key", "key")
    return CellToTrain(
        **{name: getattr(planned, name) for name in names},
        data_directory=data.path,
        directory=tmp_path / "results",
        work_directory=tmp_path / "work",
    )


def with_protocol(cell: CellToTrain, **changes) -> CellToTrain:
    return dataclasses.replace(cell, config=cell.config | {"protocol": cell.config["protocol"] | changes})


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


# What is published.


def test_a_run_is_published_whole(cell):
    folders = train_cell(cell, [3, 5], CPU)
    assert folders == [cell.directory / "seed-3", cell.directory / "seed-5"]
    for seed, folder in zip((3, 5), folders, strict=True):
        found = record(folder)
        assert (found["key"], found["seed"], found["status"], found["reason"]) == (cell.key, seed, "completed", None)
        assert found["identity"] == {"config": cell.config, "source": cell.source, "data": cell.data_key}
        assert {path.name for path in folder.iterdir()} == {"record.json", *found["files"]}
        assert all(sha256_file(folder / name) == digest for name, digest in found["files"].items())


def test_history_has_a_row_for_every_epoch(cell):
    (folder,) = train_cell(cell, [0], CPU)
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(0 <= float(row["test_accuracy.joint"]) <= 1 for row in rows)


def test_predictions_are_of_the_whole_test_split_in_its_order(cell, prepared):
    (folder,) = train_cell(cell, [0], CPU)
    data = prepared[1]
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert np.array_equal(stored["labels.digit"], data.array("test", "digit"))
        for selection in record(folder)["selections"]:
            for output in ("joint", "gray", "colour"):
                logits = stored[f"{selection}.logits.{output}"]
                assert (logits.dtype, logits.shape) == (np.float32, (data.size("test"), 10))
                assert np.isfinite(logits).all()


def test_the_recorded_accuracy_is_that_of_the_predictions(cell):
    (folder,) = train_cell(cell, [0], CPU)
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        hits = stored["best_test.logits.joint"].argmax(axis=1) == stored["labels.digit"]
    assert record(folder)["selections"]["best_test"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)


def test_a_diverged_run_is_published_with_its_reason(cell):
    optimiser = cell.config["protocol"]["optimiser"] | {"lr": 1e30}
    (folder,) = train_cell(with_protocol(cell, optimiser=optimiser), [0], CPU)
    found = record(folder)
    assert found["status"] == "diverged"
    assert "step" in found["reason"]
    assert found["selections"] == {}
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert stored.files == ["labels.digit"]


# Once and no more.


def test_a_published_run_is_kept(cell):
    (folder,) = train_cell(cell, [0], CPU)
    before = times(folder)
    train_cell(cell, [0, 1], CPU)
    assert times(folder) == before
    assert (cell.directory / "seed-1/record.json").is_file()


def test_a_published_run_without_one_of_its_files_is_made_whole(cell):
    (folder,) = train_cell(cell, [0], CPU)
    before = sha256_file(folder / "predictions.npz")
    (folder / "predictions.npz").unlink()
    train_cell(cell, [0], CPU)
    assert sha256_file(folder / "predictions.npz") == before


def test_a_published_run_with_a_changed_file_is_made_whole(cell):
    (folder,) = train_cell(cell, [0], CPU)
    before = sha256_file(folder / "predictions.npz")
    (folder / "predictions.npz").write_bytes((folder / "predictions.npz").read_bytes()[:-1] + b"?")
    train_cell(cell, [0], CPU)
    assert sha256_file(folder / "predictions.npz") == before


def test_a_finished_run_that_was_not_published_is_published_without_training(cell, monkeypatch):
    (folder,) = train_cell(cell, [0], CPU)
    before = {path.name: sha256_file(path) for path in folder.iterdir()}
    shutil.rmtree(folder)  # what a workflow engine does to the outputs of a job that it believes cut off
    monkeypatch.setattr("counterpoise.runs.train.make_trainer", None)
    train_cell(cell, [0], CPU)
    assert {path.name: sha256_file(path) for path in folder.iterdir()} == before


@pytest.mark.parametrize("change", [{"key": "0" * 12}, {"seed": 9}])
def test_another_runs_record_is_never_overwritten(cell, change):
    (folder,) = train_cell(cell, [0], CPU)
    (folder / "record.json").write_text(json.dumps(record(folder) | change))
    before = times(folder)
    with pytest.raises(UserError, match=r"record\.json: the record of another run"):
        train_cell(cell, [0], CPU)
    assert times(folder) == before


def test_data_that_is_not_prepared_is_named_and_nothing_is_published(cell, tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json"):
        train_cell(dataclasses.replace(cell, data_directory=tmp_path / "nowhere"), [0], CPU)
    assert not cell.directory.exists()


def test_a_split_without_a_whole_batch_is_named_when_others_are_left_out(cell):
    with pytest.raises(UserError, match=r"dataset 'cg_digits': \d+ training samples.*'batch_size' 5000"):
        train_cell(with_protocol(cell, batch_size=5000, drop_last=True), [0], CPU)
    train_cell(with_protocol(cell, batch_size=5000, epochs=1), [0], CPU)


def test_seeds_train_on_the_folds_in_turn(cell, tmp_path):
    absent = tmp_path / "fold-2"
    folded = dataclasses.replace(with_protocol(cell, epochs=1), folds=(absent,))
    (folder,) = train_cell(folded, [2], CPU)
    assert (folder / "record.json").is_file()
    with pytest.raises(UserError, match="fold-2"):
        train_cell(folded, [1], CPU)


def test_a_job_of_several_cells_trains_the_others_when_one_fails(cell, tmp_path):
    asked = {number: signal.getsignal(number) for number in SIGNALS}
    short = with_protocol(cell, epochs=1)
    broken = dataclasses.replace(
        short, key="b", directory=tmp_path / "broken", work_directory=tmp_path / "w", data_directory=tmp_path
    )
    try:
        assert run_job([broken, short], [0], "cpu", save_seconds=60) == FAILED
    finally:
        for number, handler in asked.items():
            signal.signal(number, handler)
    assert (short.directory / "seed-0/record.json").is_file()
    assert (broken.directory / "seed-0/failure.json").is_file()


def test_one_seed_that_fails_does_not_stop_the_others(cell, monkeypatch):
    from counterpoise.runs import train

    def fail_on_seed_1(config, protocol, data, seed, *rest):
        if seed == 1:
            raise RuntimeError("seed 1 has no luck")
        return make_trainer(config, protocol, data, seed, *rest)

    monkeypatch.setattr(train, "make_trainer", fail_on_seed_1)
    failed = {}
    train_cell(cell, [0, 1, 2], CPU, failed=lambda seed, error: failed.update({seed: str(error)}))
    assert failed == {1: "seed 1 has no luck"}
    assert [seed for seed in range(3) if (cell.directory / f"seed-{seed}/record.json").is_file()] == [0, 2]


# Stopped and resumed.


def test_a_stopped_and_resumed_run_publishes_the_same_bytes(cell, tmp_path):
    whole = dataclasses.replace(cell, directory=tmp_path / "whole", work_directory=tmp_path / "work_whole")
    (expected,) = train_cell(whole, [0], CPU)
    with pytest.raises(Interrupted):
        train_cell(cell, [0], CPU, lambda seed: Control(stop=stop_after(3)))
    assert not cell.directory.exists()
    (folder,) = train_cell(cell, [0], CPU)
    assert record(folder)["resumed"]
    assert record(folder)["files"] == record(expected)["files"]
    assert record(folder)["weights_sha256"] == record(expected)["weights_sha256"]


def test_another_runs_saved_state_is_not_gone_on_from(cell, capsys):
    with pytest.raises(Interrupted):
        train_cell(cell, [0], CPU, lambda seed: Control(stop=stop_after(3)))
    other = dataclasses.replace(cell, key="0" * 12)
    (folder,) = train_cell(other, [0], CPU)
    assert not record(folder)["resumed"]
    assert "passed over" in capsys.readouterr().err


# Seeds.


def trainer(cell, data, seed, **changes):
    changed = with_protocol(cell, **changes)
    return make_trainer(changed.config, Protocol.model_validate(changed.config["protocol"]), data, seed, CPU)


def test_seeds_differ_in_initialisation_and_order_but_not_in_the_split(cell, prepared):
    first, second = (trainer(cell, prepared[1], seed, validation_fraction=0.2) for seed in (0, 1))
    assert digest_state(first.network.state_dict()) != digest_state(second.network.state_dict())
    orders = [torch.randperm(100, generator=generator(seed, "shuffle", 0)) for seed in (0, 1)]
    assert not torch.equal(*orders)
    assert torch.equal(first.data.train_order, second.data.train_order)
    assert torch.equal(first.data.val_order, second.data.val_order)


def test_the_same_seed_is_the_same_initialisation_whatever_was_drawn_before(cell, prepared):
    digests = set()
    for noise in (1, 2):
        torch.manual_seed(noise)
        digests.add(digest_state(trainer(cell, prepared[1], 0).network.state_dict()))
    assert len(digests) == 1


def test_a_run_is_the_same_alone_and_beside_other_processes(cell, tmp_path):
    """How many workers there are, and what a process trained before, leaves no trace in the numbers."""
    together = train_cell(cell, [1, 0], CPU)
    program = (
        "import pickle, sys, torch\n"
        "from counterpoise.runs.train import train_cell\n"
        "train_cell(pickle.load(open(sys.argv[1], 'rb')), [int(sys.argv[2])], torch.device('cpu'))\n"
    )
    apart = dataclasses.replace(cell, directory=tmp_path / "apart", work_directory=tmp_path / "work_apart")
    (tmp_path / "cell.pickle").write_bytes(pickle.dumps(apart))
    workers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "cell.pickle"), str(seed)]) for seed in (0, 1)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    for folder in together:
        assert record(folder)["files"] == record(apart.directory / folder.name)["files"]
        assert record(folder)["weights_sha256"] == record(apart.directory / folder.name)["weights_sha256"]


def test_training_leaves_random_state_and_threads_as_they_were(cell):
    torch.manual_seed(5)
    before = (torch.get_rng_state().tolist(), torch.get_num_threads())
    train_cell(with_protocol(cell, threads=torch.get_num_threads() + 1, epochs=1), [0], CPU)
    assert (torch.get_rng_state().tolist(), torch.get_num_threads()) == before


def without_validation(data: PreparedData) -> PreparedData:
    splits = {name: split for name, split in data.manifest["splits"].items() if name != "val"}
    return dataclasses.replace(data, manifest=data.manifest | {"splits": splits})


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_held_out_samples_are_the_stated_share_and_are_not_trained_on(cell, prepared, fraction):
    data = without_validation(prepared[1])
    splits = trainer(cell, data, 0, validation_fraction=fraction).data
    train, val = set(splits.train_order.tolist()), set(splits.val_order.tolist())
    assert train.isdisjoint(val)
    assert train | val == set(range(data.size("train")))
    assert len(val) == max(1, round(fraction * data.size("train")))


def test_without_a_fraction_everything_is_trained_on(cell, prepared):
    data = without_validation(prepared[1])
    splits = trainer(cell, data, 0).data
    assert splits.val is None
    assert len(splits.train_order) == data.size("train")


def test_a_method_that_needs_validation_data_says_so(cell, prepared):
    method = {"name": "g_blending", "variant": "published", "settings": {}}
    needing = dataclasses.replace(cell, config=cell.config | {"method": method})
    with pytest.raises(UserError, match=r"needs validation data.*validation_fraction"):
        trainer(needing, without_validation(prepared[1]), 0)


# A few steps before launch.


def test_a_trial_times_the_cells_steps_and_leaves_nothing_behind(cell):
    trial = try_cell(cell, CPU, steps=2)
    assert trial.steps == 4  # two of them to warm up
    assert 0 < trial.seconds_per_epoch < 600
    assert trial.peak_memory > 1e7
    assert trial.watts is None  # a CPU does not say
    assert not cell.directory.exists()
    assert not cell.work_directory.exists()


def test_a_trial_of_a_short_epoch_is_timed_with_its_evaluation(cell):
    whole = try_cell(with_protocol(cell, batch_size=2000), CPU, steps=5)
    assert whole.steps == 1
    assert whole.seconds_per_epoch > 0
