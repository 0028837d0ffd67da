"""The command ``counterpoise list``: what there is to name in commands and configurations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

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

    return _rows(paper_names(root / "configs"), lambda name: short_title(root / "configs", name))


def _benchmarks(root: Path) -> Rows:
    from counterpoise.validation import load_yaml

    def title(name: str) -> str:
        path = root / f"configs/benchmarks/{name}.yaml"
        return _title(load_yaml(path, "benchmark"), path)

    return _rows(benchmark_names(root), title)


def _methods(root: Path) -> Rows:
    from counterpoise.components import components

    return [(name, found.info.title) for name, found in sorted(components("method").items())]


def _titled(folder: str) -> Callable[[Path], Rows]:
    def rows(root: Path) -> Rows:
        from counterpoise.planning.configs import Configs

        configs = Configs(root / "configs")
        read = configs.dataset if folder == "datasets" else configs.model
        return _rows(configs.names(folder), lambda name: read(name).title)

    return rows


def _records(root: Path) -> Rows:
    from counterpoise.files import read_json

    def title(name: str) -> str:
        path = root / "results/published" / name / "layout.json"
        return _title(read_json(path, "layout of results"), path)

    return _rows([path.parent.name for path in sorted((root / "results/published").glob("*/layout.json"))], title)


def _rows(names: Iterable[str], title: Callable[[str], str]) -> Rows:
    """Return each name with its title, or with why its file cannot be read: the others are listed all the same."""
    rows = []
    for name in names:
        try:
            rows.append((name, title(name)))
        except UserError as error:
            rows.append((name, f"cannot be read: {error}"))
    return rows


def _title(data: Any, path: Path) -> str:
    if not isinstance(data, dict):
        raise UserError(f"{path}: must have keys, as 'title'")
    return str(data.get("title", ""))


_LISTS: dict[str, Callable[[Path], Rows]] = {
    "papers": _papers,
    "benchmarks": _benchmarks,
    "methods": _methods,
    "datasets": _titled("datasets"),
    "models": _titled("models"),
    "records": _records,
}
