"""A table of one's own is planned as a paper's is: methods as rows, datasets as columns, the same runs."""

from __future__ import annotations

import re

import pytest
import yaml
from made_results import MadeResults
from small_project import SmallProject

from counterpoise.cli.overview import power_lines
from counterpoise.errors import UserError
from counterpoise.planning.plan import make_plan
from counterpoise.reporting.tables.view import view_table
from counterpoise.results.layout import Layout
from counterpoise.results.papers import papers_of
from counterpoise.runs.layout import layout_of
from counterpoise.testing.new import new_dataset

COLUMN = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
OWN = {"own": "methods", "rows": ["joint", "uniform", "mmpareto"], "columns": {"digits": COLUMN}}


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def test_a_method_has_the_same_runs_as_in_a_papers_table(project):
    before = {cell.name for cell in project.plan().cells}
    project.benchmark(tables=[OWN | {"variants": {"mmpareto": ["published", "released"]}}])
    plan = project.plan()
    assert {cell.name for cell in plan.cells} == before
    assert plan.tables == [("own", "methods")]
    assert [(value.row, value.variant) for value in plan.values] == [
        ("One joint loss", None),
        ("Uniform baseline", None),
        ("MMPareto", "published"),
        ("MMPareto", "released"),
    ]


def test_nothing_stands_in_for_anything_where_no_paper_is_compared(project):
    stand_ins = project.plan().values
    assert any(value.stand_in for value in stand_ins)
    project.benchmark(tables=[OWN])
    assert not any(value.stand_in or value.differs or value.other_training for value in project.plan().values)


def test_it_stands_beside_a_papers_table(project):
    paper = project.benchmark()["tables"]
    project.benchmark(tables=[*paper, OWN, OWN | {"own": "again"}])
    plan = project.plan()
    assert plan.tables == [("mmpareto", "table3"), ("own", "methods"), ("own", "again")]
    assert set(plan.papers) == {"own", "mmpareto"}


def test_a_column_may_have_a_metric_and_an_output_of_its_own(project):
    columns = {"digits": COLUMN, "gray": COLUMN | {"metric": "ece", "output": "gray"}}
    project.benchmark(tables=[OWN | {"columns": columns}])
    plan = project.plan()
    table = plan.papers["own"].table("methods")
    assert [(c.id, c.output, c.better) for c in table.columns] == [
        ("digits.accuracy", "joint", "higher"),
        ("gray.ece", "gray", "lower"),
    ]
    assert len({group.heading for group in table.groups}) == 2, "two columns on one dataset are told apart"
    assert {plan.output(value) for value in plan.values if value.column == "gray.ece"} == {"gray"}


def test_a_row_may_have_settings_and_a_title(project):
    one = {"method": "unimodal", "settings": {"modality": "gray"}}
    project.benchmark(
        tables=[OWN | {"rows": [one, {"method": "unimodal", "title": "Colour", "settings": {"modality": "colour"}}]}]
    )
    plan = project.plan()
    assert [value.row for value in plan.values] == ["Unimodal, gray", "Colour"]
    assert [cell.config["method"]["settings"]["modality"] for cell in plan.cells] == ["gray", "colour"]


def test_the_layout_has_the_table_so_that_no_other_file_is_needed(project, tmp_path):
    project.benchmark(tables=[OWN])
    plan = project.plan()
    text = layout_of(plan, project.root).model_dump_json(by_alias=True)
    layout = Layout.model_validate_json(text)
    assert papers_of(layout, tmp_path / "nowhere")["own"].tables == plan.papers["own"].tables


