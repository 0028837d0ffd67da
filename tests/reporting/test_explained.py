"""Explanations that are there stand in the report beside their numbers; those that are not cost nothing."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import pytest
from explained import effect, write_explanation
from html_page import Element, parse
from reported import ReportedProject

from counterpoise.errors import UserError
from counterpoise.judging.compare import compare_paper
from counterpoise.reporting.report import write_report, write_single_file
from counterpoise.results.results import read_results

NUMBER = "made.table0.uniform.d0_0.accuracy"
EVIL = "<script>alert('x')</script>"
EFFECTS = [
    effect("weaker", -1.0, recovered=1.0),
    effect("stronger", -3.0, recovered=3.0, missing=[7], diverged=1),
    effect("unfinished", missing=[0, 1]),
    effect(EVIL, 2.0, recovered=-2.0),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, repository) -> ReportedProject:
    project = ReportedProject(tmp_path_factory.mktemp("explained"), repository)
    project.finish(project.plan())
    return project


@pytest.fixture
def project(made):
    """The project without explanations; a test's own go after it."""
    yield made
    for path in (made.root / "results/explain").glob("*"):
        path.unlink()


def explained(project: ReportedProject, **others) -> Path:
    """Explain a number as it stands."""
    plan = project.plan()
    rows = compare_paper(plan, project.root, "made", read_results(plan, project.root)).rows
    row = next(r for r in rows if (r.entry.row, r.entry.column.id) == ("uniform", "d0_0.accuracy"))
    known = {"mean": row.number.mean, "gap": -4.0, "effects": EFFECTS}
    where = {"cell": cell_name(plan), "benchmark": "reported"}
    return write_explanation(project.root, NUMBER, **(where | known | others))


def cell_name(plan) -> str:
    return next(c.name for c in plan.cells if (c.method, c.dataset) == ("uniform", "d0_0"))


def page(project: ReportedProject, name: str) -> Element:
    return parse((write_report(project.plan(), project.root).parent / f"{name}.html").read_text())


def cell_page(project: ReportedProject) -> Element:
    return page(project, f"cells/{cell_name(project.plan()).replace('/', '.')}")


def effects(root: Element) -> list[list[str]]:
    """The rows of the table of effects."""
    (table,) = (table for table in root.all("table") if "Recovers" in table.text)
    return [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")[1:]]


def test_a_cells_page_shows_what_each_flip_recovers_strongest_first(project):
    explained(project)
    rows = effects(cell_page(project))
    assert [row[0] for row in rows] == [f"{name} before → after" for name in ("stronger", "weaker", EVIL)]
    # Ours is above the printed number: what lowers ours recovers, and so does its interval.
    strongest = rows[0]
    assert strongest[1:4] == ["+3.00", "+2.50 … +3.50", "-3.00"]
    assert rows[2][1:4] == ["-2.00", "-2.50 … -1.50", "+2.00"]
    assert strongest[5].startswith("3 ")
    assert "7" in strongest[5]


def test_an_effect_beyond_the_gap_is_not_shown_as_if_it_closed_it(project):
    explained(project, effects=[effect("beyond", -9.0, recovered=9.0), effect("short", -3.0, recovered=3.0)])
    beyond, short = effects(cell_page(project))
    assert beyond[1].startswith("+9.00 (")
    assert short[1] == "+3.00"


def test_what_is_not_known_is_listed_with_its_reason(project):
    explained(project)
    text = cell_page(project).text
    assert "unfinished: before → after: no pair of finished runs yet; seeds 0, 1 missing" in text


def test_the_number_and_the_overview_lead_to_the_explanation(project):
    explained(project)
    folder = write_report(project.plan(), project.root).parent
    for name in ("index", "numbers"):
        links = [urllib.parse.unquote(e.get("href")) for e in parse((folder / f"{name}.html").read_text()).all("a")]
        (link,) = (link for link in links if "#explained" in link)
        file, _, part = link.partition("#")
        assert part in {e.get("id") for e in parse((folder / file).read_text())}


def test_other_cells_and_a_report_without_explanations_show_nothing_of_them(project):
    explained(project)
    plan = project.plan()
    folder = write_report(plan, project.root).parent
    for cell in plan.cells:
        text = (folder / f"cells/{cell.name.replace('/', '.')}.html").read_text()
        assert ("stronger" in text) == (cell.name == cell_name(plan))
    for path in (project.root / "results/explain").glob("*"):
        path.unlink()
    folder = write_report(plan, project.root).parent
    assert not [path for path in folder.rglob("*.html") if 'id="explained' in path.read_text()]


def test_an_explanation_of_other_runs_says_so(project):
    assert not notes(explained_page(project))
    assert notes(explained_page(project, mean=12.3, n=2))


def explained_page(project: ReportedProject, **others) -> Element:
    explained(project, **others)
    return cell_page(project)


def notes(root: Element) -> list[str]:
    return [element.text for element in root.all("p") if element.get("class") == "note"]


def test_an_explanation_of_a_cell_that_is_no_more_is_named_but_not_shown(project):
    explained(project, cell="d0_0/cg_digits_conv4/uniform-published.000000000000")
    assert NUMBER in page(project, "index").text
    assert "stronger" not in cell_page(project).text


def test_an_explanation_of_another_benchmark_is_left_alone(project):
    explained(project, benchmark="another")
    assert NUMBER not in page(project, "index").text
    assert "stronger" not in cell_page(project).text


def test_without_a_gap_the_effects_stand_by_themselves(project):
    explained(project, gap=None, effects=[effect("alone", 1.5, recovered=None)])
    root = cell_page(project)
    (table,) = (table for table in root.all("table") if "alone" in table.text)
    assert "Recovers" not in table.text
    assert [td.text for td in table.all("td")][:2] == ["+1.00 … +2.00", "+1.50"]


def test_the_csv_comes_along_where_it_is_there(project):
    path = explained(project)
    path.with_suffix(".csv").write_text("name,factor\n")
    folder = write_report(project.plan(), project.root).parent
    assert (folder / f"data/explained.{path.stem}.csv").read_text() == "name,factor\n"
    cell = parse((folder / f"cells/{cell_name(project.plan()).replace('/', '.')}.html").read_text())
    assert f"../data/explained.{path.stem}.csv" in {urllib.parse.unquote(e.get("href")) for e in cell.all("a")}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"schema": 1, "name"', "truncated"),
        ("[]", "mapping"),
        ('{"schema": 1, "benchmark": "reported"}', "name"),
        ('{"schema": 2}', "schema"),
    ],
    ids=["torn", "a list", "incomplete", "of another schema"],
)
def test_a_damaged_explanation_is_named_and_the_old_report_stays(project, content, what):
    start = write_report(project.plan(), project.root)
    before = start.read_bytes()
    path = explained(project)
    path.write_text(content)
    for write in (write_report, write_single_file):
        with pytest.raises(UserError, match=what) as caught:
            write(project.plan(), project.root)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert start.read_bytes() == before


def test_numbers_that_are_not_finite_are_refused(project):
    path = explained(project)
    path.write_text(path.read_text().replace('"gap": -4.0', '"gap": NaN'))
    with pytest.raises(UserError, match="gap"):
        write_report(project.plan(), project.root)
