"""Twice the runs cost the workflow twice the work, not four times: calls are counted, nothing is timed."""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
from pathlib import Path

import pytest
from big_project import BENCHMARK, BigProject

pytestmark = pytest.mark.slow

DRY_RUN = ("--dry-run", "--quiet", "all", "--cores", "1", "--configfile", BENCHMARK)


def environment(repository: Path) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(repository / "src")}


def calls(folder: Path, repository: Path, cells: int, seeds: int) -> int:
    """How many function calls a dry run of so many untrained runs takes."""
    project = BigProject.create(folder, repository, cells, seeds=list(range(seeds)))
    profile = folder / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", profile, "-m", "snakemake", *DRY_RUN]
    subprocess.run(command, cwd=project.root, env=environment(repository), check=True, capture_output=True)
    return pstats.Stats(str(profile)).total_calls


def test_the_work_of_a_dry_run_grows_no_faster_than_the_runs(tmp_path, repository):
    smallest = calls(tmp_path / "smallest", repository, 8, 5)
    for what, sizes in {"cells": [(16, 5), (32, 5)], "seeds": [(8, 10), (8, 20)]}.items():
        more, most = (calls(tmp_path / f"{what} {number}", repository, *size) for number, size in enumerate(sizes))
        first, second = more - smallest, most - more  # what the next 1x, and the next 2x runs add
        assert second < 2.3 * first, f"calls: {smallest}, {more}, {most} by {what}"


def test_finding_twice_the_datasets_takes_twice_the_work(tmp_path, repository):
    """The workflow looks one up in every job that prepares data."""

    def work(datasets: int) -> int:
        plan = BigProject.create(tmp_path / str(datasets), repository, 8 * datasets, seeds=list(range(20))).plan()
        with cProfile.Profile() as profile:
            for data in plan.datasets:
                assert plan.dataset(data.directory.name) is data
        return pstats.Stats(profile).total_calls

    assert work(16) < 2.3 * work(8)


def test_five_hundred_seeds_take_as_many_rules_as_ten(tmp_path, repository):
    def rules(number: int) -> list[str]:
        project = BigProject.create(tmp_path / str(number), repository, 8, seeds=list(range(number)))
        command = ["snakemake", "--list-rules", "--quiet", "all", "--configfile", BENCHMARK]
        run = {"cwd": project.root, "env": environment(repository), "capture_output": True, "text": True}
        return subprocess.run(command, check=True, **run).stdout.splitlines()

    few, many = rules(10), rules(500)
    assert "train" in few
    assert many == few
