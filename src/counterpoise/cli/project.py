"""Which project, and which benchmark of it, a command is about: found by name, from any folder of the project."""

from __future__ import annotations

import difflib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterpoise
from counterpoise.errors import UserError, suggest

if TYPE_CHECKING:
    from counterpoise.planning.plan import Plan

DEFAULT_BENCHMARK = "digits"
BENCHMARKS = Path("configs/benchmarks")
PROJECT = ("Snakefile", "configs", "workflow", ".gitignore")
PROFILES = "profiles"


def find_root(given: Path | None = None, start: Path | None = None) -> Path:
    """Return the project's folder: the one given, else the nearest of ``start`` and the folders above it.

    It is ``Path()`` where that is the working folder, so that printed paths stay short.

    Raises:
        UserError: there is none; says what to do.
    """
    if given is not None:
        if not (given / BENCHMARKS).is_dir():
            raise UserError(f"--root {given}: not a Counterpoise project: it has no {BENCHMARKS}")
        return given
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / BENCHMARKS).is_dir():
            return Path() if folder == Path.cwd().resolve() else folder
    raise UserError(
        f"{here}: not inside a Counterpoise project (no {BENCHMARKS} here or above): "
        "'counterpoise new project' makes one here; or change into one"
    )


def packaged_project() -> Path:
    """Return the folder with the configurations and the workflow that come with the package.

    In a wheel they are beside its modules; an installation from a checkout finds those of the checkout.
    """
    package = Path(counterpoise.__file__).parent
    for folder in (package / "project", package.parents[1]):
        if (folder / BENCHMARKS).is_dir():
            return folder
    raise UserError(f"{package}: this installation has no configurations; install it again, from a wheel or a clone")


def project_or_packaged(given: Path | None = None) -> Path:
    """Return the project as :func:`find_root` does, and outside of any what comes with the package: to read only."""
    try:
        return find_root(given)
    except UserError:
        if given is not None:
            raise
        return packaged_project()


def make_project(folder: Path) -> list[str]:
    """Make a project: configurations to edit and the workflow. Return what was made.

    Raises:
        UserError: something of it is there already; nothing is then written.
    """
    home = packaged_project()
    names = [name for name in PROJECT if (home / name).exists()]
    for name in (*names, PROFILES):
        if os.path.lexists(folder / name):
            raise UserError(f"{folder / name}: is there already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (home / name).is_dir():
            shutil.copytree(home / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(home / name, folder / name)
    # Snakemake looks for its default profile there.
    shutil.copytree(folder / "workflow/profiles", folder / PROFILES)
    return [*names, PROFILES]


def benchmark_names(root: Path) -> list[str]:
    """Return the names of the project's benchmark files."""
    return sorted(path.stem for path in (root / BENCHMARKS).glob("*.yaml"))


def benchmark_path(root: Path, name: str) -> Path:
    """Return the path of a benchmark file that is given by name (``mosi``) or by path, relative to the project.

    Raises:
        UserError: there is no such file; names the nearest.
    """
    named = BENCHMARKS / f"{name}.yaml"
    if (root / named).is_file():
        return named
    if (root / name).is_file():
        return Path(name)
    if Path(name).is_file():
        return Path(name).resolve()
    known = benchmark_names(root)
    if (root / name).is_dir():
        raise UserError(f"--benchmark {name}: is a folder, must be a benchmark's name or file{suggest(name, known)}")
    raise UserError(f"--benchmark {name}: there is no such benchmark{suggest(Path(name).stem, known)}")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The benchmark that a command is about, and what ``--set`` lays over it."""

    root: Path
    benchmark: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> Plan:
        """Resolve the benchmark."""
        from counterpoise.planning.plan import make_plan

        path = self.benchmark if self.root == Path() or self.benchmark.is_absolute() else self.root / self.benchmark
        return make_plan(self.root, path, self.overrides)


def request(benchmark: str, settings: list[str] | None, root: Path | None) -> Request:
    """Return what the common options ask for."""
    from counterpoise.planning.benchmark import parse_overrides

    home = find_root(root)
    return Request(root=home, benchmark=benchmark_path(home, benchmark), overrides=parse_overrides(settings or []))


def _complete(incomplete: str) -> list[str]:
    try:
        return [name for name in benchmark_names(find_root()) if name.startswith(incomplete)]
    except UserError:
        return []


BenchmarkOption = Annotated[
    str, typer.Option("--benchmark", "-b", metavar="NAME", help="benchmark, by name or file", autocompletion=_complete)
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="laid over the benchmark's key; repeatable")
]
RootOption = Annotated[Path | None, typer.Option("--root", hidden=True, help="project folder; default: found upward")]
JsonOption = Annotated[bool, typer.Option("--json", help="machine-readable")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>")]


def other_benchmarks(root: Path, plan: Plan, paper: str, table: str = "") -> str:
    """Say which other benchmarks have a table, or any table of a paper, that this one has not; nothing if none has."""
    from counterpoise.planning.benchmark import load_benchmark

    found = []
    for name in benchmark_names(root):
        try:
            runs = load_benchmark(root / BENCHMARKS / f"{name}.yaml").table_runs
        except UserError:  # of another benchmark, which nobody asked for
            continue
        if any(run.paper == paper and table in ("", run.table) for run in runs) and name != plan.path.stem:
            found.append(f"'-b {name}'")
    return f"; {' or '.join(found)} has it" if found else ""


def check_mirror(plan: Plan, root: Path) -> None:
    """Refuse a mirror that is a folder and is not there, before anything is run.

    Raises:
        UserError: names the nearest folder.
    """
    mirror = plan.benchmark.mirror
    if mirror is None or "://" in mirror:
        return
    try:
        folder = root / Path(mirror).expanduser()
    except RuntimeError:  # '~someone', and nobody is called so
        folder = root / mirror
    if folder.is_dir():
        return
    above = next((parent for parent in folder.parents if parent.is_dir()), Path())
    step = folder.relative_to(above).parts[0]
    try:
        beside = {path.name: path for path in above.iterdir() if path.is_dir()}
    except OSError:
        beside = {}
    near = difflib.get_close_matches(step, beside, n=1, cutoff=0.5)
    hint = f"did you mean '{beside[near[0]]}'?" if near else f"the nearest folder that is there is '{above}'"
    raise UserError(f"{plan.path}: key 'mirror': no folder '{mirror}'; {hint} An address begins as in 'https://'")


def data_roots(plan: Plan, root: Path) -> dict[str, Path]:
    """Return the user's own folders of raw data that a benchmark names, checked; relative ones are in ``root``."""
    from counterpoise.data.prepare import read_data_roots

    try:
        return read_data_roots(plan.benchmark.data_roots, plan.resolver.configs.names("datasets"), root)
    except UserError as error:
        raise UserError(f"{plan.path}: {error}") from error
