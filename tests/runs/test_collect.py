"""What enters a results table fits its record; the rest is named, and nothing is computed twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_project import TEST_SIZE, SmallProject

from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import GROUP, ArrayStore, group_numbers
from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.planning.figures import measurement_name
from counterpoise.results.table import FILES, Results, read_results, write_results
from counterpoise.runs import collect as module
from counterpoise.runs.collect import collect
from counterpoise.runs.failure import KILLED
from counterpoise.runs.kept_data import keep


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


@pytest.fixture
def cell(project):
    return project.cell("uniform")


@pytest.fixture
def run(project, cell) -> Path:
    """The run of seed 0, with 15 of 20 right."""
    return project.run(cell, 0, 15)


def results(project, previous: Results | None = None) -> Results:
    return collect(project.plan(), project.root, previous)


def entry(found: Results, cell, seed: int = 0):
    return next(run for run in found.runs if (run.cell, run.seed) == (cell.name, seed))


def accuracy(found: Results, cell, seed: int = 0) -> float:
    return found.seeds(cell.name, "last", "joint", "accuracy").finished[seed]


def change_record(folder: Path, **changes) -> None:
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(project, match: str) -> str:
    with pytest.raises(UserError, match=match) as caught:
        results(project)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- what is there -------------------------------------------------------------------------------------------


def test_a_finished_run_gives_values_correctness_and_counts(project, cell, run):
    found = results(project)
    assert accuracy(found, cell) == 0.75
    assert found.correct[cell.name, 0, "last", "joint"].sum() == 15
    assert found.details[cell.name, 0, "last", "gray"]["confusion"].sum() == TEST_SIZE
    assert found.n_test(cell.name) == TEST_SIZE
    record = json.loads((run / "record.json").read_text())
    assert (entry(found, cell).record, entry(found, cell).files) == (record, record["files"])
    rows = found.values[(found.values["key"] == cell.key) & (found.values["seed"] == 0)]
    assert set(rows["metric"]) == {"accuracy", "macro_f1", "ece"}
    assert set(rows["epoch"]) == {19}


def test_groups_of_test_examples_are_those_of_the_data_and_outlive_it(project, cell, run):
    folder = project.prepared(cell)
    shutil.rmtree(folder)
    with ArrayStore(folder, dataset=cell.data.component, key=cell.data.key, settings={}) as store:
        store.target("digit", names=["0"])
        store.extra(GROUP)
        for split in ("train", "test"):
            videos = [f"video {place // 4}" for place in range(TEST_SIZE)]
            ids = [f"{split}/{place}" for place in range(TEST_SIZE)]
            store.append(split, ids, digit=np.zeros(TEST_SIZE, np.int64), **{GROUP: group_numbers(videos)})
    raw = PreparedData.open(folder).raw_digest
    change_record(run, raw_data=raw)
    found = results(project)
    groups = found.groups[folder.name]
    assert [len(set(groups[place : place + 4])) for place in range(0, TEST_SIZE, 4)] == [1] * (TEST_SIZE // 4)
    assert len(set(groups)) == TEST_SIZE // 4
    keep(PreparedData.open(folder), project.root)
    shutil.rmtree(folder)
    again = results(project)
    np.testing.assert_array_equal(again.groups[folder.name], groups)
    assert again.layout == found.layout


def test_every_planned_run_is_an_entry_and_has_a_row(project, cell, run):
    found = results(project)
    planned = {(c.name, seed) for c in project.plan().cells for seed in (0, 1)}
    assert {(each.cell, each.seed) for each in found.runs} == planned
    rows = found.values
    assert len(rows.drop_duplicates(["dataset", "model", "method", "variant", "key", "seed"])) == len(planned)
    assert set(rows[rows["value"].isna()]["status"]) == {"missing"}


def test_a_run_that_is_not_there_is_missing_and_nothing_else(project, cell, run):
    values = results(project).seeds(cell.name, "last", "joint", "accuracy")
    assert (values.n, values.missing, values.failed) == (1, (1,), {})


def test_a_diverged_run_has_a_reason_and_no_values(project, cell):
    project.run(cell, 0, status="diverged", reason="loss not finite at step 3", selections={})
    found = results(project)
    values = found.seeds(cell.name, "last", "joint", "accuracy")
    assert (values.n, values.diverged, values.missing) == (0, {0: "loss not finite at step 3"}, (1,))
    assert not found.correct


def test_a_failed_run_has_a_reason_and_is_missing(project, cell):
    project.fail(cell, 0, "out_of_memory", "8 GiB")
    found = results(project)
    assert entry(found, cell).status == "out_of_memory"
    values = found.seeds(cell.name, "last", "joint", "accuracy")
    assert (values.failed, values.missing) == ({0: "out of memory (8 GiB)"}, (0, 1))


def test_a_run_that_was_killed_from_outside_did_not_fail(project, cell):
    project.fail(cell, 0, "failed", f"{KILLED}; on a machine")
    found = results(project)
    assert entry(found, cell).status == "interrupted"
    values = found.seeds(cell.name, "last", "joint", "accuracy")
    assert (values.failed, values.missing) == ({}, (0, 1))


def test_an_output_or_selection_that_the_runs_lack_is_named(project, cell, run):
    found = results(project)
    assert "'probe:gray'" in found.seeds(cell.name, "last", "probe:gray", "accuracy").absent
    assert "'best_val'" in found.seeds(cell.name, "best_val", "joint", "accuracy").absent
    assert "'miou'" in found.seeds(cell.name, "last", "joint", "miou").absent


def test_a_run_names_its_logs_and_how_to_redo_it_from_the_projects_folder(project, cell, run):
    log = project.root / "logs" / "train" / cell.name / "seed-0.log"
    log.parent.mkdir(parents=True)
    log.touch()
    log.with_name("seed-01.log").touch()
    found = entry(collect(project.plan(seeds=[0, 1]), project.root), cell)
    assert found.logs == (log.relative_to(project.root).as_posix(),)
    assert found.redo.startswith(f"counterpoise redo {cell.name} --seed 0 --benchmark configs/benchmarks/small.yaml")
    assert "'--set=seeds=[0, 1]'" in found.redo
    assert str(project.root) not in found.redo


def test_what_steps_recorded_is_measured(project, cell):
    folder = project.run(cell, 0)
    (folder / "diagnostics.csv").write_text("step,min_norm.gray\n0,0.5\n1,\n2,0.0001\n")
    (folder / "timings.csv").write_text(
        "step,integration_seconds.a,integration_seconds.b,step_seconds\n0,1.0,1.0,9\n1,2.0,2.0,9\n"
    )
    record = json.loads((folder / "record.json").read_text())
    change_record(folder, files=record["files"] | {"diagnostics.csv": sha256_file(folder / "diagnostics.csv")})
    found = results(project)
    assert found.seeds(cell.name, "last", "gray", "iterations_to_stationarity").finished == {0: 2.0}
    assert found.seeds(cell.name, "last", "joint", "seconds_per_iteration").finished == {0: 3.0}
    # Another norm counts as 0: the first step already.
    looser = collect(project.plan(evaluation={"stationarity": 0.9}), project.root, found)
    assert looser.seeds(cell.name, "last", "gray", "iterations_to_stationarity").finished == {0: 0.0}
    (folder / "diagnostics.csv").write_text("step,min_norm.gray\n0,0.1\n")
    refused(project, r"diagnostics\.csv: was changed")


GRADIENTS = "batch,encoder,multimodal,unimodal,multimodal_loss,unimodal_loss,k\n"


@pytest.fixture
def weighed(project) -> Path:
    """The measurement of the gradients of a finished run: a table's columns are made of it."""
    modalities = {"first": "gray", "second": "colour"}
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits", "modalities": modalities}
    table = {"paper": "mmpareto", "table": "gradients", "columns": {"cg_mnist": column}}
    project.benchmark(tables=[table], seeds=[0])
    plan = project.plan()
    (cell,) = plan.cells
    (measurement,) = plan.measured[cell.name]
    path = project.run(cell, 0) / f"{measurement_name(measurement)}.csv"
    path.write_text(f"{GRADIENTS}0,gray,1,2,1,1,3.5\n1,gray,2,6,1,2,3.5\n0,colour,1,1,1,1,2.0\n")
    return path


