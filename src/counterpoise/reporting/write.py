"""Write everything derived from results: tables, comparison files, figures, the report and the summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import json_text
from counterpoise.judging.compare import Comparison
from counterpoise.papers.paper import Paper
from counterpoise.reporting.for_dvc import dvc_texts
from counterpoise.reporting.outcome import progress_of, sentence
from counterpoise.reporting.pages.content import report_content
from counterpoise.reporting.pages.site import render
from counterpoise.reporting.tables.formats import FORMATS
from counterpoise.reporting.tables.view import TableView, view_table
from counterpoise.results.explained import WrittenExplanation
from counterpoise.results.table import Results

SUMMARY = "summary.json"
SUMMARY_SCHEMA = 2
START_PAGE = "report/index.html"


def write_derived(
    folder: Path,
    results: Results,
    comparisons: Sequence[Comparison],
    *,
    papers: Mapping[str, Paper] | None = None,
    explanations: Iterable[WrittenExplanation] = (),
) -> list[str]:
    """Write ``tables/``, ``comparison/``, ``figures/``, ``report/`` and ``summary.json`` below ``folder``.

    Args:
        folder: is to be new or empty; that it appears whole and at once is the caller's business.
        comparisons: one for each paper of the benchmark's tables.
        papers: every paper that has a table or a figure here, by name; default: those of ``comparisons``.
        explanations: written explanations of the benchmark's numbers, shown beside them.

    Returns:
        What could not be made, a line for each. One figure or page that fails never prevents the others, and is
        named in the summary and on the report's first page, too.

    Raises:
        UserError: a paper has no such table, or the folder cannot be written.
    """
    folder = Path(folder)
    papers = {comparison.paper.paper: comparison.paper for comparison in comparisons} | dict(papers or {})
    of_paper = {comparison.paper.paper: comparison for comparison in comparisons}
    views = [view_table(results, of_paper[place.paper], place.table) for place in results.layout.tables]
    try:
        texts = {**checked_texts(comparisons, views), **dvc_texts(results, comparisons)}
        for name, text in texts.items():
            _write(folder / name, text.encode())
        problems = _draw_figures(folder, results, papers)
        content = report_content(
            results, comparisons, views, papers=papers, explanations=explanations, folder=folder, problems=problems
        )
        files, broken = render(content)
        for name, data in files.items():
            _write(folder / "report" / name, data)
        problems = [*content.problems, *broken]
        _write(folder / SUMMARY, json_text(summary(results, comparisons, problems), sort_keys=False).encode())
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
    return problems


def summary(results: Results, comparisons: Sequence[Comparison], problems: Sequence[str] = ()) -> dict[str, Any]:
    """Return how far the benchmark is and the verdict counts of every paper, as JSON data."""
    progress = progress_of(results)
    return {
        "schema": SUMMARY_SCHEMA,
        "benchmark": results.layout.name,
        "title": results.layout.title,
        "partial": progress.partial,
        "runs": {"planned": progress.planned, "finished": progress.finished, "states": dict(progress.states)},
        "papers": {
            comparison.paper.paper: {"answer": sentence(comparison), **comparison.summary()}
            for comparison in comparisons
        },
        "problems": list(problems),
    }


def checked_texts(comparisons: Iterable[Comparison], views: Iterable[TableView]) -> dict[str, str]:
    """Return the text of every comparison and table by its place in the folder: what ``verify`` compares."""
    texts = {f"comparison/{name}": text for comparison in comparisons for name, text in comparison.texts().items()}
    for view in views:
        place = f"tables/{view.paper.paper}/{view.table.table}"
        texts |= {f"{place}.{suffix}": written(view) for suffix, written in FORMATS.items()}
    return texts


def _draw_figures(folder: Path, results: Results, papers: Mapping[str, Paper]) -> list[str]:
    if not results.layout.figures:
        return []
    # matplotlib takes a while to load
    from counterpoise.reporting.figures.draw import draw_figures

    return draw_figures(results, papers, folder)


def _write(path: Path, content: bytes) -> None:
    # Not atomic by itself, and not flushed: the folder that all of this is in appears as a whole.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
