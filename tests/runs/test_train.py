"""Runs are trained once, published whole, and the same whether they were stopped or not."""

from __future__ import annotations

import csv
import dataclasses
import errno
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
from counterpoise.engine.control import Control, Interrupted
from counterpoise.engine.streams import generator
from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.models.network import digest_state
from counterpoise.protocol import Protocol
from counterpoise.results.record import read_record
from counterpoise.runs.failure import read_failure, read_failures
from counterpoise.runs.job import DONE, FAILED, SIGNALS, _Report, run_job
from counterpoise.runs.run import Run
from counterpoise.runs.train import train_run, trainer_of
from counterpoise.runs.trial import try_run

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
    raw, destination = project.root / "data/raw", project.root / cell.data.directory
    return project, prepare_dataset(
        cell.data.component, cell.data.settings, raw, destination, cell.data.key, source=cell.data.source
    )


@pytest.fixture
def run(prepared, tmp_path) -> Run:
    """A run of the uniform baseline, to be trained into folders of this test's own."""
    project, _ = prepared
    return Run(
        cell=project.cell("uniform"), seed=0, root=project.root, runs=tmp_path / "results", work=tmp_path / "work"
    )


def with_seed(run: Run, seed: int) -> Run:
    return dataclasses.replace(run, seed=seed)


def with_cell(run: Run, **changes) -> Run:
    return dataclasses.replace(run, cell=dataclasses.replace(run.cell, **changes))


def with_protocol(run: Run, **changes) -> Run:
    config = run.cell.config
    return with_cell(run, config=config | {"protocol": config["protocol"] | changes})


def with_encoder(run: Run, component: str, **settings) -> Run:
    """The run with other encoders."""
    config = run.cell.config
    part = {"component": component, "settings": settings}
    model = config["model"] | {"encoders": dict.fromkeys(config["model"]["encoders"], part)}
    return with_cell(run, config=config | {"model": model})


def trained(run: Run) -> Path:
    """Train a run and return its folder."""
    train_run(run, CPU)
    return run.folder


def stopped(run: Run, after: int = 3) -> None:
    """Train a run until it is stopped after some questions whether to stop."""
    with pytest.raises(Interrupted):
        train_run(run, CPU, Control(stop=stop_after(after)))


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


# What is published.


@pytest.mark.parametrize("seed", [3, 5])
def test_a_run_is_published_whole(run, seed):
    run = with_seed(run, seed)
    found = read_record(trained(run), run.cell.key, seed)
    assert (found.status, found.reason) == ("completed", None)
    assert found.identity.model_dump() == {
        "config": run.cell.config,
        "source": run.cell.source,
        "data": run.cell.data.key,
    }
    assert {path.name for path in run.folder.iterdir()} == {"record.json", *found.files}
    assert all(sha256_file(run.folder / name) == digest for name, digest in found.files.items())


def test_what_the_data_was_outlives_its_arrays(run, prepared):
    _, data = prepared
    trained(run)
    kept = PreparedData(run.root / "results/data" / data.path.name, data.manifest)
    assert (kept.path / "manifest.json").read_bytes() == (data.path / "manifest.json").read_bytes()
    np.testing.assert_array_equal(kept.array("test", "group"), data.array("test", "group"))
    assert {path.name for path in kept.path.rglob("*.npy")} == {"group.npy"}


def test_a_record_names_device_threads_and_versions_of_its_attempt(run):
    (attempt,) = read_record(trained(run), run.cell.key, 0).attempts
    assert (attempt.epoch, attempt.step) == (0, 0)
    assert attempt.host
    assert {"device", "device_name", "threads", "python", "libraries"} <= set(attempt.environment)


def test_history_has_a_row_for_every_epoch(run):
    folder = trained(run)
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(0 <= float(row["test_accuracy.joint"]) <= 1 for row in rows)


def test_predictions_are_of_the_whole_test_split_in_its_order(run, prepared):
    folder = trained(run)
    data = prepared[1]
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert np.array_equal(stored["labels.digit"], data.array("test", "digit"))
        for selection in record(folder)["selections"]:
            for output in ("joint", "gray", "colour"):
                logits = stored[f"{selection}.logits.{output}"]
                assert (logits.dtype, logits.shape) == (np.float32, (data.size("test"), 10))
                assert np.isfinite(logits).all()


