"""What is there stays right whatever time it is said to be from: clocks jump, and copies have their own."""

from __future__ import annotations

import os

import pytest
from big_project import BENCHMARK, BigProject
from miniature import Project

pytestmark = pytest.mark.slow

LONG_AGO, TO_COME = 0.0, 4e9


@pytest.fixture(scope="module")
def finished(tmp_path_factory, repository) -> BigProject:
    """A project with a file wherever finished runs and prepared data have one."""
    project = BigProject.create(tmp_path_factory.mktemp("clock") / "project", repository, 8, seeds=[0, 1])
    project.finish(project.plan())
    return project


@pytest.mark.parametrize(
    ("runs", "data"), [(LONG_AGO, TO_COME), (TO_COME, LONG_AGO)], ids=["data to come", "runs to come"]
)
def test_a_clock_that_jumps_trains_nothing_again(finished, repository, runs, data):
    for folder, when in (("results/runs", runs), ("data", data)):
        for path in (finished.root / folder).rglob("*"):
            os.utime(path, (when, when))
    jobs = Project(finished.root, repository).planned_jobs("--configfile", BENCHMARK)
    assert jobs["report"] == 1  # it does plan what is not there
    assert not set(jobs) & {"fetch", "prepare", "train"}
