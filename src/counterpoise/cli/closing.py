"""What a run of a benchmark ends with: what came out, where it is, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json

MOST_FAILURES = 10
CLOSED_BY_CALLER = "COUNTERPOISE_CLOSED_BY_CALLER"
"""The environment variable by which 'counterpoise run' says that it prints these lines, also if nothing was to do."""


def closing_lines(folder: Path) -> Iterator[str]:
    """Yield what stands in a derived folder or in a published record; no line where there is nothing to be read."""
    folder = Path(folder)
    try:
        summary = read_json(folder / "summary.json", "summary of results")
        runs = read_json(folder / "runs.json", "list of runs")["runs"]
        planned, finished = summary["runs"]["planned"], summary["runs"]["finished"]
        state = f"partial results, {finished} of {planned} runs" if finished < planned else f"{planned} runs"
        yield f"{summary['benchmark']}: {state}"
        yield from (f"  {paper['answer']}" for paper in summary["papers"].values())
        yield from _failure_lines(runs)
        yield from (f"  could not be made: {problem}" for problem in summary["problems"])
    except (UserError, KeyError, TypeError, AttributeError):
        return
    yield f"  tables: {folder / 'tables'}   report: {folder / 'report/index.html'}"


def _failure_lines(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield failed and interrupted runs with the log of each; those with one reason are told together."""
    from counterpoise.runs.failure import is_interrupted

    by_reason: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["status"] in ("failed", "out_of_memory", "interrupted"):
            by_reason.setdefault(run["reason"], []).append(run)
    for reason, failed in by_reason.items():
        interrupted = failed[0]["status"] == "interrupted" or is_interrupted(reason)  # an older file says "failed"
        what = "interrupted, the next run goes on with it" if interrupted else "failed"
        yield f"  {len(failed)} {what}: {reason}"
        for run in failed[:MOST_FAILURES]:
            name = run["cell"].rpartition(".")[0]
            log = next((log for log in run["logs"] if "/train/" in log), "")
            yield f"    {name} seed {run['seed']}" + (f", log: {log}" if log else "")
        if len(failed) > MOST_FAILURES:
            yield f"    and {len(failed) - MOST_FAILURES} more"
