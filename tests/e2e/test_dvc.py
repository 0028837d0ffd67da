"""DVC around the workflow: the same bytes by `dvc repro`, and a round trip through a remote."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from miniature import BENCHMARK, Project

pytestmark = pytest.mark.slow


def call(project: Project, *command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder or project.root, env=project.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def recorded(tmp_path: Path, repository: Path) -> Project:
    """The miniature benchmark as a Git repository with DVC, before anything has run."""
    project = Project.create(tmp_path / "recorded", repository)
    for name in (".gitignore", ".dvcignore", "dvc.yaml"):
        shutil.copy(repository / name, project.root)
    shutil.copytree(repository / ".dvc", project.root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    (project.root / "src").mkdir()
    (project.root / "src/README").write_text("the package is installed\n")
    # DVC calls Snakemake with the default benchmark: make the miniature the default one.
    shutil.copy(project.root / BENCHMARK, project.root / "configs/benchmarks/digits.yaml")
    call(project, "git", "init", "-q", "-b", "main")
    call(project, "git", "config", "user.email", "someone@example.org")
    call(project, "git", "config", "user.name", "Someone")
    call(project, "git", "add", "-A")
    call(project, "git", "commit", "-qm", "A benchmark")
    return project


def test_dvc_gives_what_snakemake_gives_and_carries_it_through_a_remote(recorded, finished, tmp_path):
    call(recorded, "dvc", "repro")
    mine, theirs = recorded.artifacts(), finished.artifacts()
    same = [path for path in theirs if path.startswith(("results/runs", "data/prepared"))]
    assert same
    assert {path: mine.get(path) for path in same} == {path: theirs[path] for path in same}

    shown = json.loads(call(recorded, "dvc", "metrics", "show", "--json"))
    assert "results/summary.json" in json.dumps(shown)

    call(recorded, "git", "add", "-A")
    call(recorded, "git", "commit", "-qm", "Results")
    call(recorded, "dvc", "remote", "add", "-d", "local", str(tmp_path / "remote"))
    call(recorded, "dvc", "push")
    clone = tmp_path / "clone"
    call(recorded, "git", "clone", "-q", str(recorded.root), str(clone))
    call(recorded, "dvc", "remote", "add", "-d", "local", str(tmp_path / "remote"), folder=clone)
    call(recorded, "dvc", "pull", folder=clone)
    pulled = Project(clone, recorded.checkout).artifacts()
    assert pulled == mine

    # What depends on the order in which files arrived (tables, report) may be written again.
    assert not set(Project(clone, recorded.checkout).planned_jobs()) & {"fetch", "prepare", "train", "evaluate"}
