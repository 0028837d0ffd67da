"""Where there is room for one fold at a time, folds run after each other, and the results are those of all at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from miniature import BENCHMARK, TABLES, Project


def two_folds(root: Path, repository: Path) -> Project:
    """A benchmark of one cell whose two seeds run on different folds of data with groups."""
    column = {"dataset": "cg_digits", "folds": ["other_fold"], "model": "cg_digits_tiny", "protocol": "tiny"}
    table = {**TABLES[0], "columns": {"cg_mnist": column}, "rows": ["Uniform baseline"]}
    project = Project.create(root, repository, tables=[table])
    fold = yaml.safe_load((project.root / "configs/datasets/cg_digits.yaml").read_text())
    project.write("configs/datasets/other_fold.yaml", {**fold, "settings": {**fold["settings"], "variance": 0.05}})
    return project


def prepared(project: Project) -> list[Path]:
    return [path.parent for path in project.root.glob("data/prepared/*/manifest.json")]


def results(project: Project) -> dict[str, str]:
    return {path: found for path, found in project.artifacts().items() if path.startswith("results/")}


@pytest.mark.slow
def test_folds_that_run_after_each_other_give_what_all_at_once_give(tmp_path, repository):
    at_once = two_folds(tmp_path / "at_once", repository)
    assert at_once.run() == 0, at_once.said()[-4000:]
    in_turn = two_folds(tmp_path / "in_turn", repository)
    for seed in (0, 1):
        assert in_turn.run("--config", f"seeds=[{seed}]") == 0, in_turn.said()[-4000:]
        (fold,) = prepared(in_turn)
        shutil.rmtree(fold)
    assert in_turn.run() == 0, in_turn.said()[-4000:]
    assert not prepared(in_turn), "arrays are made for runs, and all runs were there"
    assert results(in_turn) == results(at_once)
    assert not in_turn.planned_jobs("--configfile", BENCHMARK)
