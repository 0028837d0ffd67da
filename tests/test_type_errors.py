"""The check of types lets no package have more errors than before, and asks to lower a number that is too high."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

STRICT = {"engine", "methods", "planning"}

OUTPUT = """\
src/counterpoise/data/store.py:291: error: Unsupported operand types for - ("None" and "int")  [operator]
src/counterpoise/data/store.py:291: note: Left operand is of type "int | None"
src/counterpoise/data/datasets/grid.py:153: error: Incompatible types in assignment  [assignment]
src/counterpoise/files.py:12: error: Name "x" is not defined  [name-defined]
Found 3 errors in 3 files (checked 255 source files)
"""


@pytest.fixture(scope="module")
def check(repository: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("type_errors", repository / ".ci/type_errors.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project(repository: Path) -> str:
    return (repository / "pyproject.toml").read_text(encoding="utf-8")


def test_errors_are_counted_by_package_without_their_notes(check):
    assert check.count(OUTPUT) == {"data": 2, "files": 1}


@pytest.mark.parametrize(
    ("allowed", "said"),
    [({"data": 1}, "2 type errors, 1 allowed"), ({"data": 3}, "fewer than the 3"), ({}, "0 allowed")],
)
def test_another_number_than_the_one_allowed_fails(check, allowed, said):
    (line,) = check.complaints({"data": 2}, allowed)
    assert said in line


def test_the_number_allowed_passes(check):
    assert check.complaints({"data": 2}, {"data": 2}) == []


def test_lowering_never_raises_a_number_and_changes_nothing_else(check, project):
    allowed = tomllib.loads(project)["tool"]["counterpoise"]["type-errors"]
    assert check.lowered(project, {name: number + 5 for name, number in allowed.items()}, allowed) == project
    fewer = tomllib.loads(check.lowered(project, allowed | {"data": 1, "runs": 0}, allowed))
    assert fewer["tool"]["counterpoise"]["type-errors"] == {
        name: {"data": 1}.get(name, number) for name, number in allowed.items() if name != "runs"
    }
    assert fewer["tool"]["mypy"] == tomllib.loads(project)["tool"]["mypy"]


def test_strict_packages_have_no_errors_allowed(project):
    settings = tomllib.loads(project)["tool"]
    assert STRICT.isdisjoint(settings["counterpoise"]["type-errors"])
    strict = next(part for part in settings["mypy"]["overrides"] if part.get("disallow_untyped_defs"))
    assert {f"counterpoise.{name}.*" for name in STRICT} <= set(strict["module"])
