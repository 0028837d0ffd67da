"""Results are written of the runs, whatever lies in their place."""

from __future__ import annotations

import json
from pathlib import Path

from small_project import SmallProject
from times import without_times

from counterpoise.cli.derive import write_benchmark
from counterpoise.results.basis import read_basis, write_basis


def test_results_of_another_version_are_made_anew(tmp_path: Path, repository: Path, capsys):
    project = SmallProject(tmp_path, repository)
    plan = project.plan()
    for cell in plan.cells:
        for seed in plan.seeds:
            project.run(cell, seed)
    assert write_benchmark(plan, tmp_path) == []
    folder = tmp_path / "results/small"
    written = {path: without_times(path) for path in folder.rglob("*") if path.is_file() and path.name != "basis.json"}
    runs = folder / "runs.json"
    runs.write_text(json.dumps(json.loads(runs.read_text()) | {"schema": 1}))
    write_basis(folder, read_basis(folder))
    assert capsys.readouterr().err == ""

    assert write_benchmark(plan, tmp_path) == []
    assert "runs.json: 'schema' is 1, must be 2" in capsys.readouterr().err
    assert {path: without_times(path) for path in written} == written
