"""The report in a real browser: no complaint, no request; sorting, filters, keyboard, axe."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import urllib.parse
from pathlib import Path

import pytest
from browser import Browser, find_browser
from explained import effect, explanation
from reported import Reported

pytestmark = pytest.mark.browser

AXE = "4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
SECTIONS = ("index", "tables", "numbers", "claims", "cells", "audit", "environment")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium or Chrome on the search path; COUNTERPOISE_BROWSER can name one")
    with Browser(program, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = Reported(tmp_path_factory.mktemp("browsed"))
    made.finish()
    made.fail(made.cells[1], 2, "a reason")
    cell = made.cells[0]
    effects = [effect("a longer factor", -3.0, recovered=3.0), effect("another")]
    name = f"made.table0.{cell.method}.d0_0.accuracy"
    made.write(made.root / "derived", [explanation(name, cell.name, "reported", gap=-4.0, effects=effects)])
    return made.root / "derived/report"


@pytest.fixture(scope="module")
def every(folder) -> list[str]:
    """All pages, as addresses of files."""
    return [path.as_uri() for path in sorted(folder.rglob("*.html"))]


def visible(browser: Browser, table: str) -> list[str]:
    """The row headers of a table's visible rows, from top to bottom, without what stands below a name."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => !row.hidden)"
    return browser.run(f"{rows}.map(row => row.querySelector('th').firstChild.textContent.trim())")


def column(browser: Browser, table: str, place: int) -> list[str]:
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => !row.hidden)"
    return browser.run(f"{rows}.map(row => row.cells[{place}].textContent.trim())")


def test_every_page_loads_without_a_complaint_and_asks_for_files_alone(browser, every):
    for page in every:
        browser.open(page)
        assert browser.complaints() == [], page
        asked = browser.requests()
        assert len(asked) >= 3  # the page, its style and its script
        assert all(address.startswith(("file:", "data:")) for address in asked), page


def test_two_rows_are_put_side_by_side_by_address_and_by_choice(browser, folder):
    page = (folder / "tables/made.table0.html").as_uri()
    browser.open(page)
    rows = browser.run("[...document.querySelectorAll('#pairs-a option')].map(option => option.value).filter(Boolean)")
    assert len(rows) > 2
    shown = "[...document.querySelectorAll('#pairs tbody tr')].filter(row => !row.hidden)"
    names = f"{shown}.map(row => [row.dataset.a, row.dataset.b].sort().join())"
    # whichever of the two is named first
    for a, b in ((rows[0], rows[1]), (rows[1], rows[0])):
        browser.open(f"{page}#{urllib.parse.urlencode({'a': a, 'b': b})}")
        assert set(browser.run(names)) == {",".join(sorted((a, b)))}
    choose = f"field => {{ field.value = {rows[2]!r}; field.dispatchEvent(new Event('input')); }}"
    browser.run(f"[document.getElementById('pairs-b')].forEach({choose})")
    assert set(browser.run(names)) == {",".join(sorted((rows[1], rows[2])))}
    assert urllib.parse.parse_qs(browser.run("location.hash.slice(1)")) == {"a": [rows[1]], "b": [rows[2]]}


def test_the_policy_stops_what_would_go_out(browser, every):
    browser.open(every[0])
    assert browser.run("fetch('http://127.0.0.1:9/').then(() => 'went out', () => 'stopped')") == "stopped"
    assert any("Content Security Policy" in said for said in browser.complaints())


def test_sorting_by_a_number_orders_both_ways_and_says_so(browser, folder):
    browser.open((folder / "numbers.html").as_uri())
    header = "[...document.querySelectorAll('#numbers-table th button')].find(b => b.textContent === 'Ours')"
    browser.run(f"{header}.click()")
    first = [float(text.split()[0]) for text in column(browser, "numbers-table", 3) if text != "–"]
    assert first == sorted(first, reverse=True)
    assert browser.run(f"{header}.closest('th').getAttribute('aria-sort')") == "descending"
    browser.run(f"{header}.click()")
    shown = column(browser, "numbers-table", 3)
    again = [float(text.split()[0]) for text in shown if text != "–"]
    assert again == first[::-1]
    assert len(set(again)) > 1


