"""Two clones of the project work on one folder of results at once, as two people of a group do."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniature import Project


@pytest.mark.slow_full
def test_two_clones_that_share_their_results_share_the_work(
    tmp_path: Path, repository: Path, undisturbed: dict[str, str]
):
    clones = [Project.create(tmp_path / name, repository) for name in ("one", "other")]
    for folder in ("data", "results", "work"):
        (tmp_path / "group" / folder).mkdir(parents=True)
        for clone in clones:
            (clone.root / folder).symlink_to(tmp_path / "group" / folder)
    workflows = [clone.start() for clone in clones]
    for workflow, clone in zip(workflows, clones, strict=True):
        # Snakemake removes what its job is to make, the other clone's too, until the job has put it back: a report just
        # then lacks a run, and the same command mends it.
        assert workflow.wait(clone.deadline) == 0 or clone.run() == 0, clone.said()[-6000:]
    for clone in clones:
        assert clone.run() == 0, clone.said()[-6000:]
        assert clone.artifacts() == undisturbed
    # Logs are each clone's own: who came second to a run waited and took it as it was.
    logs = [path.read_text() for clone in clones for path in clone.root.glob("logs/train/**/*.log")]
    waited = [log for log in logs if "another process trains this run" in log]
    assert waited
    assert not [log for log in waited if "epoch 1/" in log]
