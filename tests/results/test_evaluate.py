"""Metrics are computed from the predictions that the record names, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_project import TEST_SIZE, SmallProject

from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.results.evaluate import evaluate_run

NAME = "metrics.test.json"


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


@pytest.fixture
def cell(project):
    return project.cell("uniform")


@pytest.fixture
def run(project, cell) -> Path:
    """A run that got 15 of 20 right."""
    return project.run(cell, 0, 15)


def evaluate(cell, folder, bins: int = 15) -> dict:
    return json.loads(evaluate_run(folder, NAME, cell.key, 0, bins).read_text())


def change_record(folder: Path, **changes) -> None:
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(cell, folder, match: str) -> None:
    with pytest.raises(UserError, match=match):
        evaluate_run(folder, NAME, cell.key, 0, 15)
    assert not (folder / NAME).exists()


def test_every_output_of_every_selection_is_measured(cell, run):
    found = evaluate(cell, run)
    assert (found["key"], found["seed"], found["status"], found["n_test"]) == (cell.key, 0, "completed", TEST_SIZE)
    assert set(found["selections"]) == {"last"}
    assert found["selections"]["last"]["epoch"] == 19
    outputs = found["selections"]["last"]["outputs"]
    assert set(outputs) == {"joint", "gray", "colour"}
    assert outputs["joint"]["accuracy"] == 0.75
    assert set(outputs["joint"]) == {"accuracy", "macro_f1", "ece"}


def test_confusion_counts_have_labels_down_and_predictions_across(cell, run):
    details = evaluate(cell, run)["selections"]["last"]["details"]
    assert set(details) == {"joint", "gray", "colour"}
    confusion = np.array(details["joint"]["confusion"])
    # The first 15 of 20 are right; each later one is taken for the next of the four classes.
    wrong = np.bincount(np.arange(15, TEST_SIZE) % 4, minlength=4)
    assert confusion.sum() == TEST_SIZE
    assert confusion.trace() == 15
    assert np.array_equal(np.roll(confusion, -1, axis=1).diagonal(), wrong)


def test_each_row_of_counts_is_one_line_of_the_file(cell, run):
    text = evaluate_run(run, NAME, cell.key, 0, 15).read_text()
    assert len(text.splitlines()) < 200


def test_metrics_name_what_they_were_made_of(cell, run):
    found = evaluate(cell, run, bins=7)
    assert found["predictions_sha256"] == sha256_file(run / "predictions.npz")
    assert found["ece_bins"] == 7


def test_evaluating_twice_gives_the_same_bytes(cell, run):
    first = evaluate_run(run, NAME, cell.key, 0, 15).read_bytes()
    assert evaluate_run(run, NAME, cell.key, 0, 15).read_bytes() == first


def test_a_diverged_run_has_no_metrics_but_a_reason(project, cell):
    folder = project.run(cell, 0, status="diverged", reason="loss not finite at step 3", selections={})
    found = evaluate(cell, folder)
    assert (found["status"], found["reason"]) == ("diverged", "loss not finite at step 3")
    assert found["selections"] == {}


def test_predictions_that_the_record_does_not_name_are_refused(cell, run):
    np.savez(run / "predictions.npz", **{"labels.digit": np.zeros(3, np.int64)})
    refused(cell, run, r"predictions\.npz: was changed or truncated")


def test_predictions_that_are_gone_are_refused(cell, run):
    (run / "predictions.npz").unlink()
    refused(cell, run, r"predictions\.npz: is not there")


@pytest.mark.parametrize("change", [{"key": "0" * 12}, {"seed": 1}, {"schema": 2}])
def test_another_runs_record_is_refused(cell, run, change):
    change_record(run, **change)
    refused(cell, run, rf"record\.json: '{next(iter(change))}' is .* must be")


def test_an_output_without_predictions_is_refused_by_name(cell, run):
    targets = {"joint": "digit", "taste": "digit"}
    change_record(run, output_targets=targets, output_kinds=dict.fromkeys(targets, "classification"))
    refused(cell, run, r"last\.logits\.taste")


def test_a_record_that_lacks_a_part_is_refused_by_its_name(cell, run):
    path = run / "record.json"
    record = json.loads(path.read_text())
    del record["output_targets"]
    path.write_text(json.dumps(record))
    refused(cell, run, "output_targets")


def test_pickled_predictions_are_not_opened(cell, run):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (run / "went off",))

    np.savez(run / "predictions.npz", **{"labels.digit": np.array([Bomb()], dtype=object)})
    record = json.loads((run / "record.json").read_text())
    change_record(run, files=record["files"] | {"predictions.npz": sha256_file(run / "predictions.npz")})
    refused(cell, run, r"predictions\.npz: not a file of predictions")
    assert not (run / "went off").exists()
