"""How long the report of three thousand runs takes to write, and its pages to open in a browser."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser import Browser, find_browser
from reported import ReportedProject

from counterpoise.reporting.report import write_report, write_single_file
from counterpoise.spec.plan import Plan

pytestmark = pytest.mark.performance

TABLES, GROUPS, ROWS, SEEDS = 6, 10, 10, 5
RUNS = TABLES * GROUPS * ROWS * SEEDS

# From the start of the navigation until the page is laid out and its tables can be sorted.
OPENED = """new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> ReportedProject:
    sizes = {"tables": TABLES, "groups": GROUPS, "rows": ROWS, "seeds": SEEDS, "epochs": 100, "classes": 10}
    project = ReportedProject(tmp_path_factory.mktemp("three_thousand"), repository, **sizes)
    project.finish(project.plan(), watched=5)
    return project


@pytest.fixture(scope="module")
def plan(project) -> Plan:
    return project.plan()


def test_writing_the_folder(benchmark, project, plan):
    start = time.process_time()
    path = benchmark.pedantic(lambda: write_report(plan, project.root), rounds=1)
    benchmark.extra_info["processor_seconds"] = time.process_time() - start
    found = list(path.parent.rglob("*.html"))
    benchmark.extra_info["megabytes"] = sum(page.stat().st_size for page in found) / 1e6
    assert len(plan.cells) * len(plan.seeds) == RUNS
    assert len(found) > len(plan.cells)


def test_writing_the_single_file(benchmark, project, plan):
    start = time.process_time()
    path = benchmark.pedantic(lambda: write_single_file(plan, project.root), rounds=1)
    benchmark.extra_info["processor_seconds"] = time.process_time() - start
    benchmark.extra_info["megabytes"] = path.stat().st_size / 1e6


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "numbers", "cells", "tables/made.table0", "cell", "single"])
def test_opening_a_page(benchmark, project, plan, tmp_path, name):
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium or Chrome on the search path; COUNTERPOISE_BROWSER can name one")
    page = _address(project, plan, name)
    with Browser(program, tmp_path) as browser:

        def opened() -> float:
            browser.open(page)
            return browser.run(OPENED)

        benchmark.extra_info["milliseconds_until_ready"] = benchmark.pedantic(opened, rounds=3)
        benchmark.extra_info["processor_seconds_of_the_page"] = browser.busy()
        assert browser.complaints() == []


def _address(project: ReportedProject, plan: Plan, name: str) -> str:
    home = project.root / "results"
    if name == "single":
        path = home / "report.html"
        return (path if path.is_file() else write_single_file(plan, project.root)).as_uri()
    if not (home / "report/index.html").is_file():
        write_report(plan, project.root)
    if name == "cell":
        return min((home / "report/cells").glob("*.html")).as_uri()
    return Path(home / f"report/{name}.html").as_uri()
