"""The commands ``counterpoise data`` and ``counterpoise mirror``: fetch, prepare and look at datasets on
their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from counterpoise.errors import UserError, suggest

app = typer.Typer(add_completion=False, help="Fetch, prepare and look at datasets on their own.")
mirror_app = typer.Typer(add_completion=False, help="Make or check a folder with the raw files of datasets.")

RootOption = Annotated[Path, typer.Option("--root", help="project folder")]
MirrorOption = Annotated[str | None, typer.Option("--mirror", help="folder or address that has the files")]
RootsOption = Annotated[
    list[str] | None, typer.Option("--data-root", help="name=folder: data that you already hold, used in place")
]
VerifyOption = Annotated[bool, typer.Option("--verify", help="compare the digests of large files and media too")]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="datasets of configs/datasets; default: all")]


@app.command("status")
def data_status(
    names: NamesArgument = None, verify: VerifyOption = False, data_root: RootsOption = None, root: RootOption = Path()
) -> None:
    """Say of each dataset what is there, what is missing, its size and licence, and the command that goes
    on.
    """
    from rich.console import Console
    from rich.table import Table

    from counterpoise.data.progress import on_terminal
    from counterpoise.data.status import dataset_status

    table = Table("dataset", "raw files", "checked", "size", "prepared", "licence", "next command")
    problems = []
    with on_terminal() as progress:
        for name in _names(root, names):
            found = dataset_status(
                root, name, data_roots=_roots(data_root), verify=verify, progress=progress if verify else _silent
            )
            files = f"{found.there} there" + (f", {len(found.missing)} missing" if found.missing else "")
            checked = f"digests of {found.pinned}" if verify else "sizes"
            checked = "wrong" if found.wrong else checked
            ready = "yes" if found.prepared else "no"
            table.add_row(
                name, files, checked if found.there else "-", readable(found.size), ready, found.licence, found.command
            )
            problems += [f"{name}: missing: {path}" for path in found.missing[:3]]
            problems += [f"{name}: {reason}" for reason in found.wrong]
    Console().print(table)
    for problem in problems:
        print(problem)


@app.command("fetch")
def data_fetch(
    name: str,
    mirror: MirrorOption = None,
    verify: VerifyOption = False,
    data_root: RootsOption = None,
    root: RootOption = Path(),
) -> None:
    """Fetch a dataset's raw files."""
    from counterpoise.data.fetch import fetch_dataset
    from counterpoise.data.progress import on_terminal
    from counterpoise.planning.configs import Configs

    config = Configs(root / "configs").dataset(_known(root, name))
    with on_terminal("bytes") as progress:
        folder = fetch_dataset(
            config.component,
            config.settings,
            root / "data/raw",
            mirror=mirror,
            data_roots=_roots(data_root),
            verify=verify,
            progress=progress,
        )
    print(folder)


@app.command("prepare")
def data_prepare(
    name: str,
    workers: Annotated[int | None, typer.Option(help="processes; default: one per core", min=1)] = None,
    data_root: RootsOption = None,
    root: RootOption = Path(),
) -> None:
    """Make a dataset's arrays from its raw files."""
    from counterpoise.data.prepare import prepare_dataset
    from counterpoise.data.progress import on_terminal
    from counterpoise.data.status import prepared_folder
    from counterpoise.planning.configs import Configs

    config = Configs(root / "configs").dataset(_known(root, name))
    folder = prepared_folder(root, name)
    with on_terminal("items") as progress:
        data = prepare_dataset(
            config.component,
            config.settings,
            root / "data/raw",
            folder,
            folder.name.rpartition(".")[2],
            data_roots=_roots(data_root),
            workers=workers,
            progress=progress,
        )
    print(f"{data.path}: " + ", ".join(f"{split} {data.size(split)}" for split in data.splits))
    if data.manifest["dropped"]:
        print(f"{len(data.manifest['dropped'])} items left out; {data.path / 'manifest.json'} says why")
    for leak in data.manifest["leaks"]:
        expected = " (by design of the split)" if leak.get("expected") else ""
        print(f"{' and '.join(leak['splits'])} share: {leak['kind']}: {leak['count']}{expected}")


@app.command("counts")
def data_counts(
    mirror: Annotated[Path, typer.Option("--mirror", help="folder with the lists and the data")],
    document: Annotated[Path | None, typer.Option("--write", help="document to put the table into")] = None,
    root: RootOption = Path(),
) -> None:
    """Count what the datasets hold, as the table of docs/datasets.md."""
    from counterpoise.data.counts import as_markdown, count_datasets, put_into
    from counterpoise.files import write_text

    table = as_markdown(count_datasets(root, mirror))
    if document is None:
        print(table)
    else:
        write_text(document, put_into(document.read_text(encoding="utf-8"), table))


@mirror_app.command("pack")
def mirror_pack(
    folder: Annotated[Path, typer.Argument(help="folder to make or add to")],
    names: NamesArgument = None,
    data_root: RootsOption = None,
    root: RootOption = Path(),
) -> None:
    """Copy the raw files of datasets that are here into a mirror folder, with checksums."""
    from counterpoise.data.mirrors import pack
    from counterpoise.data.prepare import make_dataset, raw_files
    from counterpoise.data.progress import on_terminal
    from counterpoise.data.status import dataset_status
    from counterpoise.planning.configs import Configs

    configs = Configs(root / "configs")
    roots = _roots(data_root)
    chosen = names or [name for name in _names(root, None) if not dataset_status(root, name, data_roots=roots).missing]
    datasets = []
    for name in chosen:
        config = configs.dataset(_known(root, name))
        data = make_dataset(config.component, config.settings)
        datasets.append((data, raw_files(data, root / "data/raw", roots)))
    with on_terminal("files") as progress:
        count = pack(datasets, folder, progress)
    print(f"{folder}: {count} files of {', '.join(chosen) or 'no dataset'}")


@mirror_app.command("verify")
def mirror_verify(folder: Annotated[Path, typer.Argument(help="mirror folder")]) -> None:
    """Compare every file of a mirror folder with its SHA256SUMS."""
    from counterpoise.data.mirrors import verify
    from counterpoise.data.progress import on_terminal

    with on_terminal("files") as progress:
        report = verify(folder, progress)
    for kind in ("missing", "changed", "unlisted"):
        for name in getattr(report, kind):
            print(f"{kind}: {name}")
    print(f"{report.good} files are as listed")
    if report.missing or report.changed:
        raise UserError(f"{folder}: {len(report.missing)} files missing, {len(report.changed)} changed")


def readable(size: int) -> str:
    """Return a number of bytes in the unit that fits."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _names(root: Path, given: list[str] | None) -> list[str]:
    from counterpoise.data.status import dataset_names

    return [_known(root, name) for name in given] if given else dataset_names(root)


def _known(root: Path, name: str) -> str:
    from counterpoise.data.status import dataset_names

    names = dataset_names(root)
    if name not in names:
        raise UserError(f"{root / 'configs/datasets'}: no dataset '{name}'{suggest(name, names)}")
    return name


def _roots(given: list[str] | None) -> dict[str, Path]:
    roots = {}
    for entry in given or []:
        name, separator, folder = entry.partition("=")
        if not separator or not folder:
            raise UserError(f"--data-root {entry}: must be name=folder")
        roots[name] = Path(folder)
    return roots


def _silent(what: str, done: int, total: int | None) -> None:
    """Show nothing."""
