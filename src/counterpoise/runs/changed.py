"""What was changed behind the workflow's back: files of runs and of the derived folder that are not what was written.

A run that is there is not trained again; so before a workflow plans its jobs, it looks for what is there and wrong. For a
run that the derived folder rests on, the basis says what its files were when they were read; of another one, its record
names their digests. See :mod:`counterpoise.results.basis` for what is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.files import json_text, sha256_file
from counterpoise.planning.plan import Plan
from counterpoise.results.basis import (
    Basis,
    Stamp,
    derived_problem,
    explanations_folder,
    file_problem,
    read_basis,
    results_folder,
    what_is_asked,
)
from counterpoise.results.layout import Layout
from counterpoise.runs.layout import layout_of
from counterpoise.runs.record import RECORD, read_record

REPORT = "report"
LARGE = 64_000_000
"""Bytes from which on a file that is older than its record counts as what the record names."""


def find_changed(plan: Plan, root: Path) -> dict[str, str]:
    """Return what must be made again although it is there, with the reason.

    Names: ``<cell>/seed-<n>`` for a run, ``<cell>/seed-<n>/<probe or measurement>`` for what was made of it, and
    ``report`` for the derived folder.
    """
    root = Path(root)
    basis = read_basis(results_folder(root, plan.benchmark.name))
    known = {} if basis is None else basis.runs
    found: dict[str, str] = {}
    for cell in plan.cells:
        for seed in plan.seeds:
            name = f"{cell.name}/seed-{seed}"
            folder = root / cell.run_directory(seed)
            if (folder / RECORD).is_file():
                since = 0 if basis is None else basis.read_at
                found |= _changed_files(name, folder, cell.key, seed, known.get(name), since)
    reason = "runs were changed" if found else report_problem(plan, root, basis)
    return found | ({REPORT: reason} if reason else {})


def report_problem(plan: Plan, root: Path, basis: Basis | None) -> str:
    """Return why the derived folder of a benchmark must be made again, runs apart; empty where it need not."""
    layout = layout_of(plan, root)
    asked = asked_for(layout, root)
    names = plan.benchmark.name
    return derived_problem(results_folder(root, names), basis, asked, explanations_folder(root, names))


def asked_for(layout: Layout, root: Path) -> str:
    """Return the digest of what a benchmark's derived folder rests on besides runs."""
    text = json_text(layout.model_dump(mode="json", by_alias=True), sort_keys=False)
    return what_is_asked(root, text, layout.papers)


def _changed_files(
    name: str, folder: Path, key: str, seed: int, stamps: Mapping[str, Stamp] | None, since: int
) -> dict[str, str]:
    if stamps is None or file_problem(folder / RECORD, stamps[RECORD], since):
        # Not read yet, or trained again since then: the record itself says what belongs to it.
        problem = record_problem(folder, key, seed)
        return {name: problem} if problem else {}
    found = {}
    for file, expected in stamps.items():
        problem = file_problem(folder / file, expected, since)
        if problem:
            made_of_it = file.startswith("probe.") or file.count(".") == 2  # <kind>.<key>.<suffix>
            found[f"{name}/{file.rpartition('.')[0]}" if made_of_it else name] = problem
    return found


def record_problem(folder: Path, key: str, seed: int) -> str:
    """Return in what the files of a run do not fit its record or its path, or nothing."""
    try:
        record = read_record(folder, key, seed)
    except UserError as error:
        return str(error)
    recorded_at = (folder / RECORD).stat().st_mtime_ns
    for name, digest in record.files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is not there"
        status = path.stat()
        unchanged = status.st_size > LARGE and max(status.st_mtime_ns, status.st_ctime_ns) <= recorded_at
        if not unchanged and sha256_file(path) != digest:
            return f"{path} is not the file that its record names"
    return ""
