"""A small benchmark with finished runs, its results, and its record, published once; tests change copies of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_project import SmallProject

from counterpoise.files import sha256_file
from counterpoise.judging.compare import judge
from counterpoise.publication.publish import publish
from counterpoise.reporting.write import write_derived
from counterpoise.results.table import Results, write_results
from counterpoise.runs.collect import collect

CORRECT = {"joint": 11, "uniform": 13, "mmpareto": 15}


def give_runs(project: SmallProject, shift: int = 0) -> None:
    """Give every planned run predictions of which more are right with another seed."""
    plan = project.plan()
    for cell in plan.cells:
        for seed in plan.seeds:
            command = "counterpoise train x --set 'mirror=/somewhere/here' --root /home/someone"
            project.run(cell, seed, CORRECT[cell.method] + seed + shift, command=command)


def derive_results(project: SmallProject, name: str = "small") -> Results:
    """Write ``results/<name>`` from the runs that are there."""
    plan, folder = project.plan(), project.root / "results" / name
    shutil.rmtree(folder, ignore_errors=True)
    results = collect(plan, project.root)
    write_results(results, folder)
    comparisons = [judge(paper, results) for paper in plan.papers.values()]
    assert write_derived(folder, results, comparisons) == []
    return results


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> SmallProject:
    """The project with its finished runs, its results and its record; not to be changed."""
    project = SmallProject(tmp_path_factory.mktemp("published") / "project", repository)
    give_runs(project)
    derive_results(project)
    publish(project.root, "small")
    return project


@pytest.fixture
def finish() -> Callable[..., None]:
    """Give a project's runs predictions, as :func:`give_runs`."""
    return give_runs


@pytest.fixture
def derive() -> Callable[..., Results]:
    """Write a project's results, as :func:`derive_results`."""
    return derive_results


@pytest.fixture
def record(once: SmallProject, tmp_path: Path) -> Path:
    """A copy of the record, alone: no configurations, no runs, no other results."""
    return Path(shutil.copytree(once.root / "results/published/small", tmp_path / "small"))


@pytest.fixture
def project(once: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of the project."""
    copy = SmallProject.__new__(SmallProject)
    copy.root = Path(shutil.copytree(once.root, tmp_path / "project"))
    return copy


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """Change a JSON file through a function of its content."""

    def write(path: Path, change: Callable[[dict], object]) -> None:
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return write


@pytest.fixture
def forge() -> Callable[[Path], None]:
    """Enter all of a record's files in its manifest as they are now, as a careful forger would."""

    def enter(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"] = {
            name: sha256_file(folder / name) for name in manifest["files"] if (folder / name).is_file()
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return enter
