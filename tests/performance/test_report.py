"""How long the report of three thousand runs takes to write, and its pages to open in a browser."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

import pytest
from browser import Browser, find_browser
from reported import ReportedProject

from counterpoise.planning.plan import Plan
from counterpoise.reporting.report import write_report, write_single_file

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
        browser.show(1280)
        seen = []

        def opened() -> None:
            browser.open(page)
            ready = browser.run(OPENED)
            browser.until(f"{PAINTED}.length > 0")
            seen.append({"ready": ready} | browser.run(TIMES))

        benchmark.pedantic(opened, rounds=ROUNDS)
        for name in seen[0]:
            benchmark.extra_info[f"milliseconds_until_{name}"] = median(found[name] for found in seen)
        benchmark.extra_info["load_of_the_machine"] = os.getloadavg()[0]
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
