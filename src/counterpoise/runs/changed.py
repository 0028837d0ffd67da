"""What was changed behind the workflow's back: files of runs and of the derived folder that are not what was written.

A run that is there is not trained again; so before a workflow plans its jobs, it looks for what is there and wrong. For
a run that the derived folder rests on, the basis says what its files were when they were read; of another one, its
record names their digests. See :mod:`counterpoise.results.basis` for what is compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from counterpoise.components import component
from counterpoise.errors import UserError
from counterpoise.files import json_text, read_json, sha256_file, write_text
from counterpoise.planning.figures import measurement_name
from counterpoise.planning.manifest import data_again, read_manifest
from counterpoise.planning.plan import Cell, Plan
from counterpoise.results.basis import (
    BASIS,
    Stamp,
    derived_problem,
    file_problem,
    read_basis,
    results_folder,
    stamp,
    what_is_asked,
)
from counterpoise.results.explained import explanations_folder
from counterpoise.results.layout import Layout
from counterpoise.results.record import RECORD, data_problem, read_record
from counterpoise.runs.failure import NAME as FAILURE
from counterpoise.runs.layout import layout_of
from counterpoise.runs.status import RunStatus, State, run_statuses

NOTE = "work/changed.txt"
CONTENT = "content"
"""The array of prepared data that holds the digest of each sample's files (:mod:`counterpoise.data.store`)."""
LARGE = 64_000_000
"""Bytes from which on a file that is older than its record counts as what the record names."""


def find_changed(plan: Plan, root: Path) -> dict[str, str]:
    """Return the files that must be made again although they may be there, each with the reason.

    A file stands for what its job writes: ``record.json`` for a run, a probe's or a measurement's own file, and
    ``basis.json`` for the derived folder. Paths are relative to the project.
    """
    root = Path(root)
    home = results_folder(Path(), plan.benchmark.name)
    basis = read_basis(root / home)
    known = {} if basis is None else basis.runs
    since = 0 if basis is None else basis.read_at
    broken: dict[str, str] = {}
    since_then = ""
    layout = layout_of(plan, root)
    asked = asked_for(layout, root)
    # The layout has the manifests: as long as it is the same, runs that were read then are of the data that is there.
    same_data = basis is not None and basis.asked == asked
    for cell in plan.cells:
        for seed in plan.seeds:
            manifest = layout.data[cell.data_of(seed).directory.name].manifest
            place = cell.run_directory(seed)
            stamps = known.get(f"{cell.name}/seed-{seed}", {})
            outcome = outcome_file(root / place)
            if outcome != next((file for file in (RECORD, FAILURE) if file in stamps), ""):
                since_then = f"{place} is another than when results were written"
            elif outcome and file_problem(root / place / outcome, stamps[outcome], since):
                since_then = f"{place / outcome} is newer"
                stamps = {}
            if outcome == RECORD:
                found, problem = {}, ""
                if RECORD not in stamps:
                    # Not read yet, or trained again since then: the record itself says what belongs to it.
                    problem = record_problem(root / place, cell.key, seed, manifest)
                else:
                    found = _broken_files(root / place, stamps, since)
                    if RECORD not in found and not same_data:
                        problem = data_problem(read_record(root / place, cell.key, seed), manifest)
                        problem = problem and f"{root / place / RECORD}: {problem}"
                found |= {RECORD: problem} if problem else {}
                broken |= {f"{place}/{name}": reason for name, reason in found.items()}
    reason = next(iter(broken.values()), "") or since_then
    reason = reason or derived_problem(root / home, basis, asked, explanations_folder(root, plan.benchmark.name))
    return broken | ({f"{home}/{BASIS}": reason} if reason else {})


def again_text(changed: Mapping[str, str]) -> str:
    """Return how much is made again and why, in a line; :data:`NOTE` has the reason of every file.

    Args:
        changed: files with their reasons, as :func:`find_changed` returns them.
    """
    names = [path.rpartition("/")[2] for path in changed]
    trained, written = names.count(RECORD), BASIS in names
    counts = {"trained": trained, "measured": len(names) - trained - written}
    parts = [f"{n} run{'' if n == 1 else 's'} {what} again" for what, n in counts.items() if n]
    parts += ["results written anew"] if written else []
    first, *others = dict.fromkeys(changed.values())
    more = f", and {len(others)} more: {NOTE}" if others else ""
    return f"{', '.join(parts)}: {first}{more}"


def checked_statuses(plan: Plan, root: Path) -> list[RunStatus]:
    """Return the status of every run, ``broken`` where the workflow would train a finished one again, and why."""
    changed = find_changed(plan, root)
    runs = []
    for run in run_statuses(plan, root):
        reason = changed.get(f"{run.cell.run_directory(run.seed)}/{RECORD}")
        if run.finished and reason:
            run = replace(run, state=State.BROKEN, detail=f"{reason}; the next run trains it again")
        runs.append(run)
    return runs


