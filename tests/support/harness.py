"""Fixtures: the miniature benchmark, and what comes of it undisturbed. Import them where they are needed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest
from miniature import NAME, Project


@pytest.fixture(scope="session")
def undisturbed_home(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A project where the miniature benchmark ran and nothing happened to it, one for all test processes."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    with filelock.FileLock(f"{home}.lock"):
        if not (home / "artifacts.json").exists():
            project = Project.create(home, repository)
            assert project.run() == 0, project.said()[-4000:]
            (home / "artifacts.json").write_text(json.dumps(project.artifacts()))
    return home


@pytest.fixture(scope="session")
def undisturbed(undisturbed_home: Path) -> dict[str, str]:
    """The artifacts of that project."""
    return json.loads((undisturbed_home / "artifacts.json").read_text())


@pytest.fixture(scope="session")
def finished(undisturbed_home: Path, repository: Path) -> Project:
    """That project itself, after ``snakemake --cores 2``; not to be changed."""
    return Project(undisturbed_home, repository)


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    """A folder of its own with the miniature benchmark in it."""
    return Project.create(tmp_path / "project", repository)


@pytest.fixture
def still_to_do(finished: Project, tmp_path: Path) -> Callable[..., Project]:
    """Make a copy of the finished benchmark in which the runs of some methods, and all results, are still to do.

    Its prepared data is a link to the finished benchmark's: nothing that uses this may change it.
    """

    def make(*methods: str, root: Path | None = None) -> Project:
        made = Project.create(root or tmp_path / "project", finished.checkout)
        (made.root / "data").symlink_to(finished.root / "data")
        shutil.copytree(finished.root / "results/runs", made.root / "results/runs")
        # A report names the logs of its runs, so they are part of what two results have in common.
        shutil.copytree(finished.root / "logs", made.root / "logs")
        for method in methods:
            (cell,) = (made.root / "results/runs").glob(f"*/*/{method}-*")
            shutil.rmtree(cell)
        assert not (made.root / "results" / NAME).exists()
        return made

    return make
