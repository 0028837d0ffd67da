"""Commands for one's own work: new, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.project import RootOption, find_root, make_project

PANEL = "Extend"

app = typer.Typer()
new = typer.Typer(help="Make a project, or a working start of a method, an encoder or a dataset of your own.")
app.add_typer(new, name="new", rich_help_panel=PANEL)


@new.command("project")
def new_project(folder: Annotated[Path, typer.Argument(help="default: this one")] = Path()) -> None:
    """Make a project folder: configurations to edit and the workflow that runs them. No clone is needed."""
    made = make_project(folder)
    print(f"{folder.resolve()}: {', '.join(made)}")
    print("next: counterpoise plan; counterpoise run")


FolderOption = Annotated[Path, typer.Option("--root", help="where to write; in this checkout: built in")]


@new.command("method")
def new_method(
    name: str,
    family: Annotated[str, typer.Option(help="loss, modulation or integration")] = "loss",
    folder: FolderOption = Path(),
) -> None:
    """Write a working method and its test: in this checkout built in, elsewhere a package of its own."""
    from counterpoise.testing.new import new_method as write

    paths = write(name, folder, family)
    _print_paths(paths)
    print(f"next: write its formula into {paths[0]}; {_install(paths)}counterpoise check {name}")


@new.command("encoder")
def new_encoder(name: str, folder: FolderOption = Path()) -> None:
    """Write a working encoder and its test: in this checkout built in, elsewhere a package of its own."""
    from counterpoise.testing.new import new_encoder as write

    paths = write(name, folder)
    _print_paths(paths)
    print(f"next: {_install(paths)}name it, as 'component: {name}', in a file of configs/models")


@new.command("dataset")
def new_dataset(name: str, root: RootOption = None) -> None:
    """Write a dataset of files of your own, with made-up ones, and a benchmark with a table of methods on it."""
    from counterpoise.testing.new import new_dataset as write

    _print_paths(write(name, find_root(root)))
    print(f"next: counterpoise run -b {name}; then put your files in place of those in data/raw/{name}")


def _install(paths: list[Path]) -> str:
    """Return the command, to be followed by others, that installs what was written; empty for what is built in."""
    package = next((path.parent for path in paths if path.name == "pyproject.toml"), None)
    return "" if package is None else f"pip install -e {package}; "


def _print_paths(paths: list[Path]) -> None:
    for path in paths:
        print(path)


@app.command(rich_help_panel=PANEL)
def check(method: Annotated[str, typer.Argument(help="a built-in or an installed method")]) -> None:
    """Check the properties that every method must have. Exit code 1: one fails."""
    from rich.console import Console
    from rich.text import Text

    from counterpoise.testing.conformance import all_cases
    from counterpoise.testing.conformance import check as check_case

    console = Console(soft_wrap=True)
    cases = all_cases(method)
    console.print(f"{method}: {len(cases)} properties to check, in a minute or two")
    passed = 0
    for label, case in cases:
        result = check_case(label, case)
        passed += result.passed
        mark = ("passes", "green") if result.passed else ("fails ", "red")
        # What was seen may be tensors: in one line, and as text, because markup has brackets of its own.
        detail = f": {' '.join(result.detail.split())}" if result.detail else ""
        line = Text.assemble(mark, f"  {method} ({result.variant})  {result.name}{detail}")
        console.print(line, highlight=False)
    console.print(f"{passed} of {len(cases)} properties pass")
    raise typer.Exit(0 if passed == len(cases) else 1)
