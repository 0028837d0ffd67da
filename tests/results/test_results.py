"""Only whole, finished runs of this very plan are read; anything else is named and refused."""

from __future__ import annotations

import json

import pytest

from counterpoise.errors import UserError
from counterpoise.results.results import read_cell, read_results


@pytest.fixture
def study(make_study):
    return make_study("table3", {"cg_mnist": "cg_digits"})


def read(study):
    return read_cell(study.plan, study.root, study.cell("mmpareto"))


def fails(study, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(study)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def rewrite(path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_finished_runs_are_read_in_printed_units(study):
    study.runs("mmpareto", [0.91, 0.93, 0.92])
    values = read(study).values("last", "joint", "accuracy", 100.0)
    assert values.finished == {0: 91.0, 1: 93.0, 2: 92.0}
    assert values.missing == ()


def test_runs_that_are_not_there_are_missing_and_nothing_else(study):
    study.runs("mmpareto", [0.91])
    values = read(study).values("last", "joint", "accuracy")
    assert (values.n, values.missing) == (1, (1, 2))


def test_a_run_that_is_trained_but_not_evaluated_does_not_count(study):
    folder = study.run(study.cell("mmpareto"), 0, {"joint": 0.9})
    (folder / study.plan.metrics_name).unlink()
    assert read(study).values("last", "joint", "accuracy").missing == (0, 1, 2)


def test_a_diverged_run_is_kept_apart_with_its_reason(study):
    study.diverge("mmpareto", 0)
    values = read(study).values("last", "joint", "accuracy")
    assert (values.n, values.diverged) == (0, {0: "loss is not finite"})


def test_a_run_that_failed_is_missing_with_its_reason(study):
    cell = study.cell("mmpareto")
    folder = study.root / cell.run_directory(0)
    folder.mkdir(parents=True)
    note = {"key": cell.key, "seed": 0, "status": "out_of_memory", "reason": "8 GiB"}
    (folder / "failure.json").write_text(json.dumps(note))
    values = read(study).values("last", "joint", "accuracy")
    assert (values.missing, values.failed) == ((0, 1, 2), {0: "out of memory (8 GiB)"})
    rewrite(folder / "failure.json", key="ffffffffffff")
    fails(study, "failure.json", "ffffffffffff")


def test_an_output_that_the_runs_lack_is_named(study):
    study.runs("mmpareto", [0.91])
    assert "probe:audio" in read(study).values("last", "probe:audio", "accuracy").absent
    assert "best_val" in read(study).values("best_val", "joint", "accuracy").absent


@pytest.mark.parametrize("name", ["metrics", "record.json"])
def test_a_truncated_file_is_named(study, name):
    path = study.run(study.cell("mmpareto"), 0, {"joint": 0.9}) / (
        study.plan.metrics_name if name == "metrics" else name
    )
    path.write_text(path.read_text()[:40])
    fails(study, str(path), "truncated")


@pytest.mark.parametrize("name", ["metrics", "record.json"])
def test_a_file_with_another_key_than_its_path_is_refused(study, name):
    path = study.run(study.cell("mmpareto"), 0, {"joint": 0.9}) / (
        study.plan.metrics_name if name == "metrics" else name
    )
    rewrite(path, key="ffffffffffff")
    fails(study, str(path), "ffffffffffff", study.cell("mmpareto").key)


def test_a_file_with_another_seed_than_its_path_is_refused(study):
    path = study.run(study.cell("mmpareto"), 0, {"joint": 0.9}) / study.plan.metrics_name
    rewrite(path, seed=1)
    fails(study, str(path), "seed is 1, must be 0")


def test_metrics_without_their_record_are_refused(study):
    folder = study.run(study.cell("mmpareto"), 0, {"joint": 0.9})
    (folder / "record.json").unlink()
    fails(study, "record.json")


def test_metrics_of_other_predictions_are_refused(study):
    folder = study.run(study.cell("mmpareto"), 0, {"joint": 0.9})
    rewrite(folder / study.plan.metrics_name, predictions_sha256="q" * 64)
    fails(study, study.plan.metrics_name, "evaluate it again")


def test_metrics_with_other_calibration_bins_are_refused(study):
    study.run(study.cell("mmpareto"), 0, {"joint": 0.9}, ece_bins=10)
    fails(study, "10 ECE bins", "15")


def test_a_metric_that_is_no_number_is_refused(study):
    path = study.run(study.cell("mmpareto"), 0, {"joint": 0.9}) / study.plan.metrics_name
    path.write_text(path.read_text().replace("0.9", "NaN", 1))
    fails(study, str(path), "joint.accuracy")


def test_an_unknown_format_version_is_refused(study):
    path = study.run(study.cell("mmpareto"), 0, {"joint": 0.9}) / study.plan.metrics_name
    rewrite(path, schema=3)
    fails(study, str(path), "schema")


def test_every_cell_of_the_plan_is_read(study):
    assert set(read_results(study.plan, study.root)) == {cell.name for cell in study.plan.cells}