def test_what_was_measured_on_a_runs_weights_fills_columns_of_a_table(project, weighed):
    found = results(project)
    (cell,) = project.plan().cells
    (run,) = found.runs
    assert run.measurements == (weighed.stem,)
    assert cell.name in project.plan().keep_weights
    assert found.seeds(cell.name, "last", "gray", "covariance_ratio").finished == {0: 3.5}
    assert found.seeds(cell.name, "last", "gray", "norm_variance_ratio").finished == {0: 16.0}
    (place,) = [v for v in found.layout.values if v.column == "covariance_ratio_second" and v.row == "CG-MNIST"]
    assert place.output == "colour"


def test_a_run_that_was_measured_again_has_the_new_values(project, weighed):
    before = results(project)
    weighed.write_text(f"{GRADIENTS}0,gray,1,2,1,1,7.0\n")
    (cell,) = project.plan().cells
    assert results(project, before).seeds(cell.name, "last", "gray", "covariance_ratio").finished == {0: 7.0}
    weighed.unlink()
    found = results(project, before)
    assert "covariance_ratio" not in set(found.values["metric"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch,encoder,k\n0,gray,1\n", "has no column 'multimodal'"),
        (f"{GRADIENTS}0,gray,one,2,1,1,3.5\n", "not a table of numbers"),
        (f"{GRADIENTS}0,gray,1\n", "has 3 fields, must have 7"),
        (GRADIENTS.replace("encoder,", ""), "has no column 'encoder'"),
        ("", "is empty"),
    ],
)
def test_a_broken_measurement_is_refused_by_its_name(project, weighed, text, said):
    weighed.write_text(text)
    assert weighed.name in refused(project, said)


