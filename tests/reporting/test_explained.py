"""An explanation is shown in the report beside its number, and leads there from the overview."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import pytest
from explained import effect, explanation
from html_page import Element, parse
from reported import Reported

from counterpoise.reporting.pages.cell import page_name

NUMBER = "made.table0.uniform.d0_0.accuracy"
EVIL = "<script>alert('x')</script>"
EFFECTS = [
    effect("weaker", -1.0, recovered=1.0),
    effect("stronger", -3.0, recovered=3.0, missing=[7], diverged=1),
    effect("unfinished", missing=[0, 1]),
    effect(EVIL, 2.0, recovered=-2.0),
]


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Reported:
    made = Reported(tmp_path_factory.mktemp("explained"))
    made.finish()
    return made


@pytest.fixture
def write(reported, tmp_path):
    """Return a function that writes a report in which one number is explained as it stands."""

    def written(**others) -> Path:
        rows = reported.comparison.rows
        row = next(r for r in rows if (r.entry.row, r.entry.column.id) == ("uniform", "d0_0.accuracy"))
        known = {"cell": row.entry.cell.name, "mean": row.number.mean, "gap": -4.0, "effects": EFFECTS}
        reported.write(tmp_path, [explanation(NUMBER, **({"benchmark": "reported"} | known | others))])
        return tmp_path / "report"

    return written


def cell_of(reported: Reported):
    return next(c for c in reported.cells if (c.method, c.dataset) == ("uniform", "d0_0"))


@pytest.fixture
def cell_page(reported, write):
    """Return a function that writes the report and returns the page of the explained number's cell."""
    return lambda **others: parse((write(**others) / f"{page_name(cell_of(reported).name)}.html").read_text())


def effects(root: Element) -> list[list[str]]:
    """The rows of the table of effects."""
    (table,) = (table for table in root.all("table") if "Recovers" in table.text)
    return [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")[1:]]


def test_a_cells_page_shows_what_each_flip_recovers_strongest_first(cell_page):
    rows = effects(cell_page())
    assert [row[0] for row in rows] == [f"{name} before → after" for name in ("stronger", "weaker", EVIL)]
    # Ours is above the printed number: what lowers ours recovers, and so does its interval.
    strongest = rows[0]
    assert strongest[1:4] == ["+3.00", "+2.50 … +3.50", "-3.00"]
    assert rows[2][1:4] == ["-2.00", "-2.50 … -1.50", "+2.00"]
    assert strongest[5].startswith("3 ")
    assert "7" in strongest[5]


def test_an_effect_beyond_the_gap_is_not_shown_as_if_it_closed_it(cell_page):
    page = cell_page(effects=[effect("beyond", -9.0, recovered=9.0), effect("short", -3.0, recovered=3.0)])
    beyond, short = effects(page)
    assert beyond[1].startswith("+9.00 (")
    assert short[1] == "+3.00"


def test_what_is_not_known_is_listed_with_its_reason(cell_page):
    wanted = "unfinished: before → after: no pair of finished runs yet; seeds 0, 1 missing"
    assert wanted in cell_page().text


def test_the_number_and_the_overview_lead_to_the_explanation(write):
    folder = write()
    for name in ("index", "numbers"):
        links = [urllib.parse.unquote(e.get("href")) for e in parse((folder / f"{name}.html").read_text()).all("a")]
        (link,) = (link for link in links if "#explained" in link)
        file, _, part = link.partition("#")
        assert part in {e.get("id") for e in parse((folder / file).read_text())}


def test_an_explanation_that_was_written_before_anything_had_run_says_that_nothing_is_known(reported, write):
    folder = write(effects=[effect("unfinished", missing=[0, 1])], mean=None, std=None, n=0, gap=None)
    text = parse((folder / "index.html").read_text()).text
    assert "ours –, of other runs than those here): nothing is known yet." in text
    assert (
        "no pair of finished runs yet" in parse((folder / f"{page_name(cell_of(reported).name)}.html").read_text()).text
    )


def test_other_cells_and_a_report_without_explanations_show_nothing_of_them(reported, write, tmp_path):
    folder = write()
    for cell in reported.cells:
        text = (folder / f"{page_name(cell.name)}.html").read_text()
        assert ("stronger" in text) == (cell == cell_of(reported))
    reported.write(tmp_path / "without")
    assert not [path for path in (tmp_path / "without").rglob("*.html") if 'id="explained' in path.read_text()]


def notes(root: Element) -> list[str]:
    return [element.text for element in root.all("p") if element.get("class") == "note"]


def test_an_explanation_of_other_runs_says_so(cell_page):
    assert not notes(cell_page())
    assert "counterpoise explain made.table0.uniform.d0_0.accuracy --write" in notes(cell_page(mean=12.3, n=2))[0]


def test_an_explanation_of_a_cell_that_is_no_more_is_named_but_not_shown(reported, write):
    folder = write(cell="d0_0/cg_digits_conv4/uniform-published.000000000000")
    assert NUMBER in parse((folder / "index.html").read_text()).text
    assert "stronger" not in (folder / f"{page_name(cell_of(reported).name)}.html").read_text()


def test_without_a_gap_the_effects_stand_by_themselves(cell_page):
    root = cell_page(gap=None, effects=[effect("alone", 1.5, recovered=None)])
    (table,) = (table for table in root.all("table") if "alone" in table.text)
    assert "Recovers" not in table.text
    assert [td.text for td in table.all("td")][:2] == ["+1.00 … +2.00", "+1.50"]
