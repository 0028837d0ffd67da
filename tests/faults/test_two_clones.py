"""Two clones of the project work on one folder of results at once, as two people of a group do."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniature import Project


@pytest.mark.slow
def test_two_clones_that_share_their_results_train_each_run_once(
    tmp_path: Path, repository: Path, undisturbed: dict[str, str]
):
    clones = [Project.create(tmp_path / name, repository) for name in ("one", "other")]
    for folder in ("data", "results", "work"):
        (tmp_path / "group" / folder).mkdir(parents=True)
        for clone in clones:
            (clone.root / folder).symlink_to(tmp_path / "group" / folder)
    workflows = [clone.start() for clone in clones]
    codes = [workflow.wait(clone.deadline) for workflow, clone in zip(workflows, clones, strict=True)]
    assert codes == [0, 0], "\n".join(clone.said()[-3000:] for clone in clones)
    for clone in clones:
        assert clone.artifacts() == undisturbed
        assert not clone.planned_jobs("--configfile", clone.benchmark)
    # Logs are each clone's own: a run that both wanted was trained by one, and the other waited and took it as it was.
    logs = [path.read_text() for clone in clones for path in clone.root.glob("logs/train/**/*.log")]
    assert sum("epoch 3/3" in log or "epoch 2/2" in log for log in logs) == 8
