"""The commands ``counterpoise data`` and ``counterpoise data mirror``: fetch, prepare and look at datasets.

Imported only when one of them is called, with all that they need.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from counterpoise.cli.overview import size_text
from counterpoise.cli.project import find_root
from counterpoise.data import mirrors
from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.prepare import make_dataset, prepare_dataset, raw_files, read_data_roots
from counterpoise.data.progress import Progress, on_terminal, quiet
from counterpoise.data.status import DatasetStatus, dataset_status
from counterpoise.errors import UserError, reason
from counterpoise.planning.cells import PreparedDataset, read_dataset
from counterpoise.planning.configs import Configs
from counterpoise.reporting.terminal import make_console, make_table
from counterpoise.weights import WEIGHTS

app = typer.Typer(add_completion=False, help="Fetch, prepare and look at datasets on their own.")
mirror_app = typer.Typer(add_completion=False, help="Make or check a folder with the raw files of datasets.")

RootOption = Annotated[Path | None, typer.Option("--root", help="project folder; default: found upward")]
MirrorOption = Annotated[str | None, typer.Option("--mirror", help="folder or address that has the files")]
RootsOption = Annotated[
    list[str] | None, typer.Option("--data-root", help="name=folder: data that you already hold, used in place")
]
VerifyOption = Annotated[bool, typer.Option("--verify", help="compare the digests of large files and media too")]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="datasets of configs/datasets; default: all")]


@app.command("status")
def data_status(
    names: NamesArgument = None, verify: VerifyOption = False, data_root: RootsOption = None, root: RootOption = None
) -> None:
    """Say of each dataset what is there, what is missing, its size and licence, and what to do next."""
    root = _home(root)
    roots = _roots(root, data_root)
    console = make_console()
    with on_terminal() as progress:
        statuses, problems = _statuses(root, names or _names(root), roots, verify, progress if verify else quiet)
    if statuses:
        _print_status(statuses, verify, console, problems)
    if not names:
        _print_weights(root, console)
    _refuse_rest(problems, "said")


def _print_status(
    statuses: Mapping[str, DatasetStatus], verify: bool, console: Console, problems: Mapping[str, str] | None = None
) -> None:
    """Print a line for each dataset, then what is said of several of them once, with their names.

    Of those with ``problems`` nothing is known but these.
    """
    table = make_table("dataset", "files", "missing", "items", "size", "prepared", numbers=("files", "missing", "size"))
    what: dict[str, list[str]] = {}
    licences: dict[str, list[str]] = {}
    steps: dict[str, list[str]] = {}
    for name, status in statuses.items():
        table.add_row(
            name,
            str(status.files),
            str(len(status.missing) or ""),
            f"{status.items} of {status.listed}" if status.listed else "",
            size_text(status.size) if status.files else "",
            "stale" if status.stale else "yes" if status.prepared else "no",
        )
        more = f" and {len(status.missing) - 3} more" if len(status.missing) > 3 else ""
        if status.missing:
            what.setdefault(f"missing: {', '.join(status.missing[:3])}{more}", []).append(name)
        if verify and status.files:
            pinned = f"{status.pinned} files have their published digest" if status.pinned else "no digest is published"
            what.setdefault(f"wrong: {len(status.wrong)}" if status.wrong else pinned, []).append(name)
        for text in filter(None, (*status.wrong, *status.remarks, status.stale)):
            what.setdefault(text, []).append(name)
        if status.next_step:
            command = status.next_step.startswith("counterpoise ")
            step = status.next_step.removesuffix(name) + "NAME" if command else status.next_step
            steps.setdefault(step, []).append(name)
        if status.licence:  # files of one's own have none on record
            licences.setdefault(status.licence, []).append(name)
    for name, problem in (problems or {}).items():
        table.add_row(name, "", "", "", "", "unknown")
        what.setdefault(problem, []).append(name)
    console.print(table)
    for heading, entries in (("", what), ("next:", steps), ("licences:", licences)):
        if entries:
            console.print(f"\n{heading}".rstrip(), markup=False)
        for text, names in entries.items():
            _print_indented(console, text, ", ".join(names))


def _print_indented(console: Console, text: str, whose: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))
    console.print(Padding(Text(whose), (0, 0, 0, 6), expand=False))


def _print_weights(root: Path, console: Console) -> None:
    """List the pretrained weights that models may start from, with their licences."""
    console.print("\npretrained weights:")
    for weights in WEIGHTS.values():
        try:
            there = "there" if (root / "data/weights" / weights.file).is_file() else "not there"
        except OSError as error:
            there = f"cannot be looked at ({reason(error)})"
        _print_indented(console, f"{weights.name}: {there}, {weights.licence}", weights.source)


@app.command("fetch")
def data_fetch(
    name: str,
    mirror: MirrorOption = None,
    verify: VerifyOption = False,
    data_root: RootsOption = None,
    root: RootOption = None,
) -> None:
    """Fetch a dataset's raw files."""
    root = _home(root)
    data = _dataset(root, name)
    with on_terminal("bytes") as progress:
        folder = fetch_dataset(
            data.component,
            data.settings,
            root / "data/raw",
            mirror=mirror,
            name=name,
            data_roots=_roots(root, data_root),
            verify=verify,
            progress=progress,
        )
    print(folder)


