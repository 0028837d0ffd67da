"""Fixtures: the miniature benchmark, and what comes of it undisturbed. Import them where they are needed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import filelock
import pytest
from miniature import Project


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


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    """A folder of its own with the miniature benchmark in it."""
    return Project.create(tmp_path / "project", repository)
