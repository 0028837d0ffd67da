"""What was changed behind the workflow's back is found: files of runs by their record, or by what was read of them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from small_project import BENCHMARK, SmallProject

from counterpoise.cli.derive import write_benchmark
from counterpoise.errors import UserError
from counterpoise.planning.plan import make_plan
from counterpoise.results.basis import read_basis
from counterpoise.runs.changed import NOTE, again_text, checked_statuses, find_changed, write_note
from counterpoise.runs.collect import collect

BASIS = "results/small/basis.json"


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> SmallProject:
    """A project whose runs are all there; no results are written yet."""
    project = SmallProject(tmp_path, repository)
    for cell in project.plan().cells:
        for seed in (0, 1):
            project.run(cell, seed, 10 + seed)
    return project


def plan(project: SmallProject):
    return make_plan(project.root, project.root / BENCHMARK)


def changed(project: SmallProject) -> set[str]:
    return set(find_changed(plan(project), project.root))


def record_of(project: SmallProject, seed: int = 0) -> str:
    return f"{project.cell('uniform').run_directory(seed)}/record.json"


def harm(path: Path, how: str) -> None:
    data, before = path.read_bytes(), path.stat()
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(data[:-10])
    else:
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_without_results_only_they_are_to_be_made(project):
    assert changed(project) == {BASIS}


def test_after_they_are_written_nothing_is(project):
    write_benchmark(plan(project), project.root)
    assert changed(project) == set()


@pytest.mark.parametrize("written", [True, False], ids=["read before", "not read yet"])
@pytest.mark.parametrize("name", ["history.csv", "predictions.npz"])
@pytest.mark.parametrize("how", ["delete", "truncate", "edit, with its time set back"])
def test_a_run_with_a_harmed_file_is_found(project, written, name, how):
    if written:
        write_benchmark(plan(project), project.root)
    harm((project.root / record_of(project)).with_name(name), how)
    assert changed(project) == {record_of(project), BASIS}
    broken = {
        (run.cell.method, run.seed): run.detail
        for run in checked_statuses(plan(project), project.root)
        if not run.finished
    }
    assert list(broken) == [("uniform", 0)]
    assert name in broken["uniform", 0]


@pytest.mark.parametrize("written", [True, False], ids=["read before", "not read yet"])
def test_predictions_swapped_between_seeds_are_found(project, written):
    if written:
        write_benchmark(plan(project), project.root)
    first, second = ((project.root / record_of(project, s)).with_name("predictions.npz") for s in (0, 1))
    spare = first.with_name("spare")
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    assert changed(project) == {record_of(project, 0), record_of(project, 1), BASIS}


@pytest.mark.parametrize("written", [True, False], ids=["read before", "not read yet"])
def test_a_run_copied_from_another_seed_is_found(project, written):
    if written:
        write_benchmark(plan(project), project.root)
    folder = (project.root / record_of(project, 0)).parent
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("seed-1"), folder)
    assert changed(project) == {record_of(project, 0), BASIS}


def test_a_run_that_was_made_anew_is_right_and_results_are_to_be_made(project):
    write_benchmark(plan(project), project.root)
    project.run(project.cell("uniform"), 0, 3)
    assert changed(project) == {BASIS}


def test_a_run_that_is_gone_makes_results_old(project):
    write_benchmark(plan(project), project.root)
    shutil.rmtree((project.root / record_of(project)).parent)
    assert changed(project) == {BASIS}


def test_other_seeds_and_other_printed_values_make_results_old(project):
    write_benchmark(plan(project), project.root)
    project.benchmark(seeds=[0])
    assert changed(project) == {BASIS}
    project.benchmark(seeds=[0, 1])
    assert changed(project) == set()
    table = project.root / "configs/papers/mmpareto/table3.yaml"
    table.write_text(table.read_text().replace("81.88", "81.89"))
    assert changed(project) == {BASIS}


def test_partial_results_are_marked_and_are_old_when_another_run_has_ended(project):
    folder = (project.root / record_of(project)).parent
    shutil.rmtree(folder)
    write_benchmark(plan(project), project.root)
    basis = read_basis(project.root / "results/small")
    assert (basis.partial, basis.finished, basis.planned) == (True, 7, 8)
    assert changed(project) == set(), "as whole as they can be"
    project.run(project.cell("uniform"), 0)
    assert changed(project) == {BASIS}


@pytest.mark.parametrize("when", [0.0, 4e9], ids=["long ago", "to come"])
def test_a_note_is_newer_than_what_must_be_made_again(project, when):
    write_benchmark(plan(project), project.root)
    os.utime(project.root / BASIS, (when, when))
    assert write_note({BASIS: "a reason", "not/there": "another"}, project.root) == NOTE
    assert (project.root / NOTE).stat().st_mtime > (project.root / BASIS).stat().st_mtime
    assert "a reason" in (project.root / NOTE).read_text()


@pytest.mark.parametrize("written", [True, False], ids=["read before", "not read yet"])
def test_runs_of_data_that_was_prepared_again_from_other_raw_files_are_found(project, written):
    manifest = project.prepared(project.cell("uniform")) / "manifest.json"
    if written:
        write_benchmark(plan(project), project.root)
    assert changed(project) == (set() if written else {BASIS})
    manifest.write_text(json.dumps({"raw": {"digest": "e" * 64}}))
    runs = {f"{c.run_directory(seed)}/record.json" for c in project.plan().cells for seed in (0, 1)}
    assert changed(project) == {*runs, BASIS}
    with pytest.raises(UserError, match=r"made from other raw files.*counterpoise run"):
        write_benchmark(plan(project), project.root)
    with pytest.raises(UserError, match=r"made from other raw files than now; to mend it: rm -r"):
        collect(plan(project), project.root)


def test_a_line_says_how_much_is_made_again_and_why(project):
    write_benchmark(plan(project), project.root)
    harm((project.root / record_of(project)).with_name("history.csv"), "truncate")
    line = again_text(find_changed(plan(project), project.root))
    assert line.startswith("1 run trained again, results written anew: ")
    assert line.endswith("history.csv has another size")
    harm((project.root / record_of(project, seed=1)).with_name("history.csv"), "truncate")
    line = again_text(find_changed(plan(project), project.root))
    assert line.startswith("2 runs trained again, results written anew: ")
    assert line.endswith(f", and 1 more: {NOTE}")
