"""Publish a benchmark's results: a record that stands on its own, with what recomputes every number in it."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from counterpoise.errors import UserError
from counterpoise.files import atomic_directory, read_bytes, write_bytes, write_json, write_text
from counterpoise.git import commit_of
from counterpoise.judging.compare import Comparison, judge
from counterpoise.papers.head import OWN
from counterpoise.papers.paper import Paper
from counterpoise.publication import record as published
from counterpoise.publication.explanations import FLIPS, choose_flips, make_explanations, read_flips
from counterpoise.publication.explanations import FOLDER as EXPLANATIONS
from counterpoise.publication.readme import NOTES, readme_text
from counterpoise.publication.verify import recompute, recompute_values, verify
from counterpoise.reporting.explain import write_explanation
from counterpoise.results.arrays import pack_arrays
from counterpoise.results.explained import WrittenExplanation, explanations_folder, read_explanations
from counterpoise.results.layout import OF_ONE_MACHINE, without_local
from counterpoise.results.papers import papers_of
from counterpoise.results.record import RunRecord
from counterpoise.results.result_set import PUBLISHED, RESULTS
from counterpoise.results.run_files import (
    COMPACT,
    DIAGNOSTICS,
    HISTORY,
    PREDICTIONS,
    RECORD,
    TIMINGS,
    compact,
    read_predictions,
    read_run_file,
)
from counterpoise.results.table import Results, RunEntry, combined, read_results, write_results
from counterpoise.validation import load_yaml

BUDGET = 30_000_000
"""Bytes that Git holds of all records of a project together."""
FULL_PREDICTIONS = 5_000_000
"""Bytes of one record's predictions beyond which classes and confidences take their place."""
FOR_PAGES = 3_000_000
"""Bytes that are kept for the tables, figures and pages of a record."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What was published: ``size`` of this record and ``total`` of all in bytes; ``left_out`` for want of room."""

    folder: Path
    size: int
    total: int
    runs: int
    compact: bool
    left_out: tuple[str, ...]
    problems: tuple[str, ...]


