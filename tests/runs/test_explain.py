"""A question about a number gets its flips from the plan, and their runs are collected like any others."""

from __future__ import annotations

import pytest
from small_project import SmallProject

from counterpoise.errors import UserError
from counterpoise.judging.explain import explain
from counterpoise.runs.collect import collect
from counterpoise.runs.explain import ask, collect_flips

NUMBER = "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    """The small project on the paper's own dataset, whose files declare factors."""
    project = SmallProject(tmp_path, repository)
    column = {"dataset": "cg_mnist", "model": "cg_mnist_conv4", "protocol": "mmpareto/cg_mnist"}
    project.benchmark(seeds=[0, 1, 2])
    project.table(columns={"cg_mnist": column})
    return project


def test_every_flip_of_the_plan_is_in_the_question(project):
    plan = project.plan()
    cell = project.cell("uniform")
    question = ask(plan, project.root, NUMBER)
    assert question.value.cell == cell.name
    flips = plan.flips(cell)
    assert [(f.factor, f.before, f.after, f.cell) for f in question.flips] == [
        (f.factor, f.before, f.after, f.cell and f.cell.name) for f in flips
    ]
    assert question.cells == list(dict.fromkeys([cell.name, *(f.cell.name for f in flips if f.cell)]))


def test_the_runs_of_flips_are_collected_with_the_plans_seeds(project):
    plan = project.plan()
    question = ask(plan, project.root, NUMBER)
    flip = next(f for f in question.flips if f.factor == "learning_rate")
    for seed, right in enumerate((10, 12, 11)):
        project.run(project.cell("uniform"), seed, right)
        project.run(plan.cell(flip.cell), seed, right + 3)
    flipped = collect_flips(plan, project.root, question)
    assert set(flipped.layout.cells) == set(question.cells) - {question.value.cell}
    assert (flipped.layout.tables, flipped.layout.values, flipped.layout.figures) == ((), (), ())
    found = explain(question, plan.papers["mmpareto"], collect(plan, project.root), flipped)
    effects = {effect.flip.factor: effect for effect in found.effects}
    assert effects["learning_rate"].differences == pytest.approx((15.0, 15.0, 15.0))
    assert effects["schedule"].missing == (0, 1, 2)


def test_several_variants_ask_which(project):
    with pytest.raises(UserError, match="MMPareto@published"):
        ask(project.plan(), project.root, "mmpareto.table3.MMPareto.cg_mnist.accuracy")


def test_a_number_that_nothing_runs_for_cannot_be_explained(project):
    with pytest.raises(UserError, match="not in this benchmark"):
        ask(project.plan(), project.root, "mmpareto.table3.Uniform baseline.modelnet40.accuracy")
