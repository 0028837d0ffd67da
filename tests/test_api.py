"""The public API: results as data frames, and what the commands do, from Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from reported import Reported
from small_project import SmallProject

import counterpoise
from counterpoise.cli.derive import write_benchmark
from counterpoise.errors import UserError
from counterpoise.results.table import write_results

NOTEBOOK = "docs/notebooks/results.ipynb"


@pytest.fixture
def project(tmp_path, repository, monkeypatch) -> SmallProject:
    """A project of four cells in which three of eight runs are finished; it is the working folder."""
    made = SmallProject(tmp_path, repository)
    monkeypatch.chdir(tmp_path)
    for method, variant, seed, correct in (
        ("joint", "published", 0, 10),
        ("joint", "published", 1, 14),
        ("mmpareto", "released", 0, 16),
    ):
        made.run(made.cell(method, variant), seed, correct)
    return made


@pytest.fixture
def loaded(project) -> counterpoise.api.Loaded:
    write_benchmark(project.plan(), Path())
    return counterpoise.load("small")


def test_numbers_are_a_frame_in_printed_units(loaded):
    numbers = loaded.numbers
    row = numbers[(numbers["row"] == "One joint loss") & (numbers["column"] == "cg_mnist.accuracy")].iloc[0]
    assert (row["mean"], row["n"]) == (60.0, 2)
    assert row["printed"] == "60.50"
    assert numbers["mean"].isna().any()


def test_each_seed_has_its_row(loaded):
    seeds = loaded.seeds
    mine = seeds[(seeds["row"] == "One joint loss") & (seeds["column"] == "cg_mnist.accuracy")]
    assert dict(zip(mine["seed"], mine["value"], strict=True)) == {0: 50.0, 1: 70.0}
    assert mine["stand_in"].all()


def test_two_rows_side_by_side_are_a_frame(loaded):
    pairs = loaded.pairs
    row = pairs[(pairs["row"] == "One joint loss") & (pairs["column"] == "cg_mnist.accuracy")].iloc[0]
    assert (row["other"], row["n"]) == ("MMPareto (released)", 1)
    assert row["difference"] == pytest.approx(50.0 - 80.0)


def test_claims_runs_and_values_are_frames(loaded):
    assert {"claim", "verdict", "quote"} <= set(loaded.claims.columns)
    assert loaded.runs["status"].value_counts().to_dict() == {"missing": 5, "completed": 3}
    values = loaded.values.query("method == 'joint' and metric == 'accuracy' and output == 'joint'")
    assert values["value"].tolist() == [0.5, 0.7]
    assert loaded.partial


def test_a_frame_may_be_changed_without_changing_what_was_loaded(loaded):
    frame = loaded.values
    frame["value"] = 0.0
    assert loaded.values["value"].max() > 0


def test_learning_curves_are_those_of_the_runs_asked_for(loaded):
    assert len(loaded.histories()) == 3
    some = loaded.histories(method="joint", seed=[1, 2])
    assert some[["method", "seed", "epoch", "lr"]].to_numpy().tolist() == [["joint", 1, 0.0, 0.1]]
    assert len(loaded.histories(method="mlb")) == 0
    with pytest.raises(UserError, match="runs have no 'metod'; did you mean 'method'"):
        loaded.histories(metod="joint")


def test_plan_takes_settings_as_the_command_does(project):
    found = counterpoise.plan("small", seeds=[0, 1, 2])
    assert (len(found.cells), found.runs) == (4, 12)
    with pytest.raises(UserError, match="did you mean 'small'"):
        counterpoise.plan("smal")


def test_judging_is_that_of_the_command(loaded):
    comparison = counterpoise.judge(loaded)
    assert comparison.exit_code == counterpoise.judge("small", "mmpareto").exit_code == 5
    with pytest.raises(UserError, match="no table of the paper 'mlb'"):
        counterpoise.judge(loaded, "mlb")


def test_a_name_without_results_is_an_error_with_the_nearest(loaded):
    with pytest.raises(UserError, match="load smoll: no results of this name; did you mean 'small'"):
        counterpoise.load("smoll")


def test_results_load_from_their_folder_wherever_one_is(loaded, project, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    again = counterpoise.load(project.root / "results/small")
    pd.testing.assert_frame_equal(again.numbers, loaded.numbers)
    assert len(again.histories()) == 3


@pytest.fixture
def workflow(monkeypatch):
    """Give every started process an end at once: exit code ``code``, after ``work`` was called."""

    class Ended:
        code = 0
        work = staticmethod(lambda: None)
        command: ClassVar[list[str]] = []

        def __init__(self, command, **_):
            Ended.command = command

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self):
            Ended.work()
            return Ended.code

    monkeypatch.setattr(subprocess, "Popen", Ended)
    return Ended


def test_running_hands_settings_to_the_workflow_and_a_failure_is_an_error(project, workflow):
    workflow.code = 1
    with pytest.raises(UserError, match="run small: snakemake ended with exit code 1"):
        counterpoise.run("small", cores=2, seeds=[5])
    command = workflow.command
    assert command[command.index("--config") + 1] == "seeds=[5]"
    assert command[command.index("--cores") + 1] == "2"


def test_running_gives_what_came_out(project, workflow):
    workflow.work = lambda: write_benchmark(project.plan(), Path())
    assert counterpoise.run("small").numbers["n"].max() == 2


def test_the_package_has_no_other_functions():
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        counterpoise.lode  # noqa: B018


def test_type_checkers_are_told_that_the_package_is_typed():
    assert (Path(counterpoise.__file__).parent / "py.typed").is_file()


@pytest.fixture
def cells(repository) -> list[str]:
    notebook = json.loads((repository / NOTEBOOK).read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    return ["".join(cell["source"]) for cell in code]


def test_the_notebook_runs_from_top_to_bottom(cells, tmp_path, repository, monkeypatch):
    made = Reported(tmp_path, groups=1)
    benchmarks = tmp_path / "configs/benchmarks"
    benchmarks.mkdir(parents=True)
    made.made.runs_folder = tmp_path / "results/runs"
    made.finish()
    write_results(made.results, tmp_path / "results/digits")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for source in cells:
        exec(compile(source, NOTEBOOK, "exec"), names)
    assert len(names["numbers"]) > 0
    assert len(names["curves"]) > 0
    assert names["comparison"].paper.paper == "made"
