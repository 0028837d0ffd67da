"""What a run of a benchmark ends with: what came out, where it is, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json
from counterpoise.planning.plan import Plan
from counterpoise.results.basis import read_basis, results_folder

MOST_FAILURES = 10


def closing_lines(plan: Plan, root: Path) -> Iterator[str]:
    """Yield the lines, none where no results have been written."""
    folder = results_folder(root, plan.benchmark.name)
    basis = read_basis(folder)
    try:
        summary = read_json(folder / "summary.json", "summary of results")
        runs = read_json(folder / "runs.json", "list of runs")["runs"]
    except (UserError, KeyError, TypeError):
        return
    if basis is None:
        return
    state = f"{basis.finished} of {basis.planned} runs finished" if basis.partial else f"{basis.planned} runs"
    yield f"{plan.benchmark.name}: {state}{'; results are partial' if basis.partial else ''}"
    for paper, found in summary.get("papers", {}).items():
        yield f"  {found.get('answer') or _counts(paper, found)}"
    yield from _failure_lines(runs)
    yield from (f"  could not be made: {problem}" for problem in summary.get("problems", []))
    yield f"  tables: {folder / 'tables'}   report: {folder / 'report/index.html'}"


def _counts(paper: str, found: dict[str, Any]) -> str:
    numbers = {name.replace("_", " "): n for name, n in found.get("numbers", {}).items() if n}
    return f"{paper}: " + ", ".join(f"{n} {name}" for name, n in numbers.items())


def _failure_lines(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield failed runs with the log of each; those with one reason are told together."""
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["status"] in ("failed", "out_of_memory"):
            by_reason.setdefault(run["reason"], []).append(run)
    for reason, failed in by_reason.items():
        yield f"  {len(failed)} failed: {reason}"
        for run in failed[:MOST_FAILURES]:
            name = run["cell"].rpartition(".")[0]
            log = next((log for log in run["logs"] if "/train/" in log), "")
            yield f"    {name} seed {run['seed']}" + (f", log: {log}" if log else "")
        if len(failed) > MOST_FAILURES:
            yield f"    and {len(failed) - MOST_FAILURES} more"
