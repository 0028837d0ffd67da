"""Commands for one's own work: new, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Extend"

app = typer.Typer()
new = typer.Typer(help="Write a working start of a method of your own.")
app.add_typer(new, name="new", rich_help_panel=PANEL)


@new.callback()
def _start() -> None:
    """Write a working start of a method of your own."""


@new.command("method")
def new_method(
    name: str,
    family: Annotated[str, typer.Option(help="loss, modulation or integration")] = "loss",
    folder: Annotated[Path, typer.Option("--root", help="where to write; in this checkout: built in")] = Path(),
) -> None:
    """Write a working method and its test: in this checkout built in, elsewhere a package of its own."""
    from counterpoise.testing.new_method import new_method as write

    for path in write(name, folder, family):
        print(path)


@app.command(rich_help_panel=PANEL)
def check(method: Annotated[str, typer.Argument(help="a built-in or an installed method")]) -> None:
    """Check the properties that every method must have. Exit code 1: one fails."""
    from rich.console import Console

    from counterpoise.testing.conformance import check_method

    console = Console(soft_wrap=True)
    results = check_method(method)
    for result in results:
        mark = "[green]passes[/]" if result.passed else "[red]fails[/] "
        detail = f": {result.detail}" if result.detail else ""
        console.print(f"{mark}  {method} ({result.variant})  {result.name}{detail}", highlight=False)
    failed = sum(not result.passed for result in results)
    console.print(f"{len(results) - failed} of {len(results)} properties pass")
    raise typer.Exit(1 if failed else 0)
