"""Ten thousand runs through the workflow and the command line: seconds, and the most memory of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from big_project import BENCHMARK, BigProject

pytestmark = pytest.mark.performance

# Cells and seeds of ten thousand runs, a job each.
SHAPES = {"2000 cells x 5 seeds": (2000, 5), "10000 cells x 1 seed": (10000, 1), "16 cells x 625 seeds": (16, 625)}
WORKFLOW = ("snakemake", "--cores", "2", "--configfile", BENCHMARK)


@pytest.fixture(scope="module", params=SHAPES.values(), ids=list(SHAPES))
def project(request, tmp_path_factory, repository) -> BigProject:
    """A project of ten thousand runs, none of them trained."""
    cells, seeds = request.param
    root = tmp_path_factory.mktemp("big") / "project"
    return BigProject.create(root, repository, cells, seeds=list(range(seeds)))


@pytest.fixture
def run(project, repository) -> Callable[..., int]:
    """Runs a command in the project and returns the most memory, in bytes, that its process had."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(repository / "src")}

    def run(*command: str) -> int:
        with (project.root / "said").open("wb") as said:
            process = subprocess.Popen(
                command, cwd=project.root, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            _, status, usage = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, (project.root / "said").read_text()[-3000:]
        return usage.ru_maxrss * 1024

    return run


def measure(benchmark, run, *command: str) -> None:
    benchmark.extra_info["peak_memory_bytes"] = benchmark.pedantic(run, args=command, rounds=1)


def test_reading_the_rules_and_planning_every_job(benchmark, run):
    measure(benchmark, run, *WORKFLOW, "--dry-run", "--quiet", "all")


@pytest.mark.parametrize("command", ["plan", "status"])
def test_what_the_command_line_says_of_runs_to_do(benchmark, run, command):
    measure(benchmark, run, "counterpoise", command, "--benchmark", BENCHMARK)


@pytest.fixture
def trained(project: BigProject) -> BigProject:
    """The project with a file wherever a finished run has one."""
    if not (project.root / "results/runs").exists():
        project.finish(project.plan())
    return project


@pytest.mark.parametrize("command", ["plan", "status"])
def test_what_the_command_line_says_of_finished_runs(benchmark, run, trained, command):
    measure(benchmark, run, "counterpoise", command, "--benchmark", BENCHMARK)


def test_the_workflow_with_nothing_to_do(benchmark, run, trained):
    measure(benchmark, run, *WORKFLOW, "--", "runs_all")
    assert "Nothing to be done" in (trained.root / "said").read_text()
