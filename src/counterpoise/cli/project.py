"""Which project, and which benchmark of it, a command is about: found by name, from any folder of the project."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.errors import UserError, suggest

if TYPE_CHECKING:
    from counterpoise.planning.plan import Plan

DEFAULT_BENCHMARK = "digits"
BENCHMARKS = Path("configs/benchmarks")


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
        "change into a clone of it, or name one by --root"
    )


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


def data_roots(plan: Plan, root: Path) -> dict[str, Path]:
    """Return the user's own folders of raw data that a benchmark names, by dataset, checked."""
    from counterpoise.data.prepare import read_data_roots

    configurations = sorted(path.stem for path in (root / "configs/datasets").glob("*.yaml"))
    return read_data_roots(plan.benchmark.data_roots, configurations)