def test_the_recorded_accuracy_is_that_of_the_predictions(run):
    folder = trained(run)
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        hits = stored["best_test.logits.joint"].argmax(axis=1) == stored["labels.digit"]
    assert record(folder)["selections"]["best_test"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)


def test_a_diverged_run_is_published_with_its_reason(run):
    optimiser = run.cell.config["protocol"]["optimiser"] | {"lr": 1e30}
    folder = trained(with_protocol(run, optimiser=optimiser))
    found = record(folder)
    assert found["status"] == "diverged"
    assert "step" in found["reason"]
    assert found["selections"] == {}
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert stored.files == ["labels.digit"]


# Once and no more.


def test_a_published_run_is_kept(run):
    folder = trained(run)
    before = times(folder)
    trained(run)
    assert times(folder) == before


def test_a_published_run_without_one_of_its_files_is_made_whole(run):
    folder = trained(run)
    before = sha256_file(folder / "predictions.npz")
    (folder / "predictions.npz").unlink()
    trained(run)
    assert sha256_file(folder / "predictions.npz") == before


def test_a_published_run_with_a_changed_file_is_made_whole(run):
    folder = trained(run)
    before = sha256_file(folder / "predictions.npz")
    (folder / "predictions.npz").write_bytes((folder / "predictions.npz").read_bytes()[:-1] + b"?")
    trained(run)
    assert sha256_file(folder / "predictions.npz") == before


def test_a_finished_run_that_was_not_published_is_published_without_training(run, monkeypatch):
    folder = trained(run)
    before = {path.name: sha256_file(path) for path in folder.iterdir()}
    shutil.rmtree(folder)  # what a workflow engine does to the outputs of a job that it believes cut off
    monkeypatch.setattr("counterpoise.runs.train.make_trainer", None)
    trained(run)
    assert {path.name: sha256_file(path) for path in folder.iterdir()} == before


@pytest.mark.parametrize("change", [{"key": "0" * 12}, {"seed": 9}])
def test_another_runs_record_is_never_overwritten(run, change):
    folder = trained(run)
    (folder / "record.json").write_text(json.dumps(record(folder) | change))
    before = times(folder)
    with pytest.raises(UserError, match=r"record\.json: .* as in its path; delete"):
        trained(run)
    assert times(folder) == before


def test_data_that_is_not_prepared_is_named_and_nothing_is_published(run):
    elsewhere = dataclasses.replace(run.cell.data, key="0" * 12)
    with pytest.raises(UserError, match=r"manifest\.json"):
        trained(with_cell(run, data=elsewhere))
    assert not run.folder.exists()


def test_a_split_without_a_whole_batch_is_named_when_others_are_left_out(run):
    with pytest.raises(UserError, match=r"\d+ training samples give no whole batch of 'batch_size' 5000"):
        trained(with_protocol(run, batch_size=5000, drop_last=True))
    trained(with_protocol(run, batch_size=5000, epochs=1))


def test_a_last_batch_of_one_sample_is_refused_before_training_where_batch_norm_has_one_value(run, prepared):
    size = prepared[1].size("train") - 1  # one sample is left over
    with pytest.raises(UserError, match=r"the last batch of an epoch has one of \d+ samples.*'drop_last: true'"):
        trained(with_protocol(with_encoder(run, component="resnet18", width=16), batch_size=size))
    trained(with_protocol(run, batch_size=size, epochs=1))
    trained(with_protocol(with_seed(run, 1), batch_size=size, drop_last=True, epochs=1))


def test_seeds_train_on_the_folds_in_turn(run):
    absent = dataclasses.replace(run.cell.data, name="fold-2")
    folded = with_cell(with_protocol(run, epochs=1), folds=(absent,))
    trained(with_seed(folded, 2))
    with pytest.raises(UserError, match="fold-2"):
        trained(with_seed(folded, 1))


