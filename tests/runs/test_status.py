"""The status of a run is read off its files, and only what no benchmark names is an orphan."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from small_project import BENCHMARK, SmallProject

from counterpoise.cli.app import main
from counterpoise.errors import UserError
from counterpoise.files import write_json
from counterpoise.planning.plan import make_plan
from counterpoise.runs.attempt import WorkFolder
from counterpoise.runs.estimate import estimate, read_recorded
from counterpoise.runs.failure import Failure, note_failure
from counterpoise.runs.progress import Progress, read_progress
from counterpoise.runs.remembered import remember
from counterpoise.runs.status import State, find_orphans, known_to_benchmarks, remove, run_status, run_statuses


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def states(project) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for run in run_statuses(project.plan(), project.root):
        found.setdefault(f"{run.cell.method}-{run.cell.variant}", []).append(str(run.state))
    return found


def test_a_run_is_missing_until_it_has_files(project):
    assert set().union(*states(project).values()) == {"missing"}


def test_a_whole_run_is_fresh(project):
    project.run(project.cell("uniform"), 1)
    assert states(project)["uniform-published"] == ["missing", "fresh"]


def test_a_diverged_run_is_finished_and_says_why(project):
    cell = project.cell("uniform")
    project.run(cell, 0, status="diverged", reason="loss not finite at step 3")
    status = run_status(project.root, cell, 0)
    assert (status.state, status.detail, status.finished) == (State.DIVERGED, "loss not finite at step 3", True)


def test_a_run_with_a_saved_state_is_interrupted_where_it_was(project):
    cell = project.cell("uniform")
    project.state(cell, 0, epoch=3)
    status = run_status(project.root, cell, 0)
    assert status.state is State.INTERRUPTED
    assert "epoch 4 of 6" in status.detail
    assert not status.finished


def test_an_unreadable_saved_state_is_still_an_interruption(project):
    cell = project.cell("uniform")
    (project.state(cell, 0, epoch=3) / "state-000001.json").write_text("{")
    assert run_status(project.root, cell, 0).state is State.INTERRUPTED


def test_a_noted_failure_is_told_with_its_log(project):
    cell = project.cell("uniform")
    folder = project.root / cell.run_directory(0)
    failure = Failure(status="out_of_memory", reason="no room", again=True, log="logs/x.log")
    note_failure(folder, cell.key, 0, failure)
    status = run_status(project.root, cell, 0)
    assert status.state is State.FAILED
    assert status.detail == "out_of_memory: no room (log: logs/x.log)"


def test_a_run_that_was_killed_from_outside_is_interrupted_and_not_failed(project, capsys):
    cell = project.cell("uniform")
    folder, work = project.root / cell.run_directory(0), project.root / "work" / cell.name / "seed-0"
    project.state(cell, 0, epoch=3)
    Progress(work, epochs=6)(3)
    write_json(work / "attempt.json", {"host": "here", "boot": "", "started": "now", "memory_kills": 0})
    (work.parent / "seed-0.lock").touch()  # and nobody has it
    assert run_status(project.root, cell, 0).state is State.INTERRUPTED
    options = ["--root", str(project.root), "-b", str(BENCHMARK)]
    assert main(["report", *options]) == 0
    assert "1 interrupted, the next run goes on with it: killed from outside" in capsys.readouterr().out
    assert (folder / "failure.json").is_file()
    status = run_status(project.root, cell, 0)
    assert (status.state, status.detail) == (State.INTERRUPTED, "in epoch 4 of 6")
    shutil.rmtree(work)
    assert run_status(project.root, cell, 0).state is State.INTERRUPTED


def test_a_run_that_a_process_is_at_is_in_training(project):
    cell = project.cell("uniform")
    work = project.root / "work" / cell.name / "seed-0"
    progress = Progress(work, epochs=20)
    progress(1)
    assert run_status(project.root, cell, 0).state is State.MISSING, "nobody is at it"
    with WorkFolder(work).held():
        status = run_status(project.root, cell, 0)
    assert (status.state, status.detail) == (State.TRAINING, "epoch 1 of 20")


def test_progress_is_not_written_more_often_than_each_second(project):
    progress = Progress(project.root / "work/run", epochs=5)
    for epoch in range(1, 5):
        progress(epoch)
    assert read_progress(project.root / "work/run")["epoch"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"epoch": "1"}'])
def test_progress_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "progress.json").write_text(text)
    assert read_progress(tmp_path) == {}


@pytest.mark.parametrize("change", [{"key": "0" * 12}, {"seed": 7}, {"schema": 99}, {"files": ["a"]}])
def test_a_record_of_another_run_is_broken(project, change):
    cell = project.cell("uniform")
    path = project.run(cell, 0) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    status = run_status(project.root, cell, 0)
    assert status.state is State.BROKEN
    assert "record.json" in status.detail
    assert next(iter(change)) in status.detail


def test_a_truncated_record_is_broken(project):
    cell = project.cell("uniform")
    path = project.run(cell, 0) / "record.json"
    path.write_text(path.read_text()[:50])
    assert run_status(project.root, cell, 0).state is State.BROKEN


def test_a_run_without_one_of_its_files_is_broken(project):
    cell = project.cell("uniform")
    (project.run(cell, 0) / "predictions.npz").unlink()
    status = run_status(project.root, cell, 0)
    assert status.state is State.BROKEN
    assert "predictions.npz not there; 'counterpoise run' makes it again" in status.detail


# Orphans.


def orphans(project):
    return find_orphans(project.root, known_to_benchmarks(project.plan(), project.root))


def change_learning_rate(project) -> None:
    path = "configs/protocols/digits.yaml"
    protocol = yaml.safe_load((project.root / path).read_text())
    protocol["optimiser"]["lr"] = 0.123
    project.write(path, protocol)


def test_runs_states_and_data_that_are_planned_are_no_orphans(project):
    cell = project.cell("uniform")
    project.run(cell, 0)
    project.run(cell, 99)  # a seed that the benchmark does not ask for is no less right
    project.state(cell, 1, epoch=0)
    project.prepared(cell)
    assert orphans(project) == []


def test_what_an_explanation_runs_is_no_orphan(project):
    (flip, *_) = [flip for flip in project.plan().flips(project.cell("uniform")) if flip.factor == "gamma"]
    (data, *_) = [f for f in project.plan().flips(project.cell("uniform")) if f.factor == "colour_variance"]
    project.run(flip.cell, 0)
    project.prepared(data.cell)
    assert orphans(project) == []


def test_a_changed_configuration_orphans_the_runs_of_the_old_one(project):
    old = project.cell("uniform")
    project.run(old, 0)
    project.state(old, 1, epoch=0)
    change_learning_rate(project)
    assert {(orphan.kind, orphan.path) for orphan in orphans(project)} == {
        ("runs", project.root / old.directory),
        ("state", project.root / "work" / old.name),
    }


def test_data_of_older_settings_is_an_orphan(project):
    folder = project.prepared(project.cell("uniform"))
    path = "configs/datasets/cg_digits.yaml"
    text = (project.root / path).read_text()
    project.write(path, text.replace("variance: 0.03", "variance: 0.04"))
    assert [(orphan.kind, orphan.path) for orphan in orphans(project)] == [("data", folder)]


def test_what_another_benchmark_asks_for_is_no_orphan(project):
    other = yaml.safe_load((project.root / BENCHMARK).read_text())
    other |= {"name": "other", "methods": {"uniform": {"protocol": {"epochs": 3}}}}
    project.write("configs/benchmarks/other.yaml", other)
    plan = make_plan(project.root, project.root / "configs/benchmarks/other.yaml")
    (theirs,) = [cell for cell in plan.cells if cell.method == "uniform"]
    project.run(theirs, 0)
    assert theirs.name not in [cell.name for cell in project.plan().cells]
    assert orphans(project) == []


def test_what_a_benchmark_asked_for_that_ran_here_is_no_orphan(project):
    changed = project.plan(methods={"uniform": {"protocol": {"epochs": 3}}})
    (theirs,) = [cell for cell in changed.cells if cell.method == "uniform"]
    project.run(theirs, 0)
    assert [orphan.path for orphan in orphans(project)] == [project.root / theirs.directory]
    remember(changed, project.root)
    assert orphans(project) == []


def test_runs_of_an_older_source_are_orphans_once_their_benchmark_ran_again(project):
    old = project.cell("uniform")
    project.run(old, 0)
    remember(project.plan(), project.root)
    change_learning_rate(project)
    assert orphans(project) == [], "their benchmark has not run since"
    remember(project.plan(), project.root)
    assert [orphan.path for orphan in orphans(project)] == [project.root / old.directory]


def test_with_a_benchmark_that_cannot_be_read_nothing_is_called_an_orphan(project):
    project.write("configs/benchmarks/broken.yaml", "seeds: [")
    with pytest.raises(UserError, match=r"broken\.yaml"):
        orphans(project)


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"cells": 1, "data": []}', '{"cells": ["a/b'])
@pytest.mark.parametrize("name", ["work/benchmarks/mine.0.json", "results/mine/layout.json"])
def test_with_a_torn_note_of_a_benchmark_nothing_is_called_an_orphan(project, name, text):
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    # Not "delete it": what it alone named would then be an orphan.
    with pytest.raises(UserError, match=rf"{path.name}: is damaged.* of 'mine' .*'counterpoise run -b mine'"):
        orphans(project)


def test_removing_an_orphan_leaves_everything_else(project):
    old = project.cell("uniform")
    project.run(old, 0)
    change_learning_rate(project)
    kept = project.cell("joint")
    folder = project.run(kept, 0)
    (orphan,) = orphans(project)
    assert (orphan.files, orphan.size > 0) == (3, True)
    remove(orphan, project.root)
    assert not (project.root / old.directory).exists()
    assert (folder / "record.json").is_file()
    assert orphans(project) == []


def test_removing_the_last_orphan_leaves_no_empty_folders(project):
    project.run(project.cell("uniform"), 0)
    change_learning_rate(project)
    (orphan,) = orphans(project)
    remove(orphan, project.root)
    assert not (project.root / "results").exists()
    assert project.root.is_dir()


# Estimates.


def to_do(project):
    return [run for run in run_statuses(project.plan(), project.root) if not run.finished]


def test_without_recorded_runs_nothing_is_estimated(project):
    found = estimate(to_do(project), read_recorded(project.root))
    assert (found.runs, found.unknown, found.seconds) == (8, 8, 0)


def test_runs_of_the_same_method_are_the_estimate(project):
    project.run(project.cell("uniform"), 0, seconds=200.0)
    project.run(project.cell("joint"), 0, seconds=20.0)
    found = estimate(to_do(project), read_recorded(project.root))
    assert (found.runs, found.unknown, found.records) == (6, 0, 2)
    # One more of each of the two, and four MMPareto runs by the median of both.
    assert found.seconds == pytest.approx(200 + 20 + 4 * 110)
    assert found.devices == ("An Old Processor",)


def test_runs_of_older_settings_count_by_epoch(project):
    path = "configs/protocols/digits.yaml"
    protocol = yaml.safe_load((project.root / path).read_text())
    project.write(path, protocol | {"epochs": 20})
    project.run(project.cell("uniform"), 0, seconds=200.0)
    project.write(path, protocol | {"epochs": 5})
    found = estimate(to_do(project), read_recorded(project.root))
    assert found.seconds == pytest.approx(8 * 50)


@pytest.mark.parametrize("change", [{"status": "diverged"}, {"epochs_run": 0}])
def test_runs_that_say_nothing_about_time_are_left_out(project, change):
    project.run(project.cell("uniform"), 0, **change)
    assert read_recorded(project.root) == []


def test_a_broken_record_does_not_stop_the_estimate(project):
    (project.run(project.cell("uniform"), 0) / "record.json").write_text("{")
    project.run(project.cell("uniform"), 1)
    assert len(read_recorded(project.root)) == 1
