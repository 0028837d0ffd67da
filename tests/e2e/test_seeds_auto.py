"""Seeds are added, look by look, by the workflow itself; what it did is done, and said in the table."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from miniature import BENCHMARK, TABLES, Project
from untrained import finish

from counterpoise.planning.plan import Cell, Plan, make_plan

AUTO = ("--config", "seeds=auto", "seed_looks=[2,3]")
LEADS = (0.0341, 0.0459, 0.04)  # the first two decide nothing, but three like them would
ROWS = ["One joint loss", "Uniform baseline", "GradNorm"]


@pytest.fixture
def three_rows(tmp_path, repository) -> Project:
    """A benchmark in which one claim can be tested: the uniform baseline is better than one joint loss."""
    tables = [{**TABLES[0], "rows": ROWS}]
    return Project.create(tmp_path / "auto", repository, tables=tables)


def planned(project: Project) -> Plan:
    return make_plan(project.root, project.root / BENCHMARK, {"seeds": "auto", "seed_looks": [2, 3]})


def accuracy(cell: Cell, seed: int) -> float:
    return 0.5 + (LEADS[seed] if cell.method == "uniform" else 0.0)


def seeds_there(project: Project) -> dict[str, list[int]]:
    """The seeds of the finished runs, by method."""
    found: dict[str, list[int]] = {}
    for path in sorted((project.root / "results/runs").glob("*/*/*/seed-*/record.json")):
        method = path.parents[1].name.partition("-")[0]
        found.setdefault(method, []).append(int(path.parent.name.removeprefix("seed-")))
    return found


def is_done(project: Project) -> None:
    assert seeds_there(project) == {"joint": [0, 1, 2], "uniform": [0, 1, 2], "gradnorm": [0, 1]}
    table = (project.root / "results/tables/mmpareto/table3.md").read_text()
    assert "looks of 2, 3" in table
    assert "8 of 9 runs" in table
    assert project.planned_jobs("--configfile", BENCHMARK, *AUTO) == Counter()


def seeds_given(project: Project) -> dict[str, int]:
    """How many seeds each method has after the look at two, as its file says."""
    (path,) = project.root.glob("results/looks/*/2.json")
    seeds = json.loads(path.read_text())["seeds"]
    return {name.split("/")[-1].partition("-")[0]: number for name, number in seeds.items()}


@pytest.mark.slow
def test_an_undecided_claim_asks_for_seeds_of_the_rows_that_it_compares(three_rows):
    plan = planned(three_rows)
    for cell in plan.cells:
        for seed in (0, 1):
            finish(three_rows, plan, cell, seed, accuracy(cell, seed))
    look = f"results/looks/{plan.digest('report')}/2.json"
    assert three_rows.run(*AUTO, "--", look) == 0, three_rows.said()[-4000:]
    assert seeds_given(three_rows) == {"joint": 3, "uniform": 3, "gradnorm": 2}
    jobs = three_rows.planned_jobs("--configfile", BENCHMARK, *AUTO)
    assert {rule: n for rule, n in jobs.items() if rule.startswith(("train", "evaluate"))} == {
        "train_2": 2,
        "evaluate_2": 2,
    }
    for cell in plan.cells:
        if cell.method != "gradnorm":
            finish(three_rows, plan, cell, 2, accuracy(cell, 2))
    assert three_rows.run(*AUTO) == 0, three_rows.said()[-4000:]
    is_done(three_rows)


@pytest.mark.slow_full
def test_one_invocation_takes_all_looks_and_trains_what_they_ask_for(three_rows):
    assert three_rows.run() == 0, three_rows.said()[-4000:]
    plan = planned(three_rows)
    for cell in plan.cells:  # as trained, but with accuracies that leave the claim undecided
        for seed in (0, 1):
            path = three_rows.root / cell.run_directory(seed) / plan.metrics_name
            metrics = json.loads(path.read_text())
            for selection in metrics["selections"].values():
                selection["outputs"]["joint"]["accuracy"] = accuracy(cell, seed)
            path.write_text(json.dumps(metrics))
    assert three_rows.run(*AUTO) == 0, three_rows.said()[-4000:]
    is_done(three_rows)
    done = three_rows.counterpoise("status", "--set", "seeds=auto", "--set", "seed_looks=[2,3]")
    assert "8 runs of 3 cells: 8 fresh" in done.stdout, done.stdout + done.stderr
