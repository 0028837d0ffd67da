"""The papers' figures as data: what is wrong in a figures.yaml is found and named, and what is printed is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from counterpoise.components import component
from counterpoise.errors import UserError
from counterpoise.papers.paper import load_paper, paper_names

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def papers():
    return {name: load_paper(CONFIGS, name) for name in paper_names(CONFIGS)}


def printed(paper, figure: str) -> dict[tuple[str, str], str]:
    return {(number.series, number.quantity): number.value for number in paper.figure(figure).printed}


def test_both_papers_have_the_figures_that_can_be_regenerated(papers):
    assert list(papers["mmpareto"].figures) == [
        "figure1a",
        "figure1c",
        "figure1d",
        "figure3",
        "figure4a",
        "figure4b",
        "figure5",
    ]
    assert list(papers["mlb"].figures) == ["figure2", "figure3", "figure4a", "figure4b", "figure5", "figure6"]


def test_kinds_settings_and_measurements_of_all_figures_are_known(papers):
    for paper in papers.values():
        for figure in paper.figures.values():
            settings = component("figure_kind", figure.kind).resolve(figure.settings, figure.name)
            if figure.measure is not None:
                settings |= component("measurement", figure.measure.name).resolve(figure.measure.settings, figure.name)
            assert not any("{" in text for text in figure.chosen(settings))
            for series in figure.series:
                component("method", series.method)


def test_every_figure_says_what_it_chooses(papers):
    for name, paper in papers.items():
        for figure in paper.figures.values():
            drawn_from_numbers = figure.kind == "table"
            assert figure.choices or drawn_from_numbers, f"{name}.{figure.name}"


def test_the_numbers_inside_figure_1d_are_data(papers):
    assert printed(papers["mmpareto"], "figure1d") == {
        ("Uniform baseline", "multimodal_mean"): "2.379",
        ("Uniform baseline", "unimodal_mean"): "3.383",
        ("Uniform baseline", "multimodal_variance"): "0.053",
        ("Uniform baseline", "unimodal_variance"): "0.162",
    }
    (point,) = papers["mmpareto"].figure("figure1c").printed
    assert (point.series, point.quantity, point.value, point.about) == ("Conventional Pareto", "unimodal", "35", True)


def test_the_seven_gains_of_mlb_are_those_of_its_abstract(papers, shared):
    abstract = (shared / "papers/mlb.md").read_text()
    values = [number.value for number in papers["mlb"].figure("figure3").printed]
    assert values == ["1.9", "12.4", "2.8", "14.1", "2.7", "7.7", "6.1"]
    assert all(f"{value}%" in abstract for value in values)


def test_gains_name_columns_and_rows_of_the_papers_tables(papers):
    paper = papers["mlb"]
    settings = paper.figure("figure3").settings
    assert set(settings["gain_over"]) <= set(paper.table("figure3").row_ids)
    for columns in settings["gains"].values():
        for name in columns:
            table, _, column = name.partition(".")
            paper.table(table).column(column)
            paper.table(table).row(settings["gain_of"])


@pytest.fixture
def configs(tmp_path):
    shutil.copytree(CONFIGS / "papers", tmp_path / "papers")
    return tmp_path


def refused(configs: Path, change, *words: str) -> None:
    path = configs / "papers/mmpareto/figures.yaml"
    data = yaml.safe_load(path.read_text())
    change({figure["name"]: figure for figure in data["figures"]}, data)
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(UserError) as caught:
        load_paper(configs, "mmpareto")
    for word in ("figures.yaml", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_of_a_figure_is_refused(configs):
    refused(configs, lambda figures, data: figures["figure1a"].update(outptu="visual"), "did you mean 'output'")


def test_a_figure_of_an_unknown_table_is_refused(configs):
    refused(configs, lambda figures, data: figures["figure3"].update(table="table99"), "figure3", "table99")


def test_two_figures_of_one_name_are_refused(configs):
    refused(configs, lambda figures, data: data["figures"].append(figures["figure3"]), "figure3", "twice")


def test_two_series_of_one_label_are_refused(configs):
    def change(figures, data):
        figures["figure5"]["series"][0]["label"] = "MMPareto"

    refused(configs, change, "figure5", "MMPareto", "twice")


def test_a_printed_number_that_is_none_is_refused(configs):
    refused(configs, lambda figures, data: figures["figure1d"]["printed"][0].update(value="2,379"), "2,379")


def test_figures_of_another_paper_are_refused(configs):
    refused(configs, lambda figures, data: data.update(paper="mlb"), "must be 'mmpareto'")


def test_an_unknown_figure_is_named_with_the_nearest(papers):
    with pytest.raises(UserError, match="did you mean 'figure1a'"):
        papers["mmpareto"].figure("figur1a")


def test_a_paper_without_a_file_of_figures_has_none(configs):
    (configs / "papers/mlb/figures.yaml").unlink()
    assert load_paper(configs, "mlb").figures == {}


def test_a_choice_can_name_settings_and_nothing_else(papers):
    figure = papers["mmpareto"].figure("figure1a")
    found = figure.model_copy(update={"choices": ("{first} steps", "{first.__class__} {first:99999999}")})
    assert found.chosen({"first": 400}) == ["400 steps", "{first.__class__} {first:99999999}"]
    with pytest.raises(UserError, match=r"mmpareto.figure1a: choices: no setting 'frist'.*did you mean 'first'"):
        figure.model_copy(update={"choices": ("{frist}",)}).chosen({"first": 400})
