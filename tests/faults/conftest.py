"""The miniature benchmark, undisturbed, to compare with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import filelock
import pytest
from miniature import Project


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, str]:
    """The artifacts of the miniature benchmark when nothing happens to it, made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    home = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = home / "undisturbed.json"
    with filelock.FileLock(f"{found}.lock"):
        if not found.exists():
            project = Project.create(home / "undisturbed", repository)
            assert project.run() == 0, project.said()[-4000:]
            found.write_text(json.dumps(project.artifacts()))
    return json.loads(found.read_text())


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    """A folder of its own with the miniature benchmark in it."""
    return Project.create(tmp_path / "project", repository)
