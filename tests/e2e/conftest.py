"""The miniature benchmark, run once through Snakemake for tests that look at it or change a copy of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import filelock
import pytest
from miniature import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    """The miniature benchmark after ``snakemake --cores 2``; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    home = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project = Project(home / "finished", repository)
    with filelock.FileLock(home / "finished.lock"):
        if not project.root.exists():
            project = Project.create(home / "finished", repository)
            code = project.run()
            assert code == 0, project.said()[-4000:]
    return project


@pytest.fixture
def copied(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished benchmark, as after a clone and ``dvc pull``: without Snakemake's notes."""
    root = tmp_path / "copied"
    shutil.copytree(finished.root, root, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    return Project(root, finished.checkout)