def publish(
    root: Path,
    benchmark: str,
    name: str | None = None,
    *,
    partial: bool = False,
    extend: bool = False,
    flips: Results | None = None,
) -> Publication:
    """Write ``results/published/<name>`` (default: the benchmark's name) from ``results/<benchmark>`` and its runs.

    A record that is there is replaced as a whole; its ``notes.md`` stays, and so do, with ``extend``, its finished
    runs that are planned and not finished here, and its explanations. Explanations are made anew, of the record's runs
    and those of their flips. Before it takes its place, the new record is verified: every number in it was recomputed
    from what is in it.

    Args:
        flips: the results of the cells that written explanations flip to
            (:func:`counterpoise.runs.explain.collect_written_flips`).

    Raises:
        UserError: there are no results; a run is missing or failed (unless ``partial``); results do not fit their
            runs; the record that is to be extended has none of the planned runs; or the project's records would be
            larger than :data:`BUDGET`.
    """
    root = Path(root)
    source = root / RESULTS / benchmark
    results = read_results(source)
    folder = root / PUBLISHED / (name or results.layout.name)
    sources = {run.folder: results.runs_folder / run.folder for run in results.runs}
    if extend:
        results, kept = _with_runs_of(published.read_published(published.find_record(root, folder.name)), results)
        sources |= kept
    homes = [*([folder / EXPLANATIONS] if extend else []), explanations_folder(root, results.layout.name)]
    written = {one.name: one for home in homes for one in read_explanations(home, results.layout.name).values()}
    answered = [one for one in written.values() if one.question(results.layout) is not None]
    flips, of_flips = choose_flips(answered, flips, read_flips(folder) if extend else None)
    sources = of_flips | sources
    _check_finished(source, results, partial)
    others = sum(_size(other) for other in _records(root) if other != folder)
    notes = read_bytes(folder / NOTES, "notes") if (folder / NOTES).is_file() else None
    results = _portable(results, root)
    flips = flips and _portable(flips, root)
    with atomic_directory(folder) as fresh:
        if notes is not None:
            write_bytes(fresh / NOTES, notes)
        write_results(results, fresh)
        papers = _copy_papers(results, (root / "configs",), fresh)
        _copy_benchmark(results, root, fresh)
        runs = {run.folder: run for run in (*(flips.runs if flips else ()), *results.runs)}.values()
        for run in runs:
            _copy_record(run, sources[run.folder], fresh / "runs" / run.folder)
        results = replace(results, runs_folder=fresh / "runs")
        room = BUDGET - others - _size(fresh) - FOR_PAGES
        packed, left_out = _copy_predictions(runs, results.layout.ece_bins, sources, fresh, room)
        left_out += _copy_series(runs, sources, fresh, room - packed.size)
        named = {name for run in runs for name in run.files}
        left_out += sorted(named - {PREDICTIONS, HISTORY, DIAGNOSTICS})  # weights
        if extend:  # agreement is between runs, and a run may have found another only here
            results = recompute_values(results, left_out)
            write_results(results, fresh)
        problems = _explain(written.values(), results, papers, flips, fresh)
        comparisons = [judge(papers[name], results) for name in results.layout.judged]
        problems += _derive(results, papers, comparisons, fresh)
        commit, changed = commit_of(root, ".", ":(exclude)results")
        _write_page(fresh, commit=commit, changed=changed, compact=packed.compact, left_out=tuple(left_out))
        size = _size(fresh)
        if size + others > BUDGET:
            raise UserError(
                f"{folder}: would be {size:,} bytes; with {others:,} of the other records that is more than the "
                f"{BUDGET:,} that the project keeps in Git"
            )
        found = verify(fresh)
        if found.differences:
            raise UserError(
                f"{source}: is not what its runs give ('counterpoise report' writes it again): {found.differences[0]}"
            )
    return Publication(
        folder=folder,
        size=size,
        total=size + others,
        runs=sum(run.finished for run in results.runs),
        compact=packed.compact,
        left_out=tuple(left_out),
        problems=tuple(problems),
    )


def judge_again(folder: Path, configs: Path) -> tuple[str, ...]:
    """Judge a published record by the rules, metrics and papers of today; return what could not be made.

    Its runs stay as they are, and its ``notes.md`` is read as it is now; all else in the folder is written anew. No
    run is planned: a record outlives the source that trained it, and its benchmark's file.

    Args:
        configs: the folder that has ``papers/``; a paper that is not in it any more is the record's own.

    Raises:
        UserError: the record is not what its files give.
    """
    folder = Path(folder)
    record = published.read_published(folder)
    results = recompute(record)
    with atomic_directory(folder) as fresh:
        for name in (NOTES, published.BENCHMARK, "runs"):
            if (folder / name).is_dir():
                shutil.copytree(folder / name, fresh / name)
            elif (folder / name).exists():
                shutil.copyfile(folder / name, fresh / name)
        papers = _copy_papers(results, (configs, folder), fresh)
        write_results(results, fresh)
        results = replace(results, runs_folder=fresh / "runs")
        written = read_explanations(folder / EXPLANATIONS, results.layout.name).values()
        flips = read_flips(folder)
        flips = flips and recompute_values(flips, record.manifest.left_out)
        problems = _explain(written, results, papers, flips, fresh)
        problems += _derive(results, papers, [judge(papers[name], results) for name in results.layout.judged], fresh)
        head = {name: getattr(record.manifest, name) for name in ("commit", "changed", "compact", "left_out")}
        _write_page(fresh, **head)
        found = verify(fresh)
        if found.differences:
            raise UserError(f"{folder}: does not verify when written anew: {found.differences[0]}")
    return tuple(problems)


def _check_finished(source: Path, results: Results, partial: bool) -> None:
    lacking = sum(not run.finished for run in results.runs)
    if lacking == len(results.runs):
        raise UserError(f"{source}: none of its {lacking} runs has finished: nothing to publish")
    if lacking and not partial:
        raise UserError(
            f"{source}: {lacking} of {len(results.runs)} runs are missing or failed; "
            "'counterpoise status' lists them, --partial publishes without them"
        )


