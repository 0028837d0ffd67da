"""Packages are listed three times: as ranges, as pins, and as pins for conda. The lists agree."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name


def exact_pins(lines: list[str]) -> dict[str, str]:
    """Canonical name -> version of lines of the form ``name==version``; anything else is an error."""
    pins: dict[str, str] = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{line} is not an exact pin"
        assert "*" not in specifier.version, f"{line} is not an exact pin"
        name = canonicalize_name(requirement.name)
        assert name not in pins, f"{name} is pinned twice"
        pins[name] = specifier.version
    return pins


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def constraints(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    return exact_pins([line for line in lines if line.strip() and not line.startswith("#")])


@pytest.fixture(scope="module")
def conda(repository: Path) -> dict:
    """``{"conda": [...], "pip": [...]}`` of environment.yml."""
    entries = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return {"conda": [entry for entry in entries if isinstance(entry, str)], "pip": pip}


def all_requirements(project: dict) -> list[Requirement]:
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


def test_conda_pins_are_those_of_constraints(conda, constraints):
    assert exact_pins([line for line in conda["pip"] if line != "-e ."]) == constraints


def test_conda_installs_the_package_itself(conda):
    assert "-e ." in conda["pip"]


def test_conda_offers_the_python_versions_of_the_package(conda, project):
    (python,) = [Requirement(line) for line in conda["conda"] if Requirement(line).name == "python"]
    assert python.specifier == SpecifierSet(project["requires-python"])


def test_every_dependency_is_pinned_inside_its_range(project, constraints):
    for requirement in all_requirements(project):
        version = constraints.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(version), f"pinned to {version}, outside {requirement}"


def test_pins_do_not_choose_between_a_cpu_and_a_gpu_build(constraints):
    of_a_build = [name for name in constraints if name.startswith(("nvidia", "cuda", "triton"))]
    local = [f"{name}=={version}" for name, version in constraints.items() if "+" in version]
    assert of_a_build + local == []


@pytest.mark.parametrize("moved", [True, False])
def test_an_environment_that_was_made_in_another_folder_is_made_anew(repository, tmp_path, moved):
    home = tmp_path / "a clone"
    (home / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(repository / name, home)
    made_at = "/somewhere/else" if moved else home.resolve()
    (home / ".venv/bin/activate").write_text(f'VIRTUAL_ENV="{made_at}/.venv"\n')
    for name in (".created", ".installed"):
        (home / ".venv" / name).touch()
    done = subprocess.run(["make", "-n", "demo"], cwd=home, capture_output=True, text=True, check=True)
    assert ("was made in another folder" in done.stdout) == moved
    assert ("-m venv --clear .venv" in done.stdout) == moved
    assert "counterpoise run --cores" in done.stdout
