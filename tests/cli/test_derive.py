"""Results are written of the runs, whatever lies in their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_project import SmallProject
from times import without_times

from counterpoise.cli.derive import write_benchmark
from counterpoise.planning.plan import Plan
from counterpoise.results.basis import read_basis, write_basis
from counterpoise.runs import collect


@pytest.fixture
def plan(tmp_path: Path, repository: Path) -> Plan:
    """A project all of whose runs are finished, and its results written."""
    project = SmallProject(tmp_path, repository)
    plan = project.plan()
    for cell in plan.cells:
        for seed in plan.seeds:
            project.run(cell, seed)
    assert write_benchmark(plan, tmp_path) == []
    return plan


def test_results_of_another_version_are_made_anew(plan: Plan, tmp_path: Path, capsys):
    folder = tmp_path / "results/small"
    written = {path: without_times(path) for path in folder.rglob("*") if path.is_file() and path.name != "basis.json"}
    runs = folder / "runs.json"
    runs.write_text(json.dumps(json.loads(runs.read_text()) | {"schema": 1}))
    write_basis(folder, read_basis(folder))
    assert capsys.readouterr().err == ""

    assert write_benchmark(plan, tmp_path) == []
    assert "runs.json: 'schema' is 1, must be 2" in capsys.readouterr().err
    assert {path: without_times(path) for path in written} == written


def test_values_are_taken_over_from_results_that_a_killed_writer_had_moved_aside(plan: Plan, tmp_path, monkeypatch):
    folder = tmp_path / "results/small"
    aside = tmp_path / "results/.small.another-machine-7-1.old.abcdefgh"
    aside.mkdir()
    folder.rename(aside / "small")
    monkeypatch.setattr(collect, "measure_files", lambda *_, **__: pytest.fail("computed anew"))
    assert write_benchmark(plan, tmp_path) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == ["runs", "small"]
