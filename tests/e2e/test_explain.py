"""An explanation through Snakemake: the flips run as ordinary runs, and only when they are asked for."""

from __future__ import annotations

import json

import pytest
from miniature import BENCHMARK, TABLES, Project
from small_project import SmallProject

from counterpoise.planning.plan import make_plan

NUMBER = "mmpareto.table3.Uniform_baseline.cg_mnist.accuracy"
MARKDOWN = f"results/explain/miniature/{NUMBER}.md"


def only_one_row(root, repository) -> Project:
    """A benchmark of one cell, with two flips; that of the colours prepares data of its own."""
    project = Project.create(root, repository, tables=[{**TABLES[0], "rows": ["Uniform baseline"]}])
    path = project.root / "configs/datasets/cg_digits.yaml"
    text, _, _ = path.read_text().partition("factors:")
    noise = "{title: variance, changes: [{dataset: {variance: 0.2}}]}"
    path.write_text(f"{text}factors:\n  noise: {noise}\n")
    return project


@pytest.mark.slow
def test_an_explanation_asks_for_its_flips_and_the_benchmark_for_none(tmp_path, repository):
    project = only_one_row(tmp_path / "explained", repository)
    plan = make_plan(project.root, project.root / BENCHMARK)
    (cell,) = plan.cells
    made = SmallProject.at(project.root)
    made.prepared(cell)
    for seed in plan.seeds:
        made.run(cell, seed, 10 + seed)  # of 20 that are right
    asked = project.planned_jobs("--configfile", BENCHMARK, "--", MARKDOWN)
    assert (asked["train"] + asked["train_keeping"], asked["prepare"]) == (4, 1)
    assert project.planned_jobs("--configfile", BENCHMARK) == {"report": 1}

    flips = [flip.cell for flip in plan.flips(cell) if flip.cell is not None and flip.cell.name != cell.name]
    for flipped in flips:
        made.prepared(flipped)
        for seed in plan.seeds:
            made.run(flipped, seed, 12 + 2 * seed)
    assert project.run("--", MARKDOWN) == 0, project.said()[-4000:]
    found = json.loads((project.root / MARKDOWN).with_suffix(".json").read_text())
    effects = {e["factor"]: round(e["effect"], 6) for e in found["effects"] if e["effect"] is not None}
    assert effects == {"gamma": 12.5, "noise": 12.5}
    again = project.planned_jobs("--configfile", BENCHMARK, "--", MARKDOWN)
    assert again == {"explain": 1}, "it is written whenever it is asked for, and runs nothing"
    done = project.counterpoise("explain", NUMBER)
    assert "switching variance from 0.03 to 0.2 changes it by +12.50" in done.stdout, done.stderr


@pytest.mark.slow_full
def test_flips_are_trained_as_ordinary_runs_and_change_no_other(tmp_path, repository):
    project = only_one_row(tmp_path / "explained", repository)
    assert project.run() == 0, project.said()[-4000:]
    before = project.artifacts()
    assert project.run("--", MARKDOWN) == 0, project.said()[-4000:]
    after = project.artifacts()
    assert {path: after.get(path) for path in before} == before
    found = json.loads((project.root / MARKDOWN).with_suffix(".json").read_text())
    effects = {effect["factor"]: effect for effect in found["effects"] if effect["effect"] is not None}
    assert set(effects) == {"selection", "gamma", "noise"}
    assert all(effect["n"] == 2 for effect in effects.values())
    for name in ("gamma", "noise"):
        assert effects[name]["cell"] != found["cell"]
        assert (project.root / "results/runs" / effects[name]["cell"] / "seed-1/record.json").is_file()
    jobs = project.planned_jobs("--configfile", BENCHMARK)
    assert jobs == {"report": 1}, "it shows the explanation"
    assert project.run() == 0, project.said()[-4000:]
    assert "explained-" in (project.root / "results/miniature/report/index.html").read_text()
    assert not project.planned_jobs("--configfile", BENCHMARK)
    assert "0 to delete" in project.counterpoise("gc", "--data").stdout
