"""Publish a finished benchmark: copy what its numbers rest on into a record that stands on its own."""

from __future__ import annotations

import gzip
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from counterpoise.errors import UserError
from counterpoise.files import atomic_directory, read_json, sha256_file, write_bytes, write_json, write_text
from counterpoise.judging.compare import compare_paper
from counterpoise.planning.plan import Plan
from counterpoise.publication import record as published
from counterpoise.publication.overview import draw_tables
from counterpoise.publication.readme import readme_text
from counterpoise.publication.recorded import as_recorded
from counterpoise.reporting.layout import lay_out
from counterpoise.reporting.tables import table_texts
from counterpoise.results.explained import read_explanations
from counterpoise.results.results import read_results
from counterpoise.runs.status import RunStatus, State, run_statuses
from counterpoise.validation import load_yaml

LIMIT = 5_000_000
"""Bytes that Git may hold of one record."""

# Compressed copies, in the order in which they are kept as long as there is room.
OPTIONAL = ("history.csv", "timings.csv", "diagnostics.csv")
TABLE_FORMATS = (".md", ".csv", ".tex")
EXPLANATION_FORMATS = (".md", ".csv", ".json")
FIGURE_FORMATS = (".csv", ".svg", ".png")
PREDICTIONS_FILE, WEIGHTS_FILE = "predictions.npz", "weights.safetensors"
STATUSES = {State.FRESH: "completed", State.DIVERGED: "diverged", State.FAILED: "failed"}


@dataclass(frozen=True)
class Publication:
    """What was published: ``size`` is of the files for Git, ``tracked`` are the folders that DVC carries."""

    folder: Path
    size: int
    runs: int
    with_predictions: int
    left_out: tuple[str, ...]
    tracked: tuple[Path, ...]


def publish(
    plan: Plan,
    root: Path,
    name: str | None = None,
    *,
    partial: bool = False,
    weights: bool = False,
    any_source: bool = False,
) -> Publication:
    """Write ``results/published/<name>`` (default: the benchmark's name) from the finished runs of a plan.

    A record that is there is replaced as a whole; its ``notes.md`` stays. Predictions, and with ``weights``
    the networks' weights where runs kept them, go into folders that Git ignores; in a DVC project,
    ``dvc add`` makes their ``.dvc`` files. ``any_source``: runs of the same configuration count whatever
    version of the source made them (:mod:`counterpoise.publication.recorded`).

    Raises:
        UserError: a run is broken, or (unless ``partial``) one is missing, failed, or not evaluated; or the
            record would be larger than Git should hold.
    """
    root = Path(root)
    planned, plan = plan, as_recorded(plan, root) if any_source else plan
    statuses = [_evaluated(plan, root, status) for status in run_statuses(plan, root)]
    _check_finished(plan, statuses, partial)
    folder = root / published.HOME / (name or plan.benchmark.name)
    kept = {
        file: (folder / file).read_bytes()
        for file in (published.NOTES, *(f"{large}.dvc" for large in published.NOT_IN_GIT))
        if (folder / file).is_file()
    }
    with atomic_directory(folder) as fresh:
        for file, data in kept.items():
            write_bytes(fresh / file, data)
        write_text(fresh / ".gitignore", "".join(f"/{large}\n" for large in published.NOT_IN_GIT))
        _copy_plan(plan, root, fresh)
        _copy_runs(plan, root, fresh, statuses)
        figures = _copy_figures(plan, root, fresh)
        with_predictions = _copy_large(plan, root, fresh, statuses, weights)
        left_out = _copy_optional(plan, root, fresh, statuses)
        write_json(fresh / published.PLAN, _plan_data(planned, plan, root, statuses, figures, left_out))
        _write_results(fresh)
        draw_tables(plan, fresh)
        published.write_manifest(fresh)
        size = _size(fresh)
        if size > LIMIT:
            raise UserError(f"{folder}: would be {size:,} bytes for Git to hold, {LIMIT:,} are allowed")
    runs = sum(status.finished for status in statuses)
    return Publication(folder, size, runs, with_predictions, tuple(left_out), tuple(_track(root, folder)))


def rewrite_readme(folder: Path) -> Path:
    """Write a record's README again, with its ``notes.md`` as that is now, and enter it in the manifest."""
    write_text(folder / published.README, readme_text(published.read_published(folder)))
    manifest = dict(published.read_manifest(folder).files)
    manifest[published.README] = sha256_file(folder / published.README)
    write_json(folder / published.MANIFEST, {"schema": published.SCHEMA, "files": manifest})
    return folder / published.README


