"""The records in ``results/published`` that Git holds verify from what is in Git alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from counterpoise.publication.publish import LIMIT
from counterpoise.publication.verify import verify_published

HOME = "results/published"


@pytest.fixture(scope="module")
def committed(repository: Path) -> list[Path]:
    """The folders of the records that Git holds."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--", f"{HOME}/*/plan.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{repository} is no Git checkout")
    found = [repository / Path(name).parent for name in done.stdout.split("\0") if name]
    if not found:
        pytest.skip(f"Git holds no record below {HOME}")
    return found


def test_every_record_in_git_verifies(committed):
    wrong = [f"{d}" for folder in committed for d in verify_published(folder).differences]
    assert wrong == []


def test_every_record_in_git_is_whole_and_small(committed, repository):
    for folder in committed:
        command = ["git", "-C", str(repository), "ls-files", "-z", "--", str(folder)]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        sizes = [(repository / name).stat().st_size for name in names if name]
        assert sum(sizes) < LIMIT + 100_000, folder
        assert f"{folder.relative_to(repository)}/manifest.json" in names
        assert f"{folder.relative_to(repository)}/README.md" in names
