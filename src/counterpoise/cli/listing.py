"""The command ``counterpoise list``: what there is to name in commands and configurations."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.project import JsonOption, RootOption, benchmark_names, project_or_packaged
from counterpoise.errors import UserError, suggest

app = typer.Typer()

Rows = list[tuple[str, str]]
NO_RECORDS = "; 'counterpoise publish' writes one, and outside of a project those of the package are listed"


@app.command("list", rich_help_panel="List")
def list_names(
    what: Annotated[str, typer.Argument(help="papers, benchmarks, methods, datasets, models or records")],
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """List papers, benchmarks, methods, datasets, models or published records, each with its title."""
    if what not in _LISTS:
        raise UserError(f"list {what}: nothing of this name{suggest(what, _LISTS)}")
    home = project_or_packaged(root)
    rows = _LISTS[what](home)
    if as_json:
        from counterpoise.files import json_text

        print(json_text([{"name": name, "title": title} for name, title in rows], sort_keys=False), end="")
        return
    if not rows:
        more = NO_RECORDS if what == "records" else ""
        print(f"no {what} here, in {home.resolve()}{more}", file=sys.stderr)
    width = max((len(name) for name, _ in rows), default=0)
    for name, title in rows:
        print(f"{name:<{width}}  {title}".rstrip())


def _papers(root: Path) -> Rows:
    from counterpoise.papers.paper import paper_names, short_title

    return [(name, short_title(root / "configs", name)) for name in paper_names(root / "configs")]


def _benchmarks(root: Path) -> Rows:
    from counterpoise.validation import load_yaml

    titles = []
    for name in benchmark_names(root):
        data = load_yaml(root / f"configs/benchmarks/{name}.yaml", "benchmark")
        titles.append((name, str(data.get("title", "")) if isinstance(data, dict) else ""))
    return titles


def _methods(root: Path) -> Rows:
    from counterpoise.components import components

    return [(name, found.info.title) for name, found in sorted(components("method").items())]


def _titled(folder: str) -> Callable[[Path], Rows]:
    def rows(root: Path) -> Rows:
        from counterpoise.planning.configs import Configs

        configs = Configs(root / "configs")
        read = configs.dataset if folder == "datasets" else configs.model
        return [(name, read(name).title) for name in configs.names(folder)]

    return rows


def _records(root: Path) -> Rows:
    titles = []
    for path in sorted((root / "results/published").glob("*/layout.json")):
        from counterpoise.files import read_json

        titles.append((path.parent.name, str(read_json(path, "layout of results").get("title", ""))))
    return titles


_LISTS: dict[str, Callable[[Path], Rows]] = {
    "papers": _papers,
    "benchmarks": _benchmarks,
    "methods": _methods,
    "datasets": _titled("datasets"),
    "models": _titled("models"),
    "records": _records,
}
