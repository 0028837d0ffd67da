"""What a screen reader, a keyboard and a colour-blind reader need, checked on the pages' text."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from html_page import Element, parse
from reported import Reported

from counterpoise.judging.claims import ON_STAND_IN, Answer
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.words import CLAIM_MEANINGS, MEANINGS, SYMBOLS

TEXT = ("ink", "quiet", "link", "good", "fair", "bad", "odd", "mute")
LINES = ("s0", "s1", "s2", "s3", "s4", "s5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = Reported(tmp_path_factory.mktemp("accessible"), classes=20)
    made.finish()
    made.write(made.root / "derived")
    return made.root / "derived/report"


@pytest.fixture(scope="module")
def pages(folder) -> dict[str, Element]:
    return {path.relative_to(folder).as_posix(): parse(path.read_text()) for path in sorted(folder.rglob("*.html"))}


@pytest.fixture(scope="module")
def style(folder) -> str:
    return (folder / "static/report.css").read_text()


def named(element: Element) -> bool:
    return bool(element.get("aria-label") or element.get("aria-labelledby"))


def test_headings_start_at_one_and_skip_no_level(pages):
    for name, page in pages.items():
        levels = [int(heading.tag[1]) for heading in page.all("h1", "h2", "h3", "h4")]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), name


def test_every_page_says_its_language_title_and_landmarks(pages):
    titles = set()
    for name, page in pages.items():
        assert page.all("html")[0].get("lang") == "en", name
        titles.add(page.all("head")[0].all("title")[0].text)
        assert len(page.all("main")) == len(page.all("nav")) == 1, name
        skip = page.all("body")[0].all("a")[0]
        assert skip.get("href") == "#main"
        assert len([a for a in page.all("nav")[0].all("a") if a.get("aria-current") == "page"]) == 1, name
    assert len(titles) == len(pages)


def test_every_table_has_a_caption_and_scoped_headers(pages):
    for name, page in pages.items():
        for table in page.all("table"):
            assert table.all("caption"), name
            assert all(th.get("scope") in ("col", "row", "colgroup") for th in table.all("th")), name
            assert all(th.text for th in table.all("th")), name
            for row in table.all("tbody")[0].all("tr"):
                assert any(th.get("scope") == "row" for th in row.all("th")), name


def test_rows_of_a_table_have_as_many_cells_as_its_header(pages):
    for name, page in pages.items():
        for table in page.all("table"):
            head = table.all("thead")[0].all("tr")
            first = sum(int(cell.get("colspan") or 1) for cell in head[0].all("th", "td"))
            assert {len(row.all("th", "td")) for row in table.all("tbody")[0].all("tr")} == {first}, name


def test_every_chart_has_a_title_and_a_description_or_is_an_ornament(pages):
    for name, page in pages.items():
        for svg in page.all("svg"):
            if svg.get("aria-hidden") == "true":
                continue
            ids = {e.get("id"): e.text for e in svg if e.tag in ("title", "desc")}
            assert svg.get("role") == "img", name
            assert len(ids) == 2, name
            assert all(ids[wanted] for wanted in svg.get("aria-labelledby").split()), name
        assert all(image.get("alt") for image in page.all("img")), name


def test_every_chart_axis_has_a_label(pages):
    cell = next(page for name, page in pages.items() if name.startswith("cells/"))
    charts = [svg for svg in cell.all("svg") if svg.get("role") == "img" and any(g.get("class") == "axes" for g in svg)]
    assert charts
    for chart in charts:
        labels = [text.text for text in chart.all("text") if text.get("class") == "label"]
        assert len(labels) >= 2
        assert all(labels)


def test_what_scrolls_can_be_reached_and_has_a_name(pages):
    for name, page in pages.items():
        for element in page:
            if "scroll" in element.get("class").split() or element.tag == "pre":
                assert element.get("tabindex") == "0", name
                assert element.get("role") == "region", name
                assert named(element), name


def test_every_field_has_a_label_and_links_have_words(pages):
    for name, page in pages.items():
        labelled = {label.get("for") for label in page.all("label")}
        assert all(field.get("id") in labelled for field in page.all("input", "select")), name
        assert all(link.text or named(link) for link in page.all("a")), name


def test_a_verdict_is_always_a_symbol_and_a_word(pages):
    seen = 0
    for page in pages.values():
        for element in page:
            if "verdict" in element.get("class").split():
                seen += 1
                assert any(letter.isalpha() for letter in element.text)
                assert not element.text[0].isalpha()
    assert seen > 50
    assert {*MEANINGS, *CLAIM_MEANINGS} <= set(SYMBOLS)


def test_the_tiles_count_every_number_that_ran(pages):
    """A verdict that the tiles do not know would drop out of the counts."""
    tiles = [ul for ul in pages["index.html"].all("ul") if ul.get("class") == "counts"]
    assert sum(int(b.text) for ul in tiles for b in ul.all("b")) == len(pages["numbers.html"].all("tbody")[0].all("tr"))


def test_every_verdict_and_answer_has_a_meaning():
    assert {str(verdict) for verdict in Verdict} == set(MEANINGS)
    assert {*map(str, Answer), *ON_STAND_IN.values()} == set(CLAIM_MEANINGS)


def test_links_alone_are_underlined_and_no_link_is_not(style):
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/|@media[^{]*print.*", "", style, flags=re.S))
    for selector, body in rules:
        decoration = re.search(r"text-decoration: ([\w ]+)", body)
        if decoration and "underline" in decoration[1]:
            assert "a" in re.findall(r"[\w-]+", selector), selector
        assert not (decoration and decoration[1] == "none"), selector


def test_no_colour_or_size_is_set_in_the_pages_themselves(pages):
    for name, page in pages.items():
        assert not [e for e in page if e.get("style") or e.get("fill") or e.get("stroke") or e.tag == "style"], name


def palettes(style: str) -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    return {"light": found[0], "dark": found[0] | found[1]}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", TEXT)
def test_text_stands_out_from_both_grounds(style, mode, name):
    colours = palettes(style)[mode]
    assert contrast(colours[name], colours["paper"]) >= 4.5
    assert contrast(colours[name], colours["band"]) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", LINES)
def test_lines_of_charts_stand_out(style, mode, name):
    colours = palettes(style)[mode]
    assert contrast(colours[name], colours["paper"]) >= 3


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_counts_can_be_read_on_the_darkest_shade_of_a_confusion_matrix(style, mode):
    colours = palettes(style)[mode]
    assert contrast(colours["ink"], colours["heat"]) >= 4.5


def test_lines_differ_in_their_dashes_too(style):
    dashes = re.findall(r"\.s\d \{ stroke: var\(--s\d\);(?: stroke-dasharray: ([\d ]+);)? \}", style)
    assert len(dashes) == len(set(dashes)) == len(LINES)
