"""docs/papers.md says what the benchmarks plan and what the settings are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from papers_page import load_choices, page, value_of

from counterpoise.components import components
from counterpoise.errors import UserError
from counterpoise.papers.paper import load_paper, paper_names
from counterpoise.planning.plan import make_plan

SCRIPT = "docs/generators/papers_page.py"
PAPERS = paper_names(Path(__file__).resolve().parents[2] / "configs")


@pytest.fixture(scope="module")
def text(repository) -> str:
    return (repository / "docs/papers.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_benchmarks_and_settings_say(repository, text):
    assert text == page(repository), f"write it again: python {SCRIPT} docs/papers.md"


def test_every_table_and_figure_of_both_papers_has_its_target(repository, text):
    for paper in PAPERS:
        source = load_paper(repository / "configs", paper)
        for table in source.tables:
            assert f"`tables/{paper}/{table}.md`" in text
        for figure in source.figures:
            assert f"`figures/{paper}/{figure}.svg`" in text


def test_what_the_figures_choose_stands_on_the_page_with_its_numbers(text):
    assert "- Figure 1a: the first 400 iterations, as many as the paper draws." in text
    assert "- Figure 5: 3 random directions per run, 21 steps" in text


def test_every_kind_of_figure_and_measurement_stands_on_the_page_with_its_settings(text):
    for kind in ("figure_kind", "measurement"):
        for name, found in components(kind).items():
            lines = [line for line in text.splitlines() if line.startswith(f"| `{name}` | {found.info.title} |")]
            assert len(lines) == 1
            assert all(f"`{setting}`" in lines[0] for setting in found.settings)


@pytest.mark.parametrize("paper", PAPERS)
def test_the_number_of_runs_is_that_of_the_plan(repository, text, paper):
    plan = make_plan(repository, repository / f"configs/benchmarks/{paper}.yaml")
    (stated,) = re.findall(rf"`configs/benchmarks/{paper}\.yaml`: (\d+) runs", text)
    assert int(stated) == len(plan.cells) * len(plan.seeds)


@pytest.mark.parametrize("paper", PAPERS)
def test_every_open_choice_is_a_setting_with_a_reason(repository, paper):
    choices = load_choices(repository / "configs", paper)
    assert len(choices) > 15
    for choice in choices:
        value_of(repository / "configs", choice.setting)
        assert choice.what
        assert choice.reason


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("method/mmpareto: gama", "did you mean 'gamma'"),
        ("benchmark: probe.epoch", "no key 'epoch'"),
        ("datasets/cg_mnist: settings.varience", "did you mean 'variance'"),
        ("datasets/cg_mnits: settings.variance", "cg_mnits.yaml"),
    ],
)
def test_a_choice_that_names_no_setting_is_refused(repository, setting, said):
    with pytest.raises(UserError, match=said):
        value_of(repository / "configs", setting)