def test_one_measurement_in_two_ways_is_refused(project, weighed):
    text = (project.root / "configs/papers/mmpareto/figures.yaml").read_text()
    (project.root / "configs/papers/mmpareto/figures.yaml").write_text(text.replace("batches: 400", "batches: 30"))
    runs = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits", "modalities": {"visual": "gray"}}
    project.benchmark(figures=[{"paper": "mmpareto", "figure": "figure1d", "runs": runs}])
    with pytest.raises(UserError, match="'gradients' is measured with two different settings"):
        project.plan().measured  # noqa: B018


def alone(project, seed: int, gray: int, colour: int, joint: int):
    """Give one seed runs of each modality alone and of both, of which the first so many predictions are right."""
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
    columns = {"crema_d": column | {"modalities": {"audio": "gray", "visual": "colour"}}}
    rows = ["Audio-only", "Video-only", "Uniform baseline"]
    project.benchmark(tables=[{"paper": "mmpareto", "table": "table1", "columns": columns, "rows": rows}], seeds=[0, 1])
    cells = {cell.config["method"]["settings"].get("modality", "joint"): cell for cell in project.plan().cells}
    for name, correct in {"gray": gray, "colour": colour, "joint": joint}.items():
        project.run(cells[name], seed, correct)
    return cells["joint"]


