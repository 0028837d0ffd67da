"""The target ``chosen`` runs what ``counterpoise plan --budget`` chose, and refuses an outdated choice."""

from __future__ import annotations

import subprocess

import pytest
from big_project import BENCHMARK, BigProject
from miniature import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def big(tmp_path_factory, repository) -> BigProject:
    return BigProject.create(tmp_path_factory.mktemp("chosen") / "project", repository, 8, seeds=[0, 1])


def choose(big: BigProject, names: list[str]) -> None:
    (big.root / "results/plan").mkdir(parents=True, exist_ok=True)
    (big.root / "results/plan/chosen.txt").write_text("".join(f"{name}\n" for name in names))


def test_it_runs_the_chosen_cells_and_no_others(big, repository):
    choose(big, [cell.name for cell in big.plan().cells[:3]])
    jobs = Project(big.root, repository).planned_jobs("--configfile", BENCHMARK, "--", "chosen")
    assert (jobs["train"], jobs["evaluate"]) == (3, 3)
    assert "table" not in jobs  # a table needs all its cells


def test_a_cell_that_is_not_in_the_benchmark_any_more_is_named(big, repository):
    choose(big, ["gone/model/method-published.0123456789ab"])
    project = Project(big.root, repository)
    command = ["snakemake", "chosen", "--dry-run", "--cores", "1", "--configfile", BENCHMARK]
    run = {"cwd": big.root, "env": project.environment(), "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **run)
    assert done.returncode != 0
    assert "choose again" in done.stdout + done.stderr
