"""Old runs can be given a new key, with a reason that stays in their records."""

from __future__ import annotations

import json

import pytest
from small_project import SmallProject

from counterpoise.errors import UserError
from counterpoise.results.evaluate import evaluate_run
from counterpoise.runs.adopt import adopt, changes
from counterpoise.runs.status import State, run_status

REASON = "only the wording of a message changed"


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


@pytest.fixture
def renamed(project):
    """Return the project with its old and its new cell of the uniform baseline: the rate was changed."""
    old = project.cell("uniform")
    for seed in (0, 1):
        project.run(old, seed, 15)
    project.benchmark(methods={"uniform": {"protocol": {"optimiser": {"lr": 0.03}}}})
    new = project.cell("uniform")
    assert old.key != new.key
    return project, old, new


def test_adopted_runs_are_fresh_under_the_new_key(renamed):
    project, old, new = renamed
    adopted = adopt(project.plan(), project.root, old.name, new.name, REASON)
    assert adopted.folders == [project.root / new.run_directory(seed) for seed in (0, 1)]
    assert [run_status(project.root, new, seed).state for seed in (0, 1)] == [State.FRESH, State.FRESH]
    assert not (project.root / old.directory).exists()


def test_the_record_keeps_reason_and_old_identity(renamed):
    project, old, new = renamed
    adopt(project.plan(), project.root, f"results/runs/{old.name}", new.name, f" {REASON} ")
    record = json.loads((project.root / new.run_directory(0) / "record.json").read_text())
    assert (record["key"], record["seed"]) == (new.key, 0)
    assert record["identity"] == {"config": new.config, "source": new.source, "data": new.data_key}
    (entry,) = record["adopted"]
    assert (entry["from"], entry["reason"]) == (old.name, REASON)
    assert entry["identity"]["config"] == old.config
    assert record["git"] == {"commit": "c0ffee", "dirty": True}


def test_what_differs_between_the_identities_is_named(renamed):
    project, old, new = renamed
    adopted = adopt(project.plan(), project.root, old.name, new.name, REASON)
    assert adopted.changes == ["config.protocol.optimiser.lr: 0.02 -> 0.03"]


def test_evaluation_accepts_an_adopted_run(renamed):
    project, old, new = renamed
    adopt(project.plan(), project.root, old.name, new.name, REASON)
    path = evaluate_run(project.root / new.run_directory(0), "metrics.json", new.key, 0, 15)
    metrics = json.loads(path.read_text())
    assert metrics["selections"]["last"]["outputs"]["joint"]["accuracy"] == 0.75


def test_adopting_twice_keeps_both_reasons(renamed):
    project, old, new = renamed
    adopt(project.plan(), project.root, old.name, new.name, REASON)
    project.benchmark(methods={"uniform": {"protocol": {"optimiser": {"lr": 0.04}}}})
    newest = project.cell("uniform")
    adopt(project.plan(), project.root, new.name, newest.name, "again")
    record = json.loads((project.root / newest.run_directory(0) / "record.json").read_text())
    assert [entry["from"] for entry in record["adopted"]] == [old.name, new.name]


def test_an_adoption_that_was_cut_short_is_taken_up(renamed):
    project, old, new = renamed
    plan = project.plan()
    adopt(plan, project.root, old.name, new.name, REASON)
    again = project.run(old, 1, 15)  # as if the old folder had not been removed yet
    adopt(plan, project.root, old.name, new.name, REASON)
    assert not again.exists()
    assert run_status(project.root, new, 1).state is State.FRESH


@pytest.mark.parametrize("reason", ["", "  "])
def test_no_reason_no_adoption(renamed, reason):
    project, old, new = renamed
    with pytest.raises(UserError, match="reason"):
        adopt(project.plan(), project.root, old.name, new.name, reason)


def nothing_happened(project, old) -> bool:
    return all(run_status(project.root, old, seed).state is State.FRESH for seed in (0, 1))


def test_runs_that_are_there_are_not_replaced(renamed):
    project, old, new = renamed
    project.run(new, 1)
    with pytest.raises(UserError, match="is there already"):
        adopt(project.plan(), project.root, old.name, new.name, REASON)
    assert nothing_happened(project, old)


def test_another_methods_runs_cannot_be_adopted(renamed):
    project, old, _ = renamed
    with pytest.raises(UserError, match="method name is 'uniform'"):
        adopt(project.plan(), project.root, old.name, project.cell("joint").name, REASON)
    assert nothing_happened(project, old)


def test_a_cell_that_is_planned_is_not_old(renamed):
    project, _, new = renamed
    with pytest.raises(UserError, match="as it is now"):
        adopt(project.plan(), project.root, new.name, project.cell("joint").name, REASON)


def test_broken_runs_cannot_be_adopted(renamed):
    project, old, new = renamed
    (project.root / old.run_directory(1) / "predictions.npz").unlink()
    with pytest.raises(UserError, match=r"predictions\.npz not there"):
        adopt(project.plan(), project.root, old.name, new.name, REASON)
    assert run_status(project.root, old, 0).state is State.FRESH


@pytest.mark.parametrize("name", ["", "uniform", "../../x/y-z.0123", "/etc/a/b-c.01", "a/b/c-d.xyz"])
def test_a_name_that_is_no_cells_is_refused(renamed, name):
    project, old, new = renamed
    with pytest.raises(UserError, match="must be the name of a cell"):
        adopt(project.plan(), project.root, name, new.name, REASON)
    assert nothing_happened(project, old)


def test_a_misspelt_cell_gets_the_nearest_one(renamed):
    project, old, new = renamed
    wrong = old.name.replace("uniform", "uniforn")
    with pytest.raises(UserError, match=f"did you mean '{old.name}'"):
        adopt(project.plan(), project.root, wrong, new.name, REASON)


def test_changes_name_what_was_added_removed_and_replaced():
    old = {"a": 1, "b": {"c": 2, "d": 3}}
    new = {"a": 1, "b": {"c": 4}, "e": None, "f": 5}
    assert changes(old, new) == ["b.c: 2 -> 4", "b.d: 3 -> None", "f: None -> 5"]
