"""Factors are data: a flip changes what it says and nothing else, and the plan does not feel it."""

from __future__ import annotations

import pytest
import yaml
from small_project import SmallProject

from counterpoise.errors import UserError
from counterpoise.planning.factors import Change, before_and_after, differences, read_factors
from counterpoise.planning.plan import make_plan


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def declare(project, file: str, factors: object) -> None:
    """Replace a file's factors."""
    path = project.root / "configs" / file
    data = yaml.safe_load(path.read_text()) if path.is_file() else {}
    project.write(path.relative_to(project.root), {**data, "factors": factors})


def flips(plan, method="uniform", variant="published"):
    (cell,) = [cell for cell in plan.cells if (cell.method, cell.variant) == (method, variant)]
    return {(flip.factor, flip.after): flip for flip in plan.flips(cell)}


def one(change: dict, title: str = "a choice") -> dict:
    return {"choice": {"title": title, "changes": [change]}}


def test_declaring_factors_renames_no_run(project):
    before = project.plan()
    for file in ("datasets/cg_digits", "protocols/digits", "models/cg_digits_conv4", "methods/uniform"):
        declare(project, f"{file}.yaml", {})
    after = project.plan()
    assert {cell.name for cell in after.cells} == {cell.name for cell in before.cells}


@pytest.mark.parametrize(
    ("file", "change", "key", "value"),
    [
        ("datasets/cg_digits", {"dataset": {"variance": 0.2}}, "dataset.settings.variance", 0.2),
        ("protocols/digits", {"protocol": {"optimiser": {"lr": 0.5}}}, "protocol.optimiser.lr", 0.5),
        ("methods/mmpareto", {"method": {"gamma": 3.0}}, "method.settings.gamma", 3.0),
    ],
)
def test_a_flip_changes_exactly_what_it_says(project, file, change, key, value):
    declare(project, f"{file}.yaml", one(change))
    (flip,) = [flip for flip in flips(project.plan(), "mmpareto").values() if flip.factor == "choice"]
    ((changed, _, after),) = flip.differences
    assert (changed, after, flip.after) == (key, value, f"{value:g}")


def test_a_flip_has_the_key_that_an_ordinary_run_with_these_settings_has(project):
    declare(project, "protocols/digits.yaml", one({"protocol": {"optimiser": {"lr": 0.5}}}))
    flipped = flips(project.plan())["choice", "0.5"].cell
    project.benchmark(methods={"uniform": {"protocol": {"optimiser": {"lr": 0.5}}}})
    assert project.cell("uniform").name == flipped.name


def test_a_variant_is_flipped_without_the_protocol_that_a_benchmark_gives_it(project):
    (table,) = project.benchmark()["tables"]
    column = table["columns"]["cg_mnist"] | {"protocols": {"released": "mmpareto/released"}}
    project.table(columns={"cg_mnist": column})
    flip = flips(project.plan(), "mmpareto")["variant", "released"]
    assert all(key.startswith("method.") for key, _, _ in flip.differences)


def test_a_flipped_cell_is_found_by_name_and_is_no_part_of_the_plan(project):
    declare(project, "datasets/cg_digits.yaml", one({"dataset": {"variance": 0.2}}))
    plan = project.plan()
    cell = flips(plan)["choice", "0.2"].cell
    assert plan.cell(cell.name) == cell
    assert cell.name not in {cell.name for cell in plan.cells}
    assert cell.data not in plan.datasets


def test_an_alternative_that_is_what_runs_already_is_no_flip(project):
    lr = project.cell("uniform").config["protocol"]["optimiser"]["lr"]
    declare(project, "protocols/digits.yaml", one({"protocol": {"optimiser": {"lr": lr}}}))
    (flip,) = [flip for flip in project.plan().flips(project.cell("uniform")) if flip.factor == "choice"]
    assert flip.cell is None
    assert flip.reason == "changes nothing here"


def test_what_a_method_starts_from_is_flipped_with_it_and_keeps_its_weights(project):
    declare(project, "datasets/cg_digits.yaml", one({"dataset": {"variance": 0.2}}))
    project.table(extra_methods=["fine_tune"])
    plan = project.plan()
    cell = flips(plan, "fine_tune")["choice", "0.2"].cell
    assert {parent.data for _, parent in cell.parents} == {cell.data}
    assert {parent.name for _, parent in cell.parents} <= plan.keep_weights
    assert {parent.name for _, parent in cell.parents} <= set(plan.flipped)


@pytest.mark.parametrize(
    ("factors", "wanted"),
    [
        ({"choice": {"title": "x", "changes": [{"protocl": {}}]}}, r"protocl.*did you mean 'protocol'"),
        ({"choice": {"changes": [{"model": "x"}]}}, r"factors\.choice\.title' is missing"),
        ({"choice": {"title": "x", "changes": []}}, r"factors\.choice\.changes' is \[\]"),
        ({"choice": {"title": "x", "changes": [{}]}}, "changes nothing"),
        ({"Choice 1": {"title": "x", "changes": [{"model": "x"}]}}, "Choice 1"),
    ],
)
def test_a_misspelt_factor_stops_the_plan_with_file_and_key(project, factors, wanted):
    declare(project, "datasets/cg_digits.yaml", factors)
    with pytest.raises(UserError, match=wanted) as found:
        project.plan().flips(project.plan().cells[0])
    assert "configs/datasets/cg_digits.yaml" in str(found.value)


@pytest.mark.parametrize(
    ("file", "change", "wanted"),
    [
        ("datasets/cg_digits", {"dataset": {"varience": 1.0}}, "did you mean 'variance'"),
        ("methods/uniform", {"method": {"gamma": 1.0}}, "unknown key 'gamma'"),
        ("methods/uniform", {"variant": "encoder_lrs"}, "did you mean 'encoder_lr'"),
        ("protocols/digits", {"protocol": {"optimiser": {"name": "sdg"}}}, "did you mean 'sgd'"),
        ("models/cg_digits_conv4", {"model": "cg_digits_conv5"}, "did you mean 'cg_digits_conv4'"),
    ],
)
def test_a_change_that_cannot_be_names_its_factor_and_what_is_allowed(project, file, change, wanted):
    declare(project, f"{file}.yaml", one(change))
    with pytest.raises(UserError, match=wanted) as found:
        flips(project.plan())
    assert f"{file}.yaml: factors.choice" in str(found.value)


@pytest.mark.parametrize("scale", ["full", "tiny"])
def test_every_factor_of_every_benchmark_resolves(repository, scale):
    for path in sorted((repository / "configs/benchmarks").glob("*.yaml")):
        plan = make_plan(repository, path, {"scale": scale})
        every = [flip for cell in plan.cells for flip in plan.flips(cell)]
        assert all((flip.cell is None) == bool(flip.reason) for flip in every)
        if scale == "full":  # a miniature may replace the very thing that a factor changes
            effective = {flip.factor for flip in every if flip.cell is not None}
            assert {flip.factor for flip in every} == effective, path.name


def test_a_change_of_nothing_is_refused():
    with pytest.raises(ValueError, match="changes nothing"):
        Change()


def test_factors_must_be_a_mapping():
    with pytest.raises(UserError, match=r"file\.yaml: 'factors' is"):
        read_factors(["lr"], "file.yaml")


def test_differences_are_found_at_any_depth_and_on_both_sides():
    found = list(differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}))
    assert found == [("a.c", 2, 4), ("d", 3, None), ("e", None, 5)]
    assert before_and_after(found[:1]) == ("2", "4")
    assert before_and_after(found[:2]) == ("c 2, d 3", "c 4, d None")