def test_a_layout_without_the_table_that_it_names_is_refused(project):
    project.benchmark(tables=[OWN])
    data = layout_of(project.plan(), project.root).model_dump(mode="json", by_alias=True)
    with pytest.raises(ValueError, match="own: must be the tables"):
        Layout.model_validate(data | {"own": []})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"row": []}, ["unknown key 'tables.0.row'", "did you mean 'rows'"]),
        ({"rows": []}, ["'tables.0.rows' is []", "at least 1 entry"]),
        ({"rows": ["joynt"]}, ["rows", "'joynt'", "did you mean 'joint'"]),
        ({"rows": ["joint", "joint"]}, ["own.methods", "the row 'One joint loss' is given twice"]),
        ({"rows": [{"method": "joint", "setings": {}}]}, ["'tables.0.rows.0.setings'", "did you mean 'settings'"]),
        ({"columns": {"digits": COLUMN | {"metric": "acuracy"}}}, ["columns.digits.metric", "did you mean 'accuracy'"]),
        ({"columns": {"digits": COLUMN | {"output": "grey"}}}, ["columns.digits.output", "did you mean 'gray'"]),
        ({"columns": {"digits": COLUMN | {"dataset": "cg_digit"}}}, ["columns.digits", "did you mean 'cg_digits'"]),
        ({"columns": {"digits": COLUMN | {"modle": "x"}}}, ["'tables.0.columns.digits.modle'", "did you mean 'model'"]),
        ({"variants": {"ogm": ["published"]}}, ["variants: unknown method 'ogm'"]),
        ({"paper": "mmpareto"}, ["unknown key 'tables.0.paper'"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(project, changes, said):
    project.benchmark(tables=[OWN | changes])
    with pytest.raises(UserError) as error:
        project.plan()
    assert all(part in str(error.value) for part in said), error.value
    assert "\n" not in str(error.value)


def test_two_tables_of_one_name_are_refused(project):
    project.benchmark(tables=[OWN, OWN])
    with pytest.raises(UserError, match=r"given more than once: own\.methods"):
        project.plan()


def test_no_paper_can_take_the_name(project):
    project.write("configs/papers/own/paper.yaml", "paper: own\n")
    project.benchmark(tables=[{"paper": "own", "table": "table1", "columns": {}}])
    with pytest.raises(UserError, match="a paper cannot be called 'own'"):
        project.plan()


def test_a_plan_says_which_differences_its_seeds_can_find(project):
    def said(seeds: list[int]) -> list[str]:
        project.benchmark(tables=[OWN], seeds=seeds)
        return power_lines(project.plan(), project.root)

    few, many = said([0, 1, 2]), said(list(range(10)))
    assert few[0] == "own.methods: of 3 pairs of rows, with power 80 %, differences in points are found"
    gaps = {
        name: [float(gap) for gap in re.findall(r"([\d.]+) on", lines[1])]
        for name, lines in (("few", few), ("many", many))
    }
    assert gaps["few"] == sorted(gaps["few"])
    assert gaps["few"][0] > 2 * gaps["many"][0], "more seeds find smaller differences"
    assert said([0]) == ["own.methods: one seed has nothing to compare rows by"]
    columns = {name: COLUMN for name in ("a", "b", "c", "d", "e", "f", "g")}
    project.benchmark(tables=[OWN | {"columns": columns}], seeds=[0, 1])
    (_, found) = power_lines(project.plan(), project.root)
    assert all(float(gap) < 100 for gap in re.findall(r"([\d.]+) on", found)), "no two accuracies differ by 160 points"
    assert "of no size (spread 2)" in found


def test_the_guides_table_is_planned_as_it_is_written(project, repository):
    new_dataset("my_data", project.root)
    guide = (repository / "docs/guides/own-data.md").read_text(encoding="utf-8")
    dataset, benchmark = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL))
    model = yaml.safe_load((project.root / "configs/models/my_data.yaml").read_text())
    project.write("configs/datasets/my_data.yaml", dataset)
    project.write(
        "configs/models/my_data.yaml", model | {"encoders": {name: {"component": "mlp"} for name in ("audio", "text")}}
    )
    project.write("configs/benchmarks/my_data.yaml", benchmark)
    plan = make_plan(project.root, project.root / "configs/benchmarks/my_data.yaml")
    assert {value.row for value in plan.values} == {"One joint loss", "MMPareto", "Audio alone"}
    assert len(plan.values) == 2 * 4
    assert all(value.cell is not None for value in plan.values)
    view = view_of_finished_runs(plan, project.root)
    assert [line.title for line in view.lines].count("Audio alone") == 1
    empty = [(line.title, place) for line in view.lines for place, cell in enumerate(line.cells) if cell.mean is None]
    assert empty == [], "every place has a value, in columns of ours, too"
    shown = [column.title for column in view.columns]
    assert sorted(shown) == ["ECE", "accuracy", "macro F1"], "two columns of the same runs show nothing twice"


def view_of_finished_runs(plan, root):
    """Return the plan's own table after runs that have the outputs that real ones have."""
    layout = layout_of(plan, root)
    made = MadeResults(plan.papers["own"], {})
    made.layout = layout
    for cell in layout.cells.values():
        modality = cell.config["method"]["settings"].get("modality")
        outputs = ["joint", *cell.config["model"]["encoders"]] if modality is None else [modality]
        for seed in layout.seeds:
            made.run(cell, seed, dict.fromkeys(outputs, 0.7 + seed / 100))
    return view_table(made.results, made.compare(), plan.tables[0][1])


def test_a_row_of_one_modality_is_measured_on_that_unless_its_column_names_another(project):
    rows = ["joint", {"method": "unimodal", "title": "Gray", "settings": {"modality": "gray"}}]
    columns = {"digits": COLUMN, "other": COLUMN | {"output": "colour"}}
    project.benchmark(tables=[{"own": "methods", "rows": rows, "columns": columns}])
    plan = project.plan()
    outputs = {(value.row, value.column.split(".")[0]): plan.output(value) for value in plan.values}
    assert outputs == {
        ("One joint loss", "digits"): "joint",
        ("One joint loss", "other"): "colour",
        ("Gray", "digits"): "gray",
        ("Gray", "other"): "colour",
    }
    project.benchmark(tables=[{"own": "methods", "rows": rows, "columns": {"digits": COLUMN}}])
    view = view_of_finished_runs(project.plan(), project.root)
    assert all(cell.mean is not None for line in view.lines for cell in line.cells)


def test_the_other_guides_table_is_planned_as_it_is_written(project, repository):
    guide = (repository / "docs/guides/own-method.md").read_text(encoding="utf-8")
    (table,) = [part for part in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "own:" in part]
    tables = yaml.safe_load(table)["tables"]
    tables[0]["rows"].remove("halfway")  # which the guide's reader has written
    project.benchmark(tables=tables)
    assert len(project.plan().cells) == 3


def test_a_misspelt_own_is_said_to_be_one(project):
    table = {"owm": "methods"} | {key: value for key, value in OWN.items() if key != "own"}
    project.benchmark(tables=[table | {"columns": {"digits": COLUMN | {"metric": "ece"}}}])
    with pytest.raises(UserError, match=r"unknown key 'tables\.0\.owm'; did you mean 'own'\?"):
        project.plan()


def test_a_row_of_a_modality_that_there_is_not_is_refused_beforehand(project):
    for settings, value in (({"modality": "gay"}, "gay"), ({}, "")):
        project.benchmark(tables=[OWN | {"rows": ["joint", {"method": "unimodal", "settings": settings}]}])
        with pytest.raises(UserError, match=rf"'unimodal': 'modality' is '{value}'.* allowed: colour, gray"):
            project.plan()
