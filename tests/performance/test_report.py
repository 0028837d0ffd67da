"""How long everything derived from three thousand runs takes to write, and its pages to open in a browser."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

import pytest
from browser import Browser, find_browser
from reported import Reported

pytestmark = pytest.mark.performance

TABLES, GROUPS, ROWS, SEEDS = 6, 10, 10, 5
RUNS = TABLES * GROUPS * ROWS * SEEDS

# From the start of the navigation until the page is laid out and its tables can be sorted.
OPENED = """new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"""
# What a reader waits for, in milliseconds from the same start: something to read, and the page's files.
PAINTED = """performance.getEntriesByName("first-contentful-paint")"""
TIMES = f"""({{
  first_paint: {PAINTED}[0].startTime,
  load: performance.getEntriesByType("navigation")[0].loadEventEnd,
}})"""
ROUNDS = 7


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Reported:
    sizes = {"tables": TABLES, "groups": GROUPS, "rows": ROWS, "seeds": SEEDS, "epochs": 100, "classes": 10}
    made = Reported(tmp_path_factory.mktemp("three_thousand"), **sizes)
    made.finish(watched=5)
    assert len(made.results.runs) == RUNS
    return made


@pytest.fixture(scope="module")
def folder(reported) -> Path:
    """The report's folder, written once."""
    reported.write(reported.root / "derived")
    return reported.root / "derived/report"


def test_writing_everything(benchmark, reported, tmp_path):
    start = time.process_time()
    benchmark.pedantic(lambda: reported.write(tmp_path / "derived"), rounds=1)
    benchmark.extra_info["processor_seconds"] = time.process_time() - start
    written = list((tmp_path / "derived").rglob("*.html"))
    benchmark.extra_info["megabytes"] = sum(page.stat().st_size for page in written) / 1e6
    assert len(written) > len(reported.cells)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "numbers", "cells", "tables/made.table0", "cell"])
def test_opening_a_page(benchmark, folder, tmp_path, name):
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium or Chrome on the search path; COUNTERPOISE_BROWSER can name one")
    page = min((folder / "cells").glob("*.html")) if name == "cell" else folder / f"{name}.html"
    with Browser(program, tmp_path) as browser:
        browser.show(1280)
        seen = []

        def opened() -> None:
            browser.open(page.as_uri())
            ready = browser.run(OPENED)
            browser.until(f"{PAINTED}.length > 0")
            seen.append({"ready": ready} | browser.run(TIMES))

        benchmark.pedantic(opened, rounds=ROUNDS)
        for name in seen[0]:
            benchmark.extra_info[f"milliseconds_until_{name}"] = median(found[name] for found in seen)
        benchmark.extra_info["load_of_the_machine"] = os.getloadavg()[0]
        benchmark.extra_info["processor_seconds_of_the_page"] = browser.busy()
        assert browser.complaints() == []