def test_a_run_is_compared_with_the_single_modalities_of_its_seed(project):
    joint = alone(project, 0, gray=5, colour=10, joint=8)
    found = results(project)
    shares = {
        name: found.seeds(joint.name, "last", *name).finished
        for name in (("joint", "right_where_none"), ("joint", "right_where_all"), ("colour", "right_where_only"))
    }
    assert list(shares.values()) == [{0: 0.0}, {0: 1.0}, {0: 0.6}]
    absent = found.seeds(joint.name, "last", "gray", "right_where_only")
    assert absent.finished == {}, "there is no example that gray alone gets right and colour does not"
    rows = found.values[found.values["metric"] == "right_where_all"]
    assert set(rows["epoch"]) == {19}


def test_agreement_changes_with_the_run_that_is_compared_with(project):
    joint = alone(project, 0, gray=5, colour=10, joint=8)
    before = results(project)
    alone(project, 0, gray=5, colour=20, joint=8)
    found = results(project, before)
    assert found.seeds(joint.name, "last", "colour", "right_where_only").finished == {0: 0.2}
    assert not found.values.duplicated(["key", "seed", "selection", "output", "metric"]).any()


@pytest.fixture
def probed(project, cell) -> Path:
    """A run whose probe of both encoders got everything right."""
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
    modalities = {"modalities": {"audio": "gray", "visual": "colour"}}
    table = {"paper": "mmpareto", "table": "table1", "columns": {"crema_d": column | modalities}, "probe": "all"}
    project.benchmark(tables=[table], seeds=[0])
    folder = project.run(project.cell("uniform"), 0, 15)
    logits = (4 * np.eye(4)[np.arange(TEST_SIZE) % 4]).astype(np.float32)
    path = folder / f"{project.plan().probe_name}.npz"
    np.savez(path, **{"logits.gray": logits, "logits.colour": logits})
    note = {"schema": 1, "key": cell.key, "seed": 0, "files": {path.name: sha256_file(path)}}
    path.with_suffix(".json").write_text(json.dumps(note))
    return path


def test_a_probe_gives_outputs_of_its_own(project, cell, probed):
    found = results(project)
    assert found.seeds(cell.name, "last", "probe:gray", "accuracy").finished == {0: 1.0}
    assert found.outputs(cell.name) == ["joint", "colour", "gray", "probe:colour", "probe:gray"]


def test_a_run_that_is_not_probed_yet_has_no_such_output(project, cell, probed):
    probed.unlink()
    probed.with_suffix(".json").unlink()
    assert "'probe:gray'" in results(project).seeds(cell.name, "last", "probe:gray", "accuracy").absent


def test_a_probe_of_another_run_or_with_other_predictions_is_refused(project, probed):
    before = results(project)
    note = probed.with_suffix(".json")
    text = note.read_text()
    note.write_text(json.dumps(json.loads(text) | {"seed": 1}))
    assert note.name in refused(project, "not the probe of this run")
    note.write_text(text)
    probed.write_bytes(probed.read_bytes()[:-1])
    refused(project, rf"{probed.name}: was changed")
    with pytest.raises(UserError, match=probed.name):
        results(project, before)


# -- what is broken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["truncated", "replaced"])
def test_predictions_that_the_record_does_not_name_are_refused_with_what_mends_them(project, run, how):
    path = run / "predictions.npz"
    before = results(project)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        np.savez(path, **{"labels.digit": np.zeros(3, np.int64)})
    said = refused(project, r"predictions\.npz: was changed or truncated")
    assert f"rm -r {run}, then counterpoise run --benchmark configs/benchmarks/small.yaml" in said
    with pytest.raises(UserError, match="was changed or truncated"):
        results(project, before)  # not even where its values are known


def test_predictions_that_are_gone_are_refused(project, run):
    (run / "predictions.npz").unlink()
    refused(project, r"predictions\.npz: is not there")


def test_a_record_that_names_no_predictions_is_refused(project, run):
    change_record(run, files={})
    refused(project, r"record\.json: 'files' does not name predictions\.npz")