def test_a_table_in_the_papers_layout_sorts_by_the_column_below_its_heading(browser, folder):
    browser.open((folder / "tables/made.table0.html").as_uri())
    before = visible(browser, "layout")
    buttons = "[...document.querySelectorAll('#layout thead tr:last-child th button')]"
    browser.run(f"{buttons}[3].click()")
    values = [float(text.split()[0]) for text in column(browser, "layout", 4)]
    assert values == sorted(values, reverse=True)
    assert sorted(visible(browser, "layout")) == sorted(before)


def test_filtering_by_text_and_verdict_hides_the_other_rows_and_counts(browser, folder):
    browser.open((folder / "numbers.html").as_uri())
    total = len(visible(browser, "numbers-table"))
    browser.run(
        "(() => { const f = document.getElementById('numbers-table-text'); f.value = 'uniform acc';"
        " f.dispatchEvent(new Event('input')); })()"
    )
    rows = visible(browser, "numbers-table")
    assert 0 < len(rows) < total
    assert set(rows) == {"uniform"}
    assert browser.run("document.querySelector('.filters output').textContent") == f"{len(rows)} of {total} rows"
    browser.run("document.querySelector('.filters button').click()")
    browser.until(f"document.querySelector('.filters output').textContent === '{total} of {total} rows'")


def choose(browser: Browser, field: str, value: str) -> None:
    browser.run(
        f"(() => {{ const f = document.getElementById('{field}'); f.value = '{value}';"
        " f.dispatchEvent(new Event('input')); })()"
    )


def test_a_search_does_not_match_the_names_of_tables(browser, folder):
    browser.open((folder / "numbers.html").as_uri())
    choose(browser, "numbers-table-text", "table 0")
    assert visible(browser, "numbers-table") == []


def test_filters_and_order_stand_in_the_address_and_come_back_with_it(browser, folder):
    browser.open((folder / "numbers.html").as_uri())
    total = len(visible(browser, "numbers-table"))
    choose(browser, "numbers-table-method", "joint")
    choose(browser, "numbers-table-verdict", "stand-in")
    browser.run("[...document.querySelectorAll('#numbers-table th button')][3].click()")
    rows, address = visible(browser, "numbers-table"), browser.run("location.href")
    values = column(browser, "numbers-table", 3)
    assert 0 < len(rows) < total
    assert set(rows) == {"joint"}
    browser.open(address)
    assert visible(browser, "numbers-table") == rows
    assert column(browser, "numbers-table", 3) == values
    assert browser.run("document.getElementById('numbers-table-verdict').value") == "stand-in"
    browser.run("document.querySelector('.filters button').click()")
    browser.until(f"document.querySelector('.filters output').textContent === '{total} of {total} rows'")
    assert "verdict" not in browser.run("location.hash")


def test_a_link_to_a_number_shows_it(browser, folder):
    browser.open((folder / "numbers.html").as_uri())
    address = browser.run("[...document.querySelectorAll('.permalink')].at(-1).href")
    browser.open(address)
    row = "document.querySelector('tr:target')"
    browser.until(f"{row} && {row}.getBoundingClientRect().top < innerHeight")
    assert browser.run(f"{row}.hidden") is False


def test_a_count_on_the_overview_leads_to_its_numbers(browser, folder):
    browser.open((folder / "index.html").as_uri())
    link = "[...document.querySelectorAll('.counts a')].find(a => a.textContent.includes('stand-in'))"
    wanted = int(browser.run(f"parseInt({link}.textContent)"))
    address = browser.run(f"{link}.href")
    browser.open(address)
    assert len(visible(browser, "numbers-table")) == wanted
    assert {text.split("not ")[0].strip() for text in column(browser, "numbers-table", 1)} == {"○ stand-in"}


