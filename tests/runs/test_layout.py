"""The layout says everything of a plan that judging and reporting need, and nothing of the machine."""

from __future__ import annotations

import json
import shutil

import pytest
from small_project import BENCHMARK, SmallProject

from counterpoise.comparability import NOT_IN_BENCHMARK
from counterpoise.data.prepared import PreparedData
from counterpoise.planning.figures import measurement_name
from counterpoise.planning.plan import make_plan
from counterpoise.results.layout import Layout
from counterpoise.runs.kept_data import keep
from counterpoise.runs.layout import layout_of


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def test_every_place_of_the_plan_is_in_the_layout_with_its_cell(project):
    plan = project.plan()
    layout = layout_of(plan, project.root)
    assert [(v.paper, v.table, v.row, v.variant, v.column) for v in layout.values] == [
        (v.paper, v.table, v.row, v.variant, v.column) for v in plan.values
    ]
    assert [v.cell for v in layout.values] == [v.cell and v.cell.name for v in plan.values]
    assert list(layout.cells) == [cell.name for cell in plan.cells]
    outside = [v for v in layout.values if v.cell is None]
    assert outside
    assert {v.reason for v in outside} == {NOT_IN_BENCHMARK}
    assert all(v.stand_in for v in layout.values if v.cell is not None)


def test_a_cell_carries_what_its_page_shows(project):
    layout = layout_of(project.plan(), project.root)
    own = project.cell("mmpareto", "released")
    cell = layout.cells[own.name]
    assert (cell.name, cell.method_title, cell.variant) == (own.name, "MMPareto", "released")
    assert (cell.config, cell.source, cell.key) == (own.config, own.source, own.key)
    assert layout.data[cell.data_of(0)].name == "cg_digits"


def test_two_datasets_of_the_same_settings_keep_their_names(project):
    """In miniature, datasets are alike but for their names, and so have one key."""
    twin = (project.root / "configs/datasets/cg_digits.yaml").read_text().replace("title: ", "title: Twin of ", 1)
    project.write("configs/datasets/twin.yaml", twin)
    column = {"model": "cg_digits_conv4", "protocol": "digits"}
    project.table(columns={"cg_mnist": {"dataset": "cg_digits", **column}, "modelnet40": {"dataset": "twin", **column}})
    layout = layout_of(project.plan(), project.root)
    titles = {cell.dataset: layout.data[cell.data].title for cell in layout.cells.values()}
    assert len({data.key for data in layout.data.values()}) == 1
    assert titles["twin"] == f"Twin of {titles['cg_digits']}"


def test_what_data_departed_from_is_known_when_its_arrays_are_gone(project):
    """Seen: after its arrays had been deleted to save room, data of the user's own lists counted as the paper's."""
    cell = project.cell("uniform")
    folder = project.prepared(cell)
    manifest = json.loads((folder / "manifest.json").read_text()) | {
        "departures": ["a list of one's own"],
        "splits": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    keep(PreparedData(folder, manifest), project.root)
    shutil.rmtree(folder)
    assert layout_of(project.plan(), project.root).data[cell.data.directory.name].manifest == manifest


def test_the_manifest_of_prepared_data_comes_along_where_there_is_one(project):
    cell = project.cell("uniform")
    assert layout_of(project.plan(), project.root).data[cell.data.directory.name].manifest == {}
    project.prepared(cell)
    manifest = layout_of(project.plan(), project.root).data[cell.data.directory.name].manifest
    assert len(manifest["sources"]) == 7


def test_outputs_are_called_as_in_the_dataset_that_runs(project):
    column = {
        "dataset": "cg_digits",
        "model": "cg_digits_conv4",
        "protocol": "digits",
        "modalities": {"audio": "gray", "visual": "colour"},
    }
    project.benchmark(tables=[{"paper": "mmpareto", "table": "table1", "columns": {"crema_d": column}}])
    layout = layout_of(project.plan(), project.root)
    outputs = {v.column: v.output for v in layout.values if v.row == "Uniform baseline" and v.cell}
    assert outputs["crema_d.accuracy_audio"] == "gray"
    assert layout.table("mmpareto", "table1").modalities == {"crema_d": {"audio": "gray", "visual": "colour"}}
    # What reporting asks for by itself gets the same name.
    assert layout.tables[0].output_in_dataset("crema_d", "probe:visual") == "probe:colour"


def test_a_figure_names_its_series_and_its_measurement(project):
    runs = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits", "modalities": {"visual": "gray"}}
    project.benchmark(figures=[{"paper": "mmpareto", "figure": "figure4b", "runs": runs, "note": "on digits"}])
    plan = project.plan()
    (figure,) = layout_of(plan, project.root).figures
    assert (figure.id, figure.output, figure.note, figure.stand_in) == ("mmpareto/figure4b", "gray", "on digits", True)
    assert [series.cell for series in figure.series] == [project.cell("uniform").name]
    assert figure.measurement == measurement_name(plan.figures[0].figure.measure)


def test_nothing_in_it_says_on_which_machine_it_was_made(project):
    project.benchmark(mirror="/mnt/a/mirror", data_roots={"cg_digits": "/mnt/raw"}, job={"gpus": 1})
    text = layout_of(project.plan(), project.root).model_dump_json()
    assert "/mnt" not in text
    assert str(project.root) not in text
    assert json.loads(text)["file"] == BENCHMARK.as_posix()


def test_a_mirror_given_once_on_the_command_line_is_no_part_of_results(project):
    plain = layout_of(project.plan(seeds=[0]), project.root)
    with_mirror = project.plan(seeds=[0], mirror="/mnt/a/mirror", job={"gpus": 1})
    assert layout_of(with_mirror, project.root) == plain
    assert plain.overrides == {"seeds": [0]}


def test_the_file_is_named_alike_from_wherever_it_was_planned(project, monkeypatch):
    monkeypatch.chdir(project.root)
    names = {
        layout_of(make_plan(root, root / BENCHMARK), root).file
        for root in (project.root, project.root.relative_to(project.root))
    }
    assert names == {BENCHMARK.as_posix()}


def test_it_reads_back_as_it_was_written(project):
    layout = layout_of(project.plan(seeds=[3, 4]), project.root)
    again = Layout.model_validate_json(layout.model_dump_json(by_alias=True))
    assert again == layout
    assert (again.seeds, again.overrides) == ((3, 4), {"seeds": [3, 4]})