@pytest.mark.parametrize(
    "change", [{"key": "0" * 12}, {"seed": 1}, {"schema": 1}, {"status": "half"}, {"n_test": "many"}, {"n_test": 19}]
)
def test_a_record_of_another_run_or_with_a_wrong_entry_is_refused(project, run, change):
    change_record(run, **change)
    refused(project, str(run))


@pytest.mark.parametrize("name", ["record.json", "failure.json"])
def test_a_torn_file_is_named(project, cell, name):
    folder = project.run(cell, 0) if name == "record.json" else project.root / cell.run_directory(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text('{"schema": 1, "ke')
    assert name in refused(project, "truncated or not JSON")


# -- nothing twice -------------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """The runs that are measured, in order."""
    seen = []
    real = module.measure_files

    def measure_files(folder, run, **settings):
        seen.append(run.folder)
        return real(folder, run, **settings)

    monkeypatch.setattr(module, "measure_files", measure_files)
    return seen


def written(found: Results, folder: Path) -> dict[str, bytes]:
    write_results(found, folder)
    return {name: (folder / name).read_bytes() for name in FILES}


def test_unchanged_runs_are_taken_over_and_the_files_are_those_of_a_fresh_collection(
    project, cell, run, measured, tmp_path
):
    first = written(results(project), tmp_path / "out")
    assert len(measured) == 1
    project.run(cell, 1, 12)
    again = results(project, read_results(tmp_path / "out"))
    assert measured == [f"{cell.name}/seed-0", f"{cell.name}/seed-1"]
    assert written(again, tmp_path / "again") == written(results(project), tmp_path / "fresh")
    assert first != written(again, tmp_path / "again")


def test_what_was_written_reads_back_to_the_last_digit(project, run, tmp_path):
    found = results(project)
    write_results(found, tmp_path / "out")
    again = read_results(tmp_path / "out")
    pd.testing.assert_frame_equal(again.values, found.values, check_exact=True)
    assert (again.layout, again.runs) == (found.layout, found.runs)
    for place, right in found.correct.items():
        assert np.array_equal(again.correct[place], right)
    for place, arrays in found.details.items():
        assert all(np.array_equal(again.details[place][kind], a, equal_nan=True) for kind, a in arrays.items())


def test_a_run_that_was_trained_again_is_measured_again(project, cell, run, measured):
    before = results(project)
    project.run(cell, 0, 10)
    assert accuracy(results(project, before), cell) == 0.5
    assert len(measured) == 2


def test_a_run_whose_record_alone_is_new_keeps_its_values_and_shows_the_new_record(project, cell, run, measured):
    before = results(project)
    change_record(run, seconds=61.0)
    found = results(project, before)
    assert len(measured) == 1
    assert entry(found, cell).record["seconds"] == 61.0
    assert accuracy(found, cell) == 0.75


def test_other_settings_and_other_metrics_are_measured_again(project, cell, run, measured, monkeypatch):
    before = results(project)
    ten = collect(project.plan(evaluation={"ece_bins": 10}), project.root, before)
    assert ten.details[cell.name, 0, "last", "joint"]["reliability"].shape == (10, 3)
    assert len(measured) == 2
    monkeypatch.setattr(module, "source_digest", lambda modules: "another")
    results(project, before)
    assert len(measured) == 3


def test_other_seeds_take_over_the_runs_that_they_share(project, cell, run, measured):
    before = results(project)
    project.run(cell, 2, 10)
    found = collect(project.plan(seeds=[0, 2]), project.root, before)
    assert measured == [f"{cell.name}/seed-0", f"{cell.name}/seed-2"]
    assert found.seeds(cell.name, "last", "joint", "accuracy").finished == {0: 0.75, 2: 0.5}


def test_the_basis_covers_the_source_of_every_metric():
    """A change of a formula is seen: its file is among those that are digested."""
    from counterpoise.identity import closure

    assert {"counterpoise.metrics", "counterpoise.results.measure", "counterpoise.results.diagnostics"} <= set(
        closure(module.MEASURING)
    )