@pytest.fixture
def handlers():
    """Put the handlers of signals back that a job has set."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_job_that_fails_notes_why_and_one_that_works_forgets_it(run, handlers, monkeypatch):
    def unlucky(*_, **__):
        raise RuntimeError("no luck")

    with monkeypatch.context() as patched:
        patched.setattr("counterpoise.runs.train.make_trainer", unlucky)
        assert run_job(run, "cpu", save_seconds=60) == FAILED
    assert read_failure(run.folder, run.cell.key, 0).reason == "RuntimeError: no luck"
    assert run_job(run, "cpu", save_seconds=60) == DONE
    assert read_failure(run.folder, run.cell.key, 0) is None


def test_a_job_that_would_fail_again_says_what_it_failed_of_and_is_left_alone(run, handlers, monkeypatch, capsys):
    def unlucky(*_, **__):
        raise RuntimeError("no luck")

    monkeypatch.setattr("counterpoise.runs.train.make_trainer", unlucky)
    assert run_job(run, "cpu", save_seconds=60) == FAILED
    monkeypatch.setattr("counterpoise.runs.job.train_run", None)
    capsys.readouterr()
    assert run_job(run, "cpu", save_seconds=60, attempt=2) == FAILED
    told = capsys.readouterr().err
    assert "RuntimeError: no luck" in told
    assert "not tried again" in told


def test_every_failure_of_a_run_is_kept(run, handlers, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    for attempt in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr("counterpoise.runs.job.train_run", lambda *_: (_ for _ in ()).throw(full))
            assert run_job(run, "cpu", save_seconds=60, attempt=attempt) == FAILED
    assert [failure.attempt for failure in read_failures(run.folder, run.cell.key, 0)] == [1, 2]


# Stopped and resumed.


def test_a_stopped_and_resumed_run_publishes_the_same_bytes(run, tmp_path):
    whole = dataclasses.replace(run, runs=tmp_path / "whole", work=tmp_path / "work_whole")
    expected = read_record(trained(whole), run.cell.key, 0)
    stopped(run)
    assert not run.folder.exists()
    found = read_record(trained(run), run.cell.key, 0)
    assert found.files == expected.files
    assert found.weights_sha256 == expected.weights_sha256


def test_a_resumed_run_lists_every_attempt_that_trained_a_part_of_it(run, monkeypatch):
    """Each names its own machine: bits depend on all of them."""
    stopped(run)
    monkeypatch.setattr("counterpoise.runs.machine._processor", lambda: "another processor")
    stopped(run, after=2)
    found = read_record(trained(run), run.cell.key, 0)
    assert [attempt.step for attempt in found.attempts] == sorted({attempt.step for attempt in found.attempts})
    names = [attempt.environment["device_name"] for attempt in found.attempts]
    assert found.resumed
    assert names[0] != "another processor"
    assert set(names[1:]) == {"another processor"}


def test_an_attempt_that_saved_nothing_is_not_listed(run):
    def die(epoch: int, row: dict) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_run(run, CPU, Control(report=die, save_seconds=1e9))
    assert len(read_record(trained(run), run.cell.key, 0).attempts) == 1


def test_another_runs_saved_state_is_not_gone_on_from(run, capsys):
    stopped(run)
    other = with_cell(run, key="0" * 12)
    shutil.move(run.work_folder, other.work_folder)
    assert not read_record(trained(other), other.cell.key, 0).resumed
    assert "passed over" in capsys.readouterr().err


# The source that is loaded is the one that was planned.


def test_a_run_whose_source_is_not_the_loaded_one_is_not_trained(run):
    with pytest.raises(UserError, match="is not the one that was planned"):
        trained(with_cell(run, source="0" * 64))
    assert not run.folder.exists()


# Seeds.


def trainer(run, data, seed, **changes):
    changed = with_protocol(with_seed(run, seed), **changes)
    return trainer_of(changed, data, Protocol.model_validate(changed.cell.config["protocol"]), CPU)


def test_seeds_differ_in_initialisation_and_order_but_not_in_the_split(run, prepared):
    first, second = (trainer(run, prepared[1], seed, validation_fraction=0.2) for seed in (0, 1))
    assert digest_state(first.network.state_dict()) != digest_state(second.network.state_dict())
    orders = [torch.randperm(100, generator=generator(seed, "shuffle", 0)) for seed in (0, 1)]
    assert not torch.equal(*orders)
    assert torch.equal(first.data.train_order, second.data.train_order)
    assert torch.equal(first.data.val_order, second.data.val_order)


def test_the_same_seed_is_the_same_initialisation_whatever_was_drawn_before(run, prepared):
    digests = set()
    for noise in (1, 2):
        torch.manual_seed(noise)
        digests.add(digest_state(trainer(run, prepared[1], 0).network.state_dict()))
    assert len(digests) == 1


def test_a_run_is_the_same_alone_and_beside_other_processes(run, tmp_path):
    """How many workers there are, and what a process trained before, leaves no trace in the numbers."""
    together = [read_record(trained(with_seed(run, seed)), run.cell.key, seed) for seed in (1, 0)]
    program = (
        "import pickle, sys, torch\n"
        "from counterpoise.runs.train import train_run\n"
        "train_run(pickle.load(open(sys.argv[1], 'rb')), torch.device('cpu'))\n"
    )
    workers = []
    for seed in (1, 0):
        apart = dataclasses.replace(with_seed(run, seed), runs=tmp_path / "apart", work=tmp_path / "work_apart")
        (tmp_path / f"{seed}.pickle").write_bytes(pickle.dumps(apart))
        workers.append(subprocess.Popen([sys.executable, "-c", program, str(tmp_path / f"{seed}.pickle")]))
    assert [worker.wait() for worker in workers] == [0, 0]
    for expected in together:
        found = read_record(tmp_path / "apart" / run.cell.name / f"seed-{expected.seed}", run.cell.key, expected.seed)
        assert (found.files, found.weights_sha256) == (expected.files, expected.weights_sha256)


def test_training_leaves_random_state_and_threads_as_they_were(run):
    torch.manual_seed(5)
    before = (torch.get_rng_state().tolist(), torch.get_num_threads())
    trained(with_protocol(run, threads=torch.get_num_threads() + 1, epochs=1))
    assert (torch.get_rng_state().tolist(), torch.get_num_threads()) == before


def without_validation(data: PreparedData) -> PreparedData:
    splits = {name: split for name, split in data.manifest["splits"].items() if name != "val"}
    return dataclasses.replace(data, manifest=data.manifest | {"splits": splits})


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_held_out_samples_are_the_stated_share_and_are_not_trained_on(run, prepared, fraction):
    data = without_validation(prepared[1])
    splits = trainer(run, data, 0, validation_fraction=fraction).data
    train, val = set(splits.train_order.tolist()), set(splits.val_order.tolist())
    assert train.isdisjoint(val)
    assert train | val == set(range(data.size("train")))
    assert len(val) == max(1, round(fraction * data.size("train")))


def test_without_a_fraction_everything_is_trained_on(run, prepared):
    data = without_validation(prepared[1])
    splits = trainer(run, data, 0).data
    assert splits.val is None
    assert len(splits.train_order) == data.size("train")


def test_a_method_that_needs_validation_data_says_so(run, prepared):
    method = {"name": "g_blending", "variant": "published", "settings": {}}
    needing = with_cell(run, config=run.cell.config | {"method": method})
    with pytest.raises(UserError, match=r"needs validation data.*validation_fraction"):
        trainer(needing, without_validation(prepared[1]), 0)


# A few steps before launch.


def test_a_trial_times_the_cells_steps_and_leaves_nothing_behind(run):
    trial = try_run(run, CPU, steps=2)
    assert trial.steps == 4  # two of them to warm up
    assert 0 < trial.seconds_per_epoch < 600
    assert trial.peak_memory > 1e7
    assert trial.watts is None  # a CPU does not say
    assert not run.folder.exists()
    assert not run.work_folder.exists()


def test_a_trial_of_a_short_epoch_is_timed_with_its_evaluation(run):
    whole = try_run(with_protocol(run, batch_size=2000), CPU, steps=5)
    assert whole.steps == 1
    assert whole.seconds_per_epoch > 0


def test_a_line_of_an_epoch_without_an_evaluation_has_no_accuracy(run, capsys):
    report = _Report(run)
    report(1, {"train_loss": 0.5})
    report(2, {"train_loss": 0.5, "test_accuracy.joint": 0.25})
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(": epoch 1/2")
    assert second.endswith(": epoch 2/2 test accuracy joint 0.2500")
