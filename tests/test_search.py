"""A search gives every method the same candidates and seeds, and decides on held-out data alone."""

from __future__ import annotations

import json

import pytest
from small_project import BENCHMARK, SmallProject

from counterpoise.errors import UserError
from counterpoise.search import Scores, candidate_plans, chosen_methods, run_search, write_search

SEARCH = {
    "candidates": [{"protocol": {"batch_size": 16}}, {"protocol": {"batch_size": 64}}],
    "seeds": [100, 101],
    "validation_fraction": 0.25,
}


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    project = SmallProject(tmp_path, repository)
    project.benchmark(search=SEARCH)
    return project


def candidates(project):
    return candidate_plans(project.root, project.root / BENCHMARK, {})


class Trainer:
    """Writes records in which ``accuracy(method, batch_size, seed)`` is the best on validation."""

    def __init__(self, project, accuracy):
        self.project, self.accuracy, self.calls = project, accuracy, []

    def __call__(self, plan, cell, seeds):
        self.calls.append((cell, seeds))
        for seed in seeds:
            found = self.accuracy(cell.method, cell.config["protocol"]["batch_size"], seed)
            record = {"schema": 1, "key": cell.key, "seed": seed, "files": {}}
            record["status"] = "diverged" if found is None else "completed"
            record["selections"] = {"best_val": {"accuracy": found, "epoch": 1}} if found is not None else {}
            folder = self.project.root / cell.run_directory(seed)
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(json.dumps(record))


def test_every_method_gets_every_candidate_with_every_seed_on_held_out_data(project):
    plans = candidates(project).plans
    assert [{cell.config["protocol"]["batch_size"] for cell in plan.cells} for plan in plans] == [{16}, {64}]
    methods = [sorted((cell.method, cell.variant) for cell in plan.cells) for plan in plans]
    assert methods[0] == methods[1] == sorted((c.method, c.variant) for c in project.plan().cells)
    assert {tuple(plan.seeds) for plan in plans} == {(100, 101)}
    assert {cell.config["protocol"]["validation_fraction"] for plan in plans for cell in plan.cells} == {0.25}


def test_a_search_changes_no_run_of_the_benchmark_itself(project):
    with_search = [cell.key for cell in project.plan().cells]
    data = project.benchmark()
    del data["search"]
    project.write(BENCHMARK, data)
    assert [cell.key for cell in project.plan().cells] == with_search


def test_a_method_gets_the_candidate_of_its_own_best_mean(project):
    better = {"uniform": 16, "joint": 64, "mmpareto": 64}
    train = Trainer(project, lambda method, size, seed: 0.5 + 0.1 * (size == better[method]) + 0.001 * seed)
    found = candidates(project)
    scores = {each.method: each for each in run_search(found, project.root, train)}
    chosen = chosen_methods(found.search, list(scores.values()))
    assert {method: layer["protocol"]["batch_size"] for method, layer in chosen.items()} == better
    assert scores["uniform"].accuracies[0] == pytest.approx([0.7, 0.701])


def test_a_candidate_of_which_a_run_diverged_is_not_chosen(project):
    def accuracy(method, size, seed):
        return None if size == 64 and seed == 101 else 0.9 if size == 64 else 0.4

    scores = run_search(candidates(project), project.root, Trainer(project, accuracy))
    assert {each.chosen for each in scores} == {0}


def test_of_equal_candidates_the_first_is_chosen():
    assert Scores("uniform", [[0.5, 0.7], [0.6, 0.6]]).chosen == 0


def test_a_method_of_which_every_candidate_diverged_has_no_choice():
    with pytest.raises(UserError, match="uniform"):
        _ = Scores("uniform", [[None, 0.5], [0.4, None]]).chosen


def test_the_outcome_is_kept_with_what_was_tried(project):
    found = candidates(project)
    train = Trainer(project, lambda method, size, seed: 1 / size)
    scores = run_search(found, project.root, train)
    content = json.loads(write_search(found, scores, project.root).read_text())
    assert content["search"] == SEARCH
    assert {name for cells in content["cells"] for name in cells} == {cell.name for cell, _ in train.calls}
    assert content["scores"]["mmpareto"] == {"accuracies": [[1 / 16] * 2, [1 / 64] * 2], "chosen": 0}


def test_a_benchmark_without_a_search_says_what_it_would_need(project):
    data = project.benchmark()
    del data["search"]
    project.write(BENCHMARK, data)
    with pytest.raises(UserError, match=r"candidates.*seeds"):
        candidates(project)


def test_a_seed_of_the_search_cannot_be_one_of_the_benchmark(project):
    project.benchmark(search=SEARCH | {"seeds": [100, 1]})
    with pytest.raises(UserError, match=r"search.*\[1\]"):
        project.plan()
