"""What the README tells a reader to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import typer.main

from counterpoise.cli.app import app
from counterpoise.components import ENTRY_POINTS, read_components


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def test_its_make_targets_exist(readme, repository):
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", readme, re.MULTILINE))
    assert {"reproduce", "test"} <= named <= targets


def test_its_commands_exist(readme):
    named = set(re.findall(r"^counterpoise ([a-z-]+)", readme, re.MULTILINE))
    assert "diff" in named
    assert named <= set(typer.main.get_command(app).commands)


def test_its_map_names_what_is_there(readme, repository):
    rows = readme.partition("## What is where")[2].partition("MIT licence")[0]
    paths = re.findall(r"`([\w./]+)`", "".join(row.split("|")[1] for row in rows.splitlines() if "|" in row))
    assert len(paths) > 10
    source = repository / "src" / "counterpoise"
    assert [path for path in paths if not (repository / path).exists() and not (source / path).exists()] == []


def test_its_links_lead_somewhere(repository):
    pages = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(repository)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_its_example_is_a_method(readme, tmp_path):
    block = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    lines = [line.removeprefix("   ") for line in block.splitlines()]
    file = tmp_path / "halfway.py"
    file.write_text("\n".join(lines), encoding="utf-8")
    (component,) = read_components("method", "halfway", file)
    assert f'"{ENTRY_POINTS["method"]}"' in readme
    assert component.resolve({"share": 0.25}, "example") == {"share": 0.25}

    namespace: dict = {}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)
    halfway = namespace[component.class_name](share=0.25)
    weights, _ = halfway.weights(torch.eye(2).expand(3, 2, 2), torch.ones(2), {})
    assert weights.tolist() == [[1.0, 0.25]] * 3
