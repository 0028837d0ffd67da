"""Every number leads to the runs behind it, and names that are not there lead to the nearest that is."""

from __future__ import annotations

import json

import pytest
from small_project import SmallProject

from counterpoise.errors import UserError
from counterpoise.reporting.plan import trace_lines
from counterpoise.results.evaluate import evaluate_run
from counterpoise.runs.trace import differences, trace

NUMBER = "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def find(project, name=NUMBER):
    return trace(project.plan(), project.root, name)


def evaluate(project, cell, seed) -> None:
    plan = project.plan()
    evaluate_run(project.root / cell.run_directory(seed), plan.metrics_name, cell.key, seed, 15)


@pytest.fixture
def finished(project) -> SmallProject:
    """The uniform baseline has 15 and 17 of 20 right."""
    cell = project.cell("uniform")
    for seed, correct in ((0, 15), (1, 17)):
        project.run(cell, seed, correct)
        evaluate(project, cell, seed)
    return project


def test_a_number_leads_to_its_runs_and_their_values(finished):
    (found,) = find(finished)
    cell = finished.cell("uniform")
    assert found.printed == "75.68"
    assert found.cell.name == cell.name
    assert found.values == pytest.approx([75.0, 85.0])
    assert [run.folder for run in found.runs] == [finished.root / cell.run_directory(seed) for seed in (0, 1)]
    assert [run.epoch for run in found.runs] == [19, 19]
    assert found.planned.stand_in


def test_every_unfinished_run_says_why_it_has_no_value(project):
    cell = project.cell("uniform")
    project.run(cell, 0)
    (found,) = find(project)
    assert [run.reason for run in found.runs] == ["trained, not evaluated yet", "missing"]
    assert found.values == []


def test_a_selection_that_the_run_has_not_is_said(finished):
    (found,) = trace(finished.plan(selection="best_val"), finished.root, NUMBER)
    assert "best_val" in found.runs[0].reason


def test_metrics_of_another_run_are_refused(finished):
    path = finished.root / finished.cell("uniform").run_directory(0) / finished.plan().metrics_name
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "0" * 12}))
    with pytest.raises(UserError, match="another run"):
        find(finished)


@pytest.mark.parametrize("row", ["Uniform baseline", "uniform_baseline", "UNIFORM-baseline", "uniform"])
def test_a_row_may_be_spelt_for_a_shell(project, row):
    (found,) = find(project, f"mmpareto.table3.{row}.cg_mnist.accuracy")
    assert found.planned.row == "Uniform baseline"


def test_a_row_in_several_variants_is_traced_in_each(project):
    found = find(project, "mmpareto.table3.MMPareto.cg_mnist.accuracy")
    assert [traced.planned.variant for traced in found] == ["published", "released"]
    assert found[0].cell.key != found[1].cell.key
    assert "@released" in found[1].name


@pytest.mark.parametrize("row", ["MMPareto@released", "MMPareto [released]", "mmpareto@released"])
def test_a_variant_can_be_chosen(project, row):
    (found,) = find(project, f"mmpareto.table3.{row}.cg_mnist.accuracy")
    assert found.cell.variant == "released"


def test_the_name_of_a_trace_leads_back_to_it(project):
    for found in find(project, "mmpareto.table3.MMPareto.cg_mnist.accuracy"):
        (again,) = find(project, found.name)
        assert again.name == found.name


def test_a_number_that_is_not_run_says_why(project):
    (found,) = find(project, "mmpareto.table3.Uniform baseline.modelnet40.accuracy")
    assert found.cell is None
    assert found.runs == ()
    assert found.planned.reason


def test_a_method_that_the_benchmark_adds_can_be_traced(project):
    project.table(extra_methods=["unimodal"])
    (found,) = find(project, "mmpareto.table3.unimodal.cg_mnist.accuracy")
    assert found.cell.method == "unimodal"
    assert found.printed == ""


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mmpareta.table3.MMPareto.cg_mnist.accuracy", "mmpareto"),
        ("mmpareto.table33.MMPareto.cg_mnist.accuracy", "table3"),
        ("mmpareto.table3.MMParet.cg_mnist.accuracy", "MMPareto"),
        ("mmpareto.table3.MMPareto.cg_mnist.acuracy", "cg_mnist.accuracy"),
        ("mmpareto.table3.MMPareto@publishd.cg_mnist.accuracy", "published"),
    ],
)
def test_an_unknown_part_of_a_name_gets_the_nearest_right_one(project, name, near):
    with pytest.raises(UserError, match=f"did you mean '[^']*{near}'"):
        find(project, name)


@pytest.mark.parametrize("name", ["", "mmpareto", "mmpareto.table3.MMPareto", "mmpareto..MMPareto.accuracy"])
def test_a_name_that_is_too_short_is_refused_with_an_example(project, name):
    with pytest.raises(UserError, match=r"<paper>\.<table>\.<row>\.<column>"):
        find(project, name)


def test_a_row_that_the_benchmark_leaves_out_is_refused(project):
    with pytest.raises(UserError, match="not in this benchmark"):
        find(project, "mmpareto.table3.PCGrad.cg_mnist.accuracy")


def test_logs_are_those_of_the_jobs_that_had_the_seed(project):
    cell = project.cell("uniform")
    mine = project.write(f"logs/train/{cell.name}/seeds-0-1.log", "")
    project.write(f"logs/train/{cell.name}/seeds-10-11.log", "")
    evaluation = project.write(f"logs/evaluate/{cell.name}/seeds-0-1.log", "")
    (found,) = find(project)
    assert found.runs[0].logs == (mine, evaluation)


def test_the_printed_trace_holds_all_that_made_the_number(finished):
    cell = finished.cell("uniform")
    finished.prepared(cell)
    record = finished.root / cell.run_directory(0) / "record.json"
    adopted = [{"from": "older", "reason": "only a message changed"}]
    record.write_text(json.dumps(json.loads(record.read_text()) | {"adopted": adopted}))
    (found,) = trace(finished.plan(seeds=[0]), finished.root, NUMBER)
    text = "\n".join(trace_lines(found))
    wanted = [
        cell.name,
        cell.source,
        str(cell.data_directory),
        "0" * 64,
        "lr: 0.02",
        "c0ffee",
        "with changes",
        "An Old Processor",
        "AVX2",
        "torch 2.11.0",
        "python 3.12.1",
        "2026-01-02T03:04:05",
        "a" * 64,
        "only a message changed",
        f"counterpoise redo {cell.name} --seed 0",
        "--set=seeds=[0]",
        "stand-in",
        "2 more files",
    ]
    assert [part for part in wanted if part not in text.replace("'", "")] == []


# Comparing a run with one that was made again.


def record(**changes):
    environment = {"device": "cpu", "threads": 1}
    base = {"status": "completed", "epochs_run": 3, "weights_sha256": "a", "files": {"predictions.npz": "p"}}
    return base | {"environment": environment} | changes


def test_the_same_bits_differ_in_nothing_whatever_the_machine():
    assert differences(record(), record(environment={"device": "cuda", "threads": 2})) == []


def test_other_bits_are_told_with_what_may_be_why():
    again = record(weights_sha256="b", files={"predictions.npz": "q"}, environment={"device": "cpu", "threads": 2})
    lines = differences(record(), again)
    assert [line.split(":")[0] for line in lines] == ["weights_sha256", "predictions.npz", "environment"]
    assert "threads" in lines[-1]
