"""The records in ``results/published`` verify from what is in Git alone, and fit its budget."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from counterpoise.publication.publish import BUDGET
from counterpoise.publication.verify import verify

HOME = "results/published"


@pytest.fixture(scope="module")
def in_git(repository: Path) -> list[Path]:
    """The files below ``results/published`` that Git has."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--", HOME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{repository} is no Git checkout")
    return [repository / name for name in done.stdout.split("\0") if name]


def test_every_record_in_git_is_recomputed_run_by_run(in_git, repository):
    manifests = [path for path in in_git if path.name == "manifest.json"]
    if not manifests:
        pytest.skip(f"Git has no record below {HOME}")
    for path in manifests:
        done = verify(path.parent)
        assert list(map(str, done.differences)) == []
        if not any("not in the record" in note for note in done.notes):
            assert done.recomputed == done.runs
        missing = {path for path in path.parent.rglob("*") if path.is_file()} - set(in_git)
        assert not missing


def test_all_records_together_fit_the_budget(in_git):
    assert sum(path.stat().st_size for path in in_git) <= BUDGET
