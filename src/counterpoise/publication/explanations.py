"""The explanations of a record: made of its own runs and of those of their flips, which are in it as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from counterpoise.errors import UserError, suggest
from counterpoise.judging.explain import Explanation, explain
from counterpoise.papers.paper import Paper
from counterpoise.publication.record import PublishedRecord
from counterpoise.results.explained import WrittenExplanation, read_explanations
from counterpoise.results.layout import LayoutCell, LayoutData
from counterpoise.results.names import find_values, value_name
from counterpoise.results.table import Results, RunEntry, combined, read_results

FOLDER = "explain"
FLIPS = f"{FOLDER}/flips"
"""Where a record has the results of the flips. The runs' own files are among its other runs."""


def read_flips(folder: Path) -> Results | None:
    """Return the results of the flips in a record, None where it has none."""
    return read_results(folder / FLIPS, folder / "runs") if (folder / FLIPS).is_dir() else None


def choose_flips(
    written: Iterable[WrittenExplanation], *sources: Results | None
) -> tuple[Results | None, dict[str, Path]]:
    """Return results of the flips that explanations name, and where the files of each run are, by its folder's name.

    Each run is the one of the first of ``sources`` in which it is finished.
    """
    cells = {cell for one in written for cell in one.flipped_cells}
    there = [source for source in sources if source is not None and not cells.isdisjoint(source.layout.cells)]
    runs: dict[str, tuple[RunEntry, Results]] = {}
    known: dict[str, LayoutCell] = {}
    data: dict[str, LayoutData] = {}
    for source in there:
        for run in source.runs:
            before = runs.get(run.folder)
            if run.cell in cells and (before is None or (run.finished and not before[0].finished)):
                runs[run.folder] = (run, source)
        known |= {name: cell for name, cell in source.layout.cells.items() if name in cells}
        data |= source.layout.data
    if not there:
        return None, {}
    named = {part: data[part] for cell in known.values() for part in (cell.data, *cell.folds)}
    layout = there[0].layout.model_copy(update={"cells": known, "data": named})
    places = {name: source.runs_folder / name for name, (_, source) in runs.items()}
    return combined(layout, runs.values()), places


def explanations_of(record: PublishedRecord, name: str) -> list[Explanation]:
    """Return a record's explanations of a number, one per variant that has one, made of its runs.

    Raises:
        UserError: it has no such number, or no explanation of it; names those that it has.
    """
    written = {one.name: one for one in read_explanations(record.folder / FOLDER, record.results.layout.name).values()}
    found = [written[known] for known in map(value_name, find_values(record.results.layout, name)) if known in written]
    if not found:
        raise UserError(f"{record.folder}: no explanation of {name}{suggest(name, written)}")
    made, problems = make_explanations(found, record.results, record.papers, read_flips(record.folder))
    if problems:
        raise UserError(f"{record.folder}: {problems[0]}")
    return made


def make_explanations(
    written: Iterable[WrittenExplanation], results: Results, papers: Mapping[str, Paper], flips: Results | None
) -> tuple[list[Explanation], list[str]]:
    """Return what was asked once, answered by these results and flips, and a line for each that cannot be answered."""
    made, problems = [], []
    for one in written:
        question = one.question(results.layout)
        if question is None:
            problems.append(f"explanation left out: {one.name}: is of another cell now")
        elif not one.flipped_cells <= set(flips.layout.cells if flips else ()):
            problems.append(f"explanation left out: {one.name}: the runs of its flips are not here")
        else:
            made.append(explain(question, papers[question.value.paper], results, flips or results))
    return made, problems
