"""How long it takes to plan ten thousand runs, to say how far they are, and to look each of them up."""

from __future__ import annotations

import pytest
from big_project import BigProject

from counterpoise import identity
from counterpoise.planning.plan import Plan
from counterpoise.runs.status import FINISHED, run_statuses

pytestmark = pytest.mark.performance

SEEDS = 5
CELLS = 2000
RUNS = CELLS * SEEDS


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> BigProject:
    """A project of ten thousand runs, none of them trained."""
    root = tmp_path_factory.mktemp("big") / "project"
    return BigProject.create(root, repository, CELLS, seeds=list(range(SEEDS)))


@pytest.fixture(scope="module")
def planned(project) -> Plan:
    return project.plan()


def test_planning(benchmark, project):
    def plan() -> Plan:
        identity.source_digest.cache_clear()  # as in a process of its own
        identity._source.cache_clear()
        return project.plan()

    found = benchmark.pedantic(plan, rounds=3)
    assert len(found.cells) * len(found.seeds) == RUNS


def test_looking_every_cell_up(benchmark, planned):
    names = [cell.name for cell in planned.cells]
    assert len(benchmark(lambda: [planned.cell(name) for name in names])) == len(planned.cells)


def test_status_of_finished_runs(benchmark, project, planned):
    project.finish(planned)
    statuses = benchmark.pedantic(lambda: run_statuses(planned, project.root), rounds=3)
    assert sum(status.state in FINISHED for status in statuses) == RUNS
