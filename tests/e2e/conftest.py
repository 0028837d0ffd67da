"""The miniature benchmark, run once through Snakemake for tests that look at it or change a copy of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import finished, undisturbed_home
from miniature import Project

__all__ = ["finished", "undisturbed_home"]


@pytest.fixture
def copied(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished benchmark, as after a clone and ``dvc pull``: without Snakemake's notes."""
    root = tmp_path / "copied"
    shutil.copytree(finished.root, root, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    return Project(root, finished.checkout)