def _with_runs_of(record: published.PublishedRecord, results: Results) -> tuple[Results, dict[str, Path]]:
    """Add to results the finished runs of a record that they plan and lack; return also where these runs' files are."""
    if PREDICTIONS in record.manifest.left_out:
        raise UserError(f"{record.folder}: holds no predictions, so that none of its values can be computed again")
    old = recompute(record)
    finished = {run.folder: run for run in old.runs if run.finished}
    kept = {run.folder: finished[run.folder] for run in results.runs if not run.finished and run.folder in finished}
    if not kept and all(run.folder not in finished for run in results.runs):
        raise UserError(
            f"{record.folder}: has no run of the keys and seeds of '{results.layout.name}': what was published under "
            "another key cannot be extended; publish without --extend replaces it"
        )
    chosen = [(kept[run.folder], old) if run.folder in kept else (run, results) for run in results.runs]
    merged = replace(combined(results.layout, chosen), runs_folder=results.runs_folder)
    return merged, {name: record.folder / "runs" / name for name in kept}


# -- what names this machine ---------------------------------------------------------------------------------


def _portable(results: Results, root: Path) -> Results:
    """Return results without the paths of the machine that they were made on."""
    return replace(results, runs=tuple(_portable_run(run, root) for run in results.runs))


def _portable_run(run: RunEntry, root: Path) -> RunEntry:
    changes: dict[str, Any] = {"reason": _portable_text(run.reason, root), "redo": _portable_command(run.redo)}
    if run.finished:
        record = RunRecord.model_validate(run.record)
        attempts = tuple(
            attempt.model_copy(update={"command": _portable_command(attempt.command), "host": ""})
            for attempt in record.attempts
        )
        reason = None if record.reason is None else _portable_text(record.reason, root)
        changes["record"] = record.model_copy(update={"attempts": attempts, "reason": reason}).as_json()
    return run.model_copy(update=changes)


def _portable_command(command: str) -> str:
    return shlex.join(_portable_word(word) for word in shlex.split(command))


def _portable_word(word: str) -> str:
    key, separator, value = word.rpartition("=")
    local = any(name in key for name in OF_ONE_MACHINE) or value.strip("'\"").startswith(("/", "~"))
    return f"{key}{separator}<local>" if local else word


def _portable_text(text: str, root: Path) -> str:
    return re.sub(rf"({re.escape(str(root.resolve()))}|(?<![\w.])(/|~/))[\w.+/-]*", "<local>", text)


# -- what a record is made of --------------------------------------------------------------------------------


def _copy_papers(results: Results, homes: Sequence[Path], folder: Path) -> dict[str, Paper]:
    """Copy each paper from the first of ``homes`` that has it, and read the copies."""
    for name in set(results.layout.papers) - {OWN}:  # tables of one's own are in the layout
        home = next((path for path in homes if (path / "papers" / name).is_dir()), homes[-1])
        shutil.copytree(home / "papers" / name, folder / "papers" / name)
    return papers_of(results.layout, folder)


def _copy_benchmark(results: Results, root: Path, folder: Path) -> None:
    """Copy the benchmark's file as a person wrote it; where it names folders of this machine, without them."""
    path = root / results.layout.file
    if not path.is_file():
        write_text(folder / published.BENCHMARK, _as_yaml(results.layout.benchmark))
        return
    written = load_yaml(path, "benchmark")
    if OF_ONE_MACHINE.isdisjoint(written):
        shutil.copyfile(path, folder / published.BENCHMARK)
    else:
        write_text(folder / published.BENCHMARK, _as_yaml(without_local(written)))


def _as_yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _explain(
    written: Iterable[WrittenExplanation],
    results: Results,
    papers: Mapping[str, Paper],
    flips: Results | None,
    folder: Path,
) -> list[str]:
    """Write explanations of a record's numbers, and the results of their flips; return what could not be made."""
    made, problems = make_explanations(written, results, papers, flips)
    for explanation in made:
        write_explanation(folder / EXPLANATIONS, explanation)
    if flips is not None:
        write_results(flips, folder / FLIPS)
    return problems