RIGHT = "Math.round(document.querySelector('{}').getBoundingClientRect().right)"


def test_the_reason_is_on_the_screen_at_1400_pixels_and_the_verdict_at_390(browser, folder):
    page = (folder / "numbers.html").as_uri()
    for width, seen in (
        (1400, "#numbers-table .why"),
        (1400, "#numbers-table td:last-child"),
        (390, "#numbers-table .why"),
    ):
        browser.show(width)
        browser.open(page)
        assert browser.run(RIGHT.format(seen)) <= width, (width, seen)
    assert browser.run("document.querySelector('#numbers-table td').dataset.label") == "Verdict and why"
    browser.open((folder / "tables/made.table0.html").as_uri())
    rights = browser.run("[...document.querySelectorAll('#layout .verdict')].map(v => v.getBoundingClientRect().right)")
    assert max(rights) <= 390
    browser.show(1280)


LONG = "for (const cell of document.querySelectorAll('{} tbody :is(th, td)')) {{ if (!cell.matches('.n')) {{ {} }} }}"
WIDER = "(box => box.scrollWidth - box.clientWidth)(document.getElementById('{}').closest('.scroll'))"


def test_the_verdict_on_two_rows_is_on_the_screen_however_long_their_names_are(browser, folder):
    said = "cell.innerHTML = 'Conventional Pareto (Sener & Koltun, 2018)'"
    place = "[...document.querySelectorAll('#pairs thead th')].findIndex(th => th.textContent === 'Verdict')"
    for width in (390, 700, 1000, 1400):
        browser.show(width)
        browser.open((folder / "tables/made.table0.html").as_uri())
        verdict = browser.run(place)
        browser.run(LONG.format("#pairs", said))
        right = f"document.querySelector('#pairs tbody tr').cells[{verdict}].getBoundingClientRect().right"
        assert browser.run(right) <= width, width
        assert width in (390, 700) or browser.run(WIDER.format("pairs")) <= 0, width
    browser.show(1280)


def test_no_column_of_the_cells_is_cut_at_1000_pixels(browser, folder):
    browser.show(1000)
    browser.open((folder / "cells.html").as_uri())
    browser.run(LONG.format("#cells-table", "cell.innerHTML = 'cg_digits_conv4'"))
    browser.run(
        "document.querySelectorAll('#cells-table td:last-child').forEach(cell => cell.innerHTML = '−0.35 ± 0.35')"
    )
    assert browser.run(WIDER.format("cells-table")) <= 0
    browser.show(1280)


def test_a_chart_fits_a_telephone(browser, folder):
    browser.show(390)
    browser.open((folder / "tables/made.table0.html").as_uri())
    rights = browser.run("[...document.querySelectorAll('.chart svg')].map(c => c.getBoundingClientRect().right)")
    assert rights
    assert max(rights) <= 390
    browser.show(1280)