def _evaluated(plan: Plan, root: Path, status: RunStatus) -> RunStatus:
    """Return a run's status; one without metrics is as good as missing."""
    there = (root / status.cell.run_directory(status.seed) / plan.metrics_name).is_file()
    if status.finished and not there:
        return RunStatus(status.cell, status.seed, State.MISSING, "not evaluated")
    return status


def _check_finished(plan: Plan, statuses: list[RunStatus], partial: bool) -> None:
    broken = next((status for status in statuses if status.state is State.BROKEN), None)
    if broken is not None:
        raise UserError(broken.detail)
    lacking = sum(not status.finished for status in statuses)
    if lacking == len(statuses):
        raise UserError(f"{plan.path}: none of its runs is there with metrics: nothing to publish")
    if lacking and not partial:
        raise UserError(
            f"{plan.path}: {lacking} of {len(statuses)} runs are not there or not evaluated; "
            "'counterpoise status' lists them, --partial publishes without them"
        )


def _copy_plan(plan: Plan, root: Path, folder: Path) -> None:
    written = load_yaml(plan.path, "benchmark")
    if published.LOCAL_KEYS.isdisjoint(written):
        shutil.copyfile(plan.path, folder / published.BENCHMARK_FILE)
    else:
        portable = yaml.safe_dump(published.without_local(written), sort_keys=False, allow_unicode=True)
        write_text(folder / published.BENCHMARK_FILE, portable)
    _copy(root / "results/search" / f"{plan.benchmark.name}.json", folder / published.SEARCH)
    _copy_explanations(plan, root, folder / "explain")
    for paper in plan.papers:
        shutil.copytree(root / "configs/papers" / paper, folder / "papers" / paper)


def _copy_explanations(plan: Plan, root: Path, target: Path) -> None:
    """Copy what ``counterpoise explain --write`` found out about numbers of this benchmark."""
    for path in read_explanations(root, plan.benchmark.name):
        for suffix in EXPLANATION_FORMATS:
            _copy(path.with_name(path.stem + suffix), target / (path.stem + suffix))


def _plan_data(
    planned: Plan, plan: Plan, root: Path, statuses: list[RunStatus], figures: list[str], left_out: list[str]
) -> dict[str, Any]:
    papers = {
        paper: {path.name: sha256_file(path) for path in sorted((root / "configs/papers" / paper).iterdir())}
        for paper in plan.papers
    }
    runs = [
        {"cell": status.cell.name, "seed": status.seed, "status": STATUSES.get(status.state, "missing")}
        for status in statuses
    ]
    return {
        "schema": published.SCHEMA,
        "benchmark": published.without_local(plan.benchmark.model_dump(mode="json")),
        "benchmark_file": _inside(plan.path, root),
        "overrides": published.without_local(plan.overrides),
        "metrics_name": plan.metrics_name,
        "probe_name": plan.probe_name,
        "cells": published.stored_cells(plan),
        "values": published.stored_values(plan),
        "papers": papers,
        "figures": figures,
        "runs": runs,
        "left_out": left_out,
        "origin": {**_commit(root), **_sources(planned, plan, statuses)},
    }


def _sources(planned: Plan, plan: Plan, statuses: Iterable[RunStatus]) -> dict[str, Any]:
    """Return which source judged, which measured where that is known, and how many runs another one made."""
    today = {cell.name for cell in planned.cells}
    digests = published.writer_digests()
    if plan.metrics_name != planned.metrics_name:
        digests["evaluation"] = ""
    return digests | {"other_source": sum(s.finished and s.cell.name not in today for s in statuses)}


def _inside(path: Path, root: Path) -> str:
    path, root = Path(path).resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _commit(root: Path) -> dict[str, Any]:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)results")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _places(root: Path, folder: Path, statuses: Iterable[RunStatus]) -> Iterator[tuple[RunStatus, Path, Path]]:
    """Yield each run with its folder and its place in the record, below ``runs``."""
    for status in statuses:
        place = folder / published.RUNS / status.cell.name / f"seed-{status.seed}"
        yield status, root / status.cell.run_directory(status.seed), place


def _copy_runs(plan: Plan, root: Path, folder: Path, statuses: list[RunStatus]) -> None:
    for status, source, place in _places(root, folder, statuses):
        if status.state is State.FAILED:
            note = read_json(source / "failure.json", "note of a failure")
            told = {name: note.get(name) for name in ("schema", "key", "seed", "status", "reason")}
            write_json(place / "failure.json", told)
        if status.record is None:
            continue
        write_json(place / "record.json", {**status.record, "command": _portable(status.record["command"])})
        probe = plan.probe_of(status.cell)
        for name in (plan.metrics_name, *([f"{probe}.json"] if probe else [])):
            if (source / name).is_file():
                shutil.copyfile(source / name, place / name)