def _copy_record(run: RunEntry, source: Path, place: Path) -> None:
    """Write what says how a run ended, and a probe of its encoders."""
    if run.finished:
        write_json(place / RECORD, run.record)
    for name in (f"{run.probe}.json", f"{run.probe}.npz") if run.probe else ():
        write_bytes(place / name, read_bytes(source / name, "probe of a run"))


@dataclass(frozen=True, kw_only=True)
class _Packed:
    """Predictions as they went into a record: how many bytes, and in which form."""

    size: int = 0
    compact: bool = False


def _copy_predictions(
    all_runs: Collection[RunEntry], ece_bins: int, sources: Mapping[str, Path], folder: Path, room: int
) -> tuple[_Packed, list[str]]:
    """Copy predictions as they are where they are small, else as classes and confidences, else leave them out."""
    runs = [run for run in all_runs if run.status == "completed"]
    packed_before = any((sources[run.folder] / COMPACT).exists() for run in runs)  # in the record that is extended
    full = 0 if packed_before else sum((sources[run.folder] / PREDICTIONS).stat().st_size for run in runs)
    if not packed_before and full <= min(FULL_PREDICTIONS, room):
        for run in runs:
            data = read_bytes(sources[run.folder] / PREDICTIONS, "file of predictions")
            write_bytes(folder / "runs" / run.folder / PREDICTIONS, data)
        return _Packed(size=full), []
    size = 0
    for run in runs:
        if (sources[run.folder] / COMPACT).exists():
            data = read_bytes(sources[run.folder] / COMPACT, "file of predictions")
        else:
            predictions = read_predictions(sources[run.folder], run.files[PREDICTIONS])
            data = pack_arrays(compact(predictions or {}, ece_bins))
        size += len(data)
        if size > room:
            for path in (folder / "runs").rglob(COMPACT):
                path.unlink()
            return _Packed(), [PREDICTIONS]
        write_bytes(folder / "runs" / run.folder / COMPACT, data)
    return _Packed(size=size, compact=True), []


def _copy_series(runs: Collection[RunEntry], sources: Mapping[str, Path], folder: Path, room: int) -> list[str]:
    """Copy, compressed, each kind of series for which there is room; return the kinds that are left out."""
    measurements = sorted({f"{name}.csv" for run in runs for name in run.measurements})
    left_out = []
    for name in dict.fromkeys([HISTORY, *measurements, TIMINGS, DIAGNOSTICS]):
        packed = {
            folder / "runs" / run.folder / f"{name}.gz": gzip.compress(data, mtime=0)
            for run in runs
            if run.finished and (data := read_run_file(sources[run.folder], name)) is not None
        }
        size = sum(map(len, packed.values()))
        if packed and size > room:
            left_out.append(name)
            continue
        room -= size
        for path, data in packed.items():
            write_bytes(path, data)
    return left_out


def _derive(results: Results, papers: dict[str, Paper], comparisons: list[Comparison], folder: Path) -> list[str]:
    """Write tables, comparisons, figures and report of a record; return what could not be made."""
    from counterpoise.reporting.figures import draw_tables
    from counterpoise.reporting.write import write_derived

    explanations = read_explanations(folder / EXPLANATIONS, results.layout.name).values()
    problems = write_derived(folder, results, comparisons, papers=papers, explanations=explanations)
    return [*problems, *draw_tables(results, papers, folder)]


def _write_page(folder: Path, **head: Any) -> None:
    """Write a record's page and its manifest, which has ``head`` besides the files.

    The page is made of what a reader of the manifest sees; the manifest names the page, so it is written twice.
    """
    published.write_manifest(folder, **head)
    write_text(folder / published.README, readme_text(published.read_published(folder)))
    published.write_manifest(folder, **head)


def _records(root: Path) -> Iterator[Path]:
    yield from (
        path for path in sorted((root / PUBLISHED).glob("*")) if path.is_dir() and not path.name.startswith(".")
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
