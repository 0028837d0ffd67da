"""What README and docs tell a reader to type is there, and the reference says what the source says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import torch
import typer.main
import yaml
from reference import SCHEMAS, pages, walk
from small_project import SmallProject

from counterpoise.cli.app import app, main
from counterpoise.components import components, read_components

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNAKEMAKE = {"--cores", "--configfile", "--config", "--profile", "--executor", "--jobs", "--default-resources"}


def commands(page: Path) -> Iterator[str]:
    """Every command of ours that a page shows: lines of shell blocks, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    if "decisions" in page.parts:
        return  # they say what was so when they were taken
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            line = line.strip().partition(" #")[0].strip()
            if line.startswith("counterpoise "):
                yield line
    yield from re.findall(r"`(counterpoise [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


SHOWN = sorted({command for page in PAGES for command in commands(page)})
KNOWN = dict(walk())
HIDDEN = {name for name, command in typer.main.get_command(app).commands.items() if command.hidden}


def test_there_are_commands_to_look_at():
    assert len(SHOWN) > 40


@pytest.mark.parametrize("shown", SHOWN)
def test_a_command_that_is_shown_exists_with_its_options_and_arguments(shown):
    words = [word for word in shlex.split(shown) if word != "--help"]
    if words[1] in HIDDEN:
        return
    names = [name for name in KNOWN if words[: len(name.split())] == name.split()]
    if not names:  # a group by itself, as in `counterpoise data`
        assert any(name.startswith(f"{shown} ") for name in KNOWN) or words[1].startswith("--"), shown
        return
    name = max(names, key=len)
    rest = words[len(name.split()) :]
    if not rest and any(parameter.required for parameter in KNOWN[name].params):
        return  # the command's name alone, in a sentence
    rest = [re.sub(r"^<.*>$|^N$", "1", word) for word in rest]
    context = KNOWN[name].make_context(name, rest)  # parses, and refuses what it does not know; runs nothing
    if name == "counterpoise run":
        assert all(word.split("=")[0] in SNAKEMAKE for word in context.args if word.startswith("--")), shown


def test_make_targets_that_are_shown_exist(repository):
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named <= targets


def test_links_lead_somewhere():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_is_on_the_site(repository):
    listed = (repository / "mkdocs.yml").read_text()
    pages = [path.relative_to(repository / "docs").as_posix() for path in (repository / "docs").rglob("*.md")]
    missing = [page for page in pages if page not in listed and not page.startswith("decisions/0")]
    assert missing == []


def test_the_reference_is_what_the_source_says(repository):
    for name, text in pages().items():
        found = (repository / "docs/reference" / name).read_text(encoding="utf-8")
        assert found == text, f"{name}: write it again: python docs/generators/reference.py docs/reference"


@pytest.mark.parametrize("name", ["dataset", "model", "claims"])
def test_editors_accept_our_own_files_by_the_schemas(name, repository):
    schema = SCHEMAS[name][0].model_json_schema()
    paths = sorted(repository.glob(SCHEMAS[name][1]))
    assert paths
    for path in paths:
        data = {k: v for k, v in yaml.safe_load(path.read_text()).items() if k not in ("tiny", "factors")}
        jsonschema.validate(data, schema)


@pytest.mark.parametrize(
    "shown",
    [
        "counterpoise plan",
        "counterpoise list methods",
        "counterpoise values mmpareto --format csv",
        "counterpoise audit mmpareto",
        "counterpoise list papers",
        "counterpoise plan -b mosi",
    ],
)
def test_cheap_commands_work_in_a_new_project(shown, tmp_path, monkeypatch, capsys):
    assert shown in SHOWN
    monkeypatch.chdir(tmp_path)
    assert main(["new", "project"]) == 0
    capsys.readouterr()
    assert main(shlex.split(shown)[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1


@pytest.mark.parametrize(
    "shown", ["counterpoise show", "counterpoise table mmpareto.table3", "counterpoise status --watch"]
)
def test_commands_about_results_work_where_there_are_some(shown, tmp_path, repository, monkeypatch, capsys):
    assert shown in SHOWN
    project = SmallProject(tmp_path, repository)
    for cell in project.plan().cells:
        for seed in (0, 1):
            project.run(cell, seed)
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(shown)[1:], "-b", "small"]) == 0
    assert capsys.readouterr().out


def test_examples_in_yaml_are_yaml():
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            assert yaml.safe_load(block) is not None


def test_the_encoders_that_the_guide_advises_are_there():
    text = (ROOT / "docs/guides/own-data.md").read_text(encoding="utf-8")
    advised = re.findall(r"`([a-z][a-z0-9_]*)`", text.partition("## The model")[2].partition("## ")[0])
    assert len(advised) == 4
    assert set(advised) <= set(components("encoder"))


def test_the_guides_example_is_a_method(tmp_path):
    text = (ROOT / "docs/guides/own-method.md").read_text(encoding="utf-8")
    file = tmp_path / "halfway.py"
    file.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    (component,) = read_components("method", "halfway", file)
    assert component.resolve({"share": 0.25}, "example") == {"share": 0.25}
    names: dict = {}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
    weights, _ = names[component.class_name](share=0.25).weights(torch.eye(2).expand(3, 2, 2), torch.ones(2), {})
    assert weights.tolist() == [[1.0, 0.25]] * 3


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path, repository):
    if shutil.which("mkdocs") is None:
        pytest.skip("needs the extra 'docs'")
    command = ["mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "counterpoise.load" in (tmp_path / "site/reference/api.html").read_text()
