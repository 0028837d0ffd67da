"""Everything that is registered has a test that names it: nothing gets in on the strength of its neighbours' tests.

A name counts where a string of a test is or has it as a word, a command line say, and in the name of a test. Tests
that run over a whole registry name nobody, and are beside the point here. An error is named where a test imports it.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from counterpoise.cli.app import app
from counterpoise.components import components
from counterpoise.metrics import METRICS
from counterpoise.papers.claims import ClaimTest

KINDS = ("method", "encoder", "fusion", "dataset", "measurement", "figure_kind")


def strings_of(tree: ast.AST) -> set[str]:
    """Return the words of every string in a source file, but those of long docstrings, and of the tests' names."""
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            words |= {node.value, *node.value.split()}
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            words |= set(node.name.split("_"))
    return words


def errors_in(trees: list[ast.AST]) -> set[str]:
    """Return the names of the classes in source files that are exceptions, by their bases or their bases' bases."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    errors = {name for name, of in bases.items() if any(base.endswith(("Error", "Exception")) for base in of)}
    while more := {name for name, of in bases.items() if of & errors} - errors:
        errors |= more
    return errors


def imports_of(tree: ast.AST) -> set[str]:
    """Return the names that a source file imports from modules."""
    return {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.fixture(scope="module")
def named(repository: Path) -> set[str]:
    """Every word of a string in the tests, support included."""
    files = [path for path in (repository / "tests").rglob("*.py") if path.name != Path(__file__).name]
    return set().union(*(strings_of(ast.parse(path.read_text(encoding="utf-8"))) for path in files))


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_is_named_by_a_test(kind, named):
    built_in = {name for name, found in components(kind).items() if found.module.startswith("counterpoise.")}
    assert built_in
    assert sorted(built_in - named) == []


def test_every_metric_is_named_by_a_test(named):
    assert sorted(set(METRICS) - named) == []


def test_every_kind_of_claim_is_named_by_a_test(named):
    kinds = set(get_args(ClaimTest.model_fields["kind"].annotation))
    assert {"better", "above"} <= kinds
    assert sorted(kinds - named) == []


def test_every_command_is_named_by_a_test(named):
    assert sorted(set(typer.main.get_command(app).commands) - named) == []


def test_every_error_is_named_by_a_test(repository):
    source, tests = (
        [ast.parse(path.read_text(encoding="utf-8")) for path in (repository / folder).rglob("*.py")]
        for folder in ("src", "tests")
    )
    errors = errors_in(source)
    assert {"UserError", "NothingToDraw", "Interrupted"} <= errors
    assert sorted(errors - set().union(*map(imports_of, tests))) == []


def test_an_error_is_known_by_its_bases_also_across_files():
    files = ["class Lost(Found): ...", "class Found(Exception): ...", "class Plain(Base): ..."]
    assert errors_in([ast.parse(text) for text in files]) == {"Lost", "Found"}


def test_a_name_that_only_a_docstring_has_does_not_count():
    source = '"""Says mmpareto\nand more."""\ncheck("agm")\nrun("check mlb --json")\n'
    assert strings_of(ast.parse(source)) >= {"agm", "mlb"}
    assert "mmpareto" not in strings_of(ast.parse(source))