def check_raw_data(plan: Plan, root: Path) -> None:
    """Raise ``UserError`` where prepared data of the plan was made from other raw files than are there now.

    Arrays are there by their path, so no job looks at the raw files again. Files that are gone are no change.
    """
    for data in plan.datasets:
        path = Path(root) / data.directory
        if not (path / "manifest.json").is_file():
            continue
        manifest = read_manifest(path)
        pinned = any(source.get("published") is not None for source in manifest.get("sources", ()))
        own = not component("dataset", data.component).info.modalities  # files of one's own, which nobody pins
        if not pinned and not own and CONTENT not in manifest.get("extras", {}):
            continue  # made of what is installed, not of files; and the imports below take time
        from counterpoise.data.prepare import changes_text, make_dataset, raw_changes, raw_files
        from counterpoise.data.prepared import PreparedData

        given = plan.benchmark.data_roots
        roots = {name: Path(root) / os.path.expanduser(folder) for name, folder in given.items()}
        roots = {name: folder for name, folder in roots.items() if folder.is_dir()}
        dataset = make_dataset(data.component, data.settings)
        raw = raw_files(dataset, Path(root) / "data/raw", roots, data.name)
        changes = raw_changes(dataset, raw, PreparedData(path, manifest))
        if changes:
            # Another version of one's own files is other data, under another key: runs on the old ones stay right.
            again = f"raise 'version' in configs/datasets/{data.name}.yaml" if own else data_again(Path(data.directory))
            raise UserError(f"{data.directory}: {changes_text(changes)}; to use them, {again}")


def asked_for(layout: Layout, root: Path) -> str:
    """Return the digest of what a benchmark's derived folder rests on besides runs."""
    text = json_text(layout.model_dump(mode="json", by_alias=True), sort_keys=False)
    return what_is_asked(root, text, layout.papers)


def outcome_file(folder: Path) -> str:
    """Return the name of the file that says how a run ended: its record, the note of its failure, or empty."""
    return next((name for name in (RECORD, FAILURE) if (folder / name).is_file()), "")


def made_of(plan: Plan, cell: Cell) -> list[str]:
    """Return the names of the files that the benchmark has made of a cell's finished runs."""
    probe = [f"{plan.probe_name}{suffix}" for suffix in (".json", ".npz")] if cell.name in plan.probed else []
    return probe + sorted(f"{measurement_name(found)}.csv" for found in plan.measured.get(cell.name, ()))


def run_stamps(folder: Path, made_of_it: Iterable[str]) -> dict[str, Stamp]:
    """Return the stamps of a run's files for the basis; none where nothing is known of it.

    Args:
        made_of_it: names of probes and measurements that belong to the benchmark.
    """
    outcome = outcome_file(folder)
    if not outcome:
        return {}
    found = {outcome: stamp(folder / outcome)}
    if outcome == RECORD:
        for name, digest in read_json(folder / RECORD, "run record")["files"].items():
            # Its digest is the record's: that the file has it was checked before.
            found[name] = ((folder / name).stat().st_size, digest)
        found |= {name: stamp(folder / name) for name in made_of_it if (folder / name).is_file()}
    return found


def write_note(reasons: Mapping[str, str], root: Path) -> str:
    """Write why files must be made again, and return the note's path: newer than each of these files.

    As an input of their rules it makes Snakemake plan them, whatever their times say; no run or table rests on it.
    """
    path = Path(root) / NOTE
    write_text(path, "".join(f"{file}: {reason}\n" for file, reason in reasons.items()) + f"noted {time.time_ns()}\n")
    made = [Path(root) / file for file in reasons]
    latest = max((file.stat().st_mtime_ns for file in made if file.is_file()), default=0)
    if latest >= path.stat().st_mtime_ns:  # a clock was wrong then, or is now
        os.utime(path, ns=(latest + 10**9, latest + 10**9))
    return NOTE


def _broken_files(folder: Path, stamps: Mapping[str, Stamp], since: int) -> dict[str, str]:
    """Return what is wrong with files of a run that was read, by the file that stands for what must be made again."""
    found = {}
    for file, expected in stamps.items():
        problem = file_problem(folder / file, expected, since)
        if problem:
            # <probe or kind>.<key>.<suffix> was made of the run; a probe's arrays stand or fall with its .json
            made_of_it = file.count(".") == 2
            found[file.replace(".npz", ".json") if made_of_it else RECORD] = problem
    return found


def record_problem(folder: Path, key: str, seed: int, manifest: Mapping[str, Any]) -> str:
    """Return in what the files of a run do not fit its record, its path or its data's manifest, or nothing."""
    try:
        record = read_record(folder, key, seed)
    except UserError as error:
        return str(error)
    problem = data_problem(record, manifest)
    if problem:
        return f"{folder / RECORD}: {problem}"
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