def _portable(command: str) -> str:
    """Return a command without the paths of the machine that it ran on."""
    return shlex.join(_portable_word(word) for word in shlex.split(command))


def _portable_word(word: str) -> str:
    key, separator, value = word.rpartition("=")
    local = any(name in key for name in published.LOCAL_KEYS) or value.strip("'\"").startswith(("/", "~"))
    return f"{key}{separator}<local>" if local else word


def _copy_large(plan: Plan, root: Path, folder: Path, statuses: list[RunStatus], weights: bool) -> int:
    """Copy predictions and weights; return how many runs had their predictions."""
    found = 0
    for status, source, _ in _places(root, folder, statuses):
        if status.record is None:
            continue
        place = folder / published.PREDICTIONS / status.cell.name / f"seed-{status.seed}"
        probe = plan.probe_of(status.cell)
        for name in (PREDICTIONS_FILE, *([f"{probe}.npz"] if probe else [])):
            found += _copy(source / name, place / name) and name == PREDICTIONS_FILE
        if weights:
            place = folder / published.WEIGHTS / status.cell.name / f"seed-{status.seed}"
            _copy(source / WEIGHTS_FILE, place / WEIGHTS_FILE)
    return found


def _copy(source: Path, target: Path) -> bool:
    if not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True


def _copy_optional(plan: Plan, root: Path, folder: Path, statuses: list[RunStatus]) -> list[str]:
    """Copy, compressed, each kind of file for which there is room; return the kinds that are left out."""
    # Tables, comparison and README are written later: a fifth is kept for them.
    room = LIMIT * 4 // 5 - _size(folder)
    left_out = []
    for name in OPTIONAL:
        packed = {
            place / f"{name}.gz": gzip.compress((source / name).read_bytes(), mtime=0)
            for status, source, place in _places(root, folder, statuses)
            if status.record is not None and (source / name).is_file()
        }
        size = sum(map(len, packed.values()))
        if size > room:
            left_out.append(name)
            continue
        room -= size
        for path, data in packed.items():
            write_bytes(path, data)
    return left_out


def _copy_figures(plan: Plan, root: Path, folder: Path) -> list[str]:
    """Copy the benchmark's figures that were drawn; return their names."""
    found = []
    for planned in plan.figures:
        source, target = root / "results/figures" / planned.id, folder / "figures" / planned.id
        copied = [
            _copy(source.with_name(source.name + suffix), target.with_name(target.name + suffix))
            for suffix in FIGURE_FORMATS
        ]
        if all(copied):
            found.append(planned.id)
    return found


def _write_results(folder: Path) -> None:
    """Write tables, comparisons and the README from what the record holds now, and nothing else."""
    record = published.read_published(folder)
    for path, text in result_texts(record.plan, folder).items():
        write_text(folder / path, text)
    write_text(folder / published.README, readme_text(record))


def result_texts(plan: Plan, root: Path) -> dict[str, str]:
    """Return the text of every table and comparison of a plan's runs, by its path in a published record."""
    results = read_results(plan, root)
    texts = {}
    for paper in plan.papers:
        for name, text in compare_paper(plan, root, paper, results).texts().items():
            texts[f"comparison/{name}"] = text
    for paper, table in plan.tables:
        view = lay_out(plan, results, plan.papers[paper], plan.papers[paper].table(table))
        for suffix, text in table_texts(view).items():
            if suffix in TABLE_FORMATS:
                texts[f"tables/{paper}/{table}{suffix}"] = text
    return texts


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in published.record_files(folder))


def _track(root: Path, folder: Path) -> Iterator[Path]:
    """Give DVC the folders that Git does not hold, where the project uses DVC; yield them."""
    for large in published.NOT_IN_GIT:
        if not (folder / large).is_dir():
            # A pointer from an earlier publication would lead to files of other runs.
            (folder / f"{large}.dvc").unlink(missing_ok=True)
            continue
        if not (root / ".dvc").is_dir():
            continue
        command = [sys.executable, "-m", "dvc", "add", "--quiet", str((folder / large).resolve())]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise UserError(f"{folder / large}: the record is written, but 'dvc add' failed: {why}")
        yield folder / large
