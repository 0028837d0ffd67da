"""The HTML report, as a folder of offline pages or as one file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import atomic_directory, write_bytes, write_json
from counterpoise.judging.compare import Comparison
from counterpoise.planning.plan import Plan
from counterpoise.reporting.pages.material import gather
from counterpoise.reporting.pages.site import as_folder, as_single_file

SUMMARY_SCHEMA = 1
MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 1


def write_report(plan: Plan, root: Path) -> Path:
    """Write the folder ``results/report`` and ``results/summary.json`` under ``root``; return the start page.

    The folder is replaced as a whole; ``manifest.json`` in it lists its files with their digests.

    Raises:
        UserError: a result file is broken or belongs to another run, or the folder cannot be written.
    """
    root = Path(root)
    material = gather(plan, root)
    found = as_folder(material)
    home = root / "results" / "report"
    try:
        with atomic_directory(home) as folder:
            _write_all(folder, found)
            write_json(folder / MANIFEST, manifest(plan, found))
    except OSError as error:
        raise UserError(f"{home}: cannot be written: {error.strerror}; what was there is kept") from error
    write_json(root / "results" / "summary.json", summary(material.plan, material.comparisons))
    return home / "index.html"


def _write_all(folder: Path, found: Mapping[str, bytes]) -> None:
    for name, content in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_single_file(plan: Plan, root: Path) -> Path:
    """Write the same pages as the single file ``results/report.html`` under ``root``; return its path.

    Raises:
        UserError: a result file is broken or belongs to another run.
    """
    path = Path(root) / "results" / "report.html"
    write_bytes(path, as_single_file(gather(plan, Path(root))))
    return path


def manifest(plan: Plan, found: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the report is of and the SHA-256 of each of its files, as JSON data."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    return {
        "schema": MANIFEST_SCHEMA,
        "benchmark": plan.benchmark.name,
        "plan": plan.digest("report"),
        "files": digests,
    }


def summary(plan: Plan, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the verdict counts of every paper of the benchmark, as JSON data."""
    papers = {comparison.paper.paper: comparison.summary() for comparison in comparisons}
    return {"schema": SUMMARY_SCHEMA, "benchmark": plan.benchmark.name, "papers": papers}