@app.command("prepare")
def data_prepare(
    name: str,
    workers: Annotated[int | None, typer.Option(help="processes; default: one per core", min=1)] = None,
    data_root: RootsOption = None,
    root: RootOption = None,
) -> None:
    """Make a dataset's arrays from its raw files."""
    root = _home(root)
    asked = _dataset(root, name)
    with on_terminal("items") as progress:
        data = prepare_dataset(
            asked.component,
            asked.settings,
            root / "data/raw",
            root / asked.directory,
            asked.key,
            source=asked.source,
            data_roots=_roots(root, data_root),
            workers=workers,
            progress=progress,
        )
    print(f"{data.path}: " + ", ".join(f"{split} {data.size(split)}" for split in data.splits))
    if data.manifest["dropped"]:
        print(f"{len(data.manifest['dropped'])} items left out; {data.path / 'manifest.json'} says why")
    if data.manifest["faults"]:
        ids = {entry["id"] for entry in data.manifest["faults"]}
        print(f"{len(ids)} items are used although damaged; the manifest says how")
    for what in data.manifest["departures"]:
        print(f"not the published set: {what}")
    for leak in data.manifest["leaks"]:
        expected = " (by design of the split)" if leak.get("expected") else ""
        print(f"{' and '.join(leak['splits'])} share: {leak['kind']}: {leak['count']}{expected}")


@mirror_app.command("pack")
def mirror_pack(
    folder: Annotated[Path, typer.Argument(help="folder to make or add to")],
    names: NamesArgument = None,
    data_root: RootsOption = None,
    root: RootOption = None,
) -> None:
    """Copy the raw files that preparing datasets reads into a mirror folder, with checksums.

    Without names: all datasets that are complete.
    """
    root, folder = _home(root), _expanded(folder)
    roots = _roots(root, data_root)
    problems: dict[str, str] = {}
    chosen, left_out = list(dict.fromkeys(names or [])), []
    if not names:
        statuses, problems = _statuses(root, _names(root), roots)
        chosen = [name for name, status in statuses.items() if status.complete]
        left_out = [name for name in statuses if name not in chosen]
    datasets = []
    for name in chosen:
        asked = _dataset(root, name)
        data = make_dataset(asked.component, asked.settings)
        datasets.append((data, raw_files(data, root / "data/raw", roots, name)))
    with on_terminal("files") as progress:
        count = mirrors.pack(datasets, folder, progress)
    print(f"{folder}: {count} files of {', '.join(chosen) or 'no dataset'}")
    if left_out:
        print(f"not complete here, so not packed (counterpoise data status): {', '.join(left_out)}")
    _refuse_rest(problems, "packed")


@mirror_app.command("verify")
def mirror_verify(folder: Annotated[Path, typer.Argument(help="mirror folder")]) -> None:
    """Compare every file of a mirror folder with its SHA256SUMS."""
    folder = _expanded(folder)
    with on_terminal("files") as progress:
        report = mirrors.verify(folder, progress)
    for kind in ("missing", "changed", "unreadable", "unlisted"):
        for name in getattr(report, kind):
            print(f"{kind}: {name}")
    print(f"{report.good} files are as listed")
    if report.missing or report.changed:
        raise UserError(f"{folder}: {len(report.missing)} files missing, {len(report.changed)} changed")
    if report.unreadable:
        raise UserError(f"{folder}: {len(report.unreadable)} files or folders cannot be read")


app.add_typer(mirror_app, name="mirror")


def _statuses(
    root: Path, names: Iterable[str], roots: dict[str, Path], verify: bool = False, progress: Progress = quiet
) -> tuple[dict[str, DatasetStatus], dict[str, str]]:
    """Look at each of the datasets; return what was found, and of those that cannot be looked at the reason."""
    statuses, problems = {}, {}
    for name in names:
        try:
            statuses[name] = _status(root, name, roots, verify, progress)
        except (UserError, OSError) as error:
            problems[name] = reason(error)
    return statuses, problems


def _refuse_rest(problems: Mapping[str, str], done: str) -> None:
    """Raise ``UserError`` where something is wrong with some datasets, after all is ``done`` for the others."""
    if problems:
        what = "; ".join(f"{name} ({problem})" for name, problem in problems.items())
        raise UserError(f"nothing can be {done} of {what}")


def _status(
    root: Path, name: str, roots: dict[str, Path], verify: bool = False, progress: Progress = quiet
) -> DatasetStatus:
    data = _dataset(root, name)
    return dataset_status(
        name,
        data.component,
        data.settings,
        raw_root=root / "data/raw",
        prepared=root / data.directory,
        data_roots=roots,
        verify=verify,
        progress=progress,
    )


def _expanded(folder: Path) -> Path:
    """Return a folder of which no shell has replaced the ``~``; not Path.expanduser, which raises for nobody's."""
    return Path(os.path.expanduser(folder))


def _home(given: Path | None) -> Path:
    """Return the project's folder, for which configurations of datasets will do: the one given, or found upward."""
    home = given or Path()
    return home if (home / "configs/datasets").is_dir() else find_root(given)


def _dataset(root: Path, name: str) -> PreparedDataset:
    return read_dataset(Configs(root / "configs"), name)


def _names(root: Path) -> list[str]:
    return Configs(root / "configs").names("datasets")


def _roots(root: Path, given: list[str] | None) -> dict[str, Path]:
    roots = {}
    for entry in given or []:
        name, separator, folder = entry.partition("=")
        if not separator or not folder:
            raise UserError(f"--data-root {entry}: must be name=folder")
        roots[name] = folder
    return read_data_roots(roots, _names(root))
