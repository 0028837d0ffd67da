"""The command ``counterpoise report-bug``: what a maintainer needs to know of an installation and its last failure.

The form for an issue names it; the help does not.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.project import DEFAULT_BENCHMARK, RootOption, benchmark_path, find_root
from counterpoise.git import commit_of

app = typer.Typer()

RUNS = Path("results/runs")
FAILURE = "failure.json"
WITH_VERSION = (
    "counterpoise",
    "snakemake",
    "torch",
    "torchvision",
    "torchaudio",
    "numpy",
    "scipy",
    "pandas",
    "pydantic",
)
NAMED = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "COUNTERPOISE_SHARED", "SLURM_JOB_ID")
"""Variables of the environment of which it is said whether they are set; never their values."""


@app.command("report-bug", hidden=True)
def report_bug(
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", metavar="NAME", help="the one that it is about")] = (
        DEFAULT_BENCHMARK
    ),
    root: RootOption = None,
) -> None:
    """Print what belongs into a report of a bug: versions, platform, benchmark, last failure; nothing private."""
    home = find_root(root)
    for line in report_lines(home, benchmark_path(home, benchmark)):
        print(without_private(line, home))


def report_lines(root: Path, benchmark: Path) -> Iterator[str]:
    """Yield the report, before names of people, machines and folders are taken out."""
    yield f"python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}"
    yield f"{os.cpu_count()} CPU cores; GPU: {_gpu()}"
    for name in WITH_VERSION:
        yield f"{name} {_version(name)}"
    yield f"source: {_source(root)}"
    yield f"environment: {', '.join(name for name in NAMED if name in os.environ) or 'none of its variables'} set"
    yield f"benchmark: {benchmark.stem}{'' if (root / benchmark).is_file() else ' (outside of the project)'}"
    yield from _last_failure(root)


def without_private(line: str, root: Path) -> str:
    """Return a line without the user's, the machine's and the folders' names."""
    for folder, shown in ((root.resolve(), "."), (Path(sys.prefix), "<python>"), (Path.home(), "~")):
        if len(folder.parts) > 1:  # never "/", which is in everything
            line = line.replace(str(folder), shown)
    for secret, shown in ((platform.node(), "<machine>"), (_user(), "<user>")):
        if secret:
            line = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", shown, line)
    # An address with a password, and what is set as a key or token.
    line = re.sub(r"://[^/\s@]+@", "://", line)
    return re.sub(r"(?i)\b(\w*(?:token|secret|password|api_?key)\w*)(\s*[=:]\s*)\S+", r"\1\2<removed>", line)


def _last_failure(root: Path) -> Iterator[str]:
    notes = sorted((root / RUNS).glob(f"*/*/*/seed-*/{FAILURE}"), key=lambda path: path.stat().st_mtime)
    if not notes:
        yield "last failure: no run has left one"
        return
    yield f"last failure: {notes[-1].parent.relative_to(root / RUNS)}"
    try:
        failure = json.loads(notes[-1].read_text(encoding="utf-8"))["failures"][-1]
        yield f"  {failure['status']}, attempt {failure['attempt']}: {failure['reason']}"
        yield from (f"  | {line}" for line in failure["last_lines"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield f"  its note cannot be read: {type(error).__name__}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken installation is what is reported, perhaps
        return f"unknown, torch cannot be imported ({type(error).__name__})"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _source(root: Path) -> str:
    from counterpoise.reporting.words import commit_text

    commit, changed = commit_of(root)
    return "not a Git checkout" if commit is None else f"commit {commit_text(commit, changed)}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