def test_everything_works_with_the_keyboard(browser, folder):
    browser.open((folder / "numbers.html").as_uri())
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to content"
    for _ in range(60):
        browser.press("Tab")
        if browser.run("document.activeElement.textContent === 'Ours'"):
            break
    outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.press("Enter")
    assert browser.run("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_the_window(browser, every, width):
    browser.show(width)
    for page in every:
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= width, page
    browser.show(1280)


def test_dark_mode_changes_the_ground(browser, every):
    grounds = set()
    for dark in (False, True):
        browser.show(1280, dark=dark)
        browser.open(every[0])
        grounds.add(browser.run("getComputedStyle(document.body).backgroundColor"))
    browser.show(1280)
    assert len(grounds) == 2


EXPLANATION = "Math.round(document.querySelector('[id^=explained-]').getBoundingClientRect().top)"
IN_VIEW = f"scrollY > 0 && {EXPLANATION} >= 0 && {EXPLANATION} < innerHeight"


def test_an_explanation_is_in_view_when_its_link_is_followed(browser, folder):
    browser.open((folder / "index.html").as_uri())
    browser.open(browser.run("[...document.querySelectorAll('a')].find(a => a.href.includes('explained-')).href"))
    browser.until(IN_VIEW)


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> str:
    """The address of a page whose table has more rows than are painted at first."""
    made = Reported(tmp_path_factory.mktemp("long"), tables=2, groups=5, rows=10, seeds=1, epochs=2)
    made.finish()
    made.write(made.root / "derived")
    return (made.root / "derived/report/numbers.html").as_uri()


ON_SCREEN = "[...document.querySelectorAll('#numbers-table tbody tr')].filter(r => r.getClientRects().length).length"


def open_as_first_painted(browser: Browser, page: str) -> None:
    """Open a page and put its long table back to the state in which it was painted first."""
    browser.open(page)
    browser.until(f"{ON_SCREEN} === 200")
    browser.run("document.querySelectorAll('#numbers-table tbody')[1].classList.add('later')")
    assert browser.run(ON_SCREEN) == 100


def test_every_row_of_a_long_table_is_shown_without_doing_anything(browser, long):
    browser.open(long)
    browser.until(f"{ON_SCREEN} === 200")
    assert len(visible(browser, "numbers-table")) == 200
    assert browser.complaints() == []


def test_sorting_and_filtering_take_in_the_rows_that_are_not_painted_yet(browser, long):
    for act in (
        "document.querySelector('#numbers-table th button').click()",
        "(() => { const f = document.getElementById('numbers-table-text'); f.value = 'agm';"
        " f.dispatchEvent(new Event('input')); })()",
    ):
        open_as_first_painted(browser, long)
        browser.run(act)
        assert browser.run(ON_SCREEN) == len(visible(browser, "numbers-table"))
    assert len(visible(browser, "numbers-table")) == 20


def test_without_scripts_and_on_paper_every_row_is_there(browser, long):
    open_as_first_painted(browser, long)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(ON_SCREEN) == 200
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(long)
        assert browser.run(ON_SCREEN) == 200
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.fixture(scope="module")
def axe(repository, tmp_path_factory) -> str:
    """The source of axe-core: a copy at hand, or the package, if npm can get it."""
    at_hand = Path(os.environ.get("COUNTERPOISE_AXE") or repository / "node_modules/axe-core/axe.min.js")
    if at_hand.is_file():
        return at_hand.read_text()
    if shutil.which("npm") is None:
        pytest.skip("no axe-core: neither COUNTERPOISE_AXE, nor node_modules, nor npm")
    home = tmp_path_factory.mktemp("axe")
    try:
        command = ["npm", "pack", "--silent", f"axe-core@{AXE}"]
        subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"no axe-core: npm does not get it ({type(error).__name__})")
    with tarfile.open(home / f"axe-core-{AXE}.tgz") as archive:
        content = archive.extractfile("package/axe.min.js")
        assert content is not None
        data = content.read()
    assert hashlib.sha256(data).hexdigest() == AXE_SHA256
    return data.decode()


def text_of(page: str) -> str:
    """The text of a page, by its address."""
    return Path(urllib.parse.unquote(urllib.parse.urlparse(page).path)).read_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_violation(browser, folder, every, axe, dark):
    told = "v => v.id + ': ' + v.nodes.map(n => n.html).slice(0, 3).join(' | ')"
    browser.show(1280, dark=dark)
    cell = next(page for page in every if "/cells/" in page and "explained-" in text_of(page))
    for page in [*((folder / f"{name}.html").as_uri() for name in (*SECTIONS, "tables/made.table0")), cell]:
        browser.open(page)
        browser.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        browser.run(axe + "; 0")
        found = browser.run(f"axe.run().then(found => found.violations.map({told}))")
        assert found == [], page
    browser.show(1280)
