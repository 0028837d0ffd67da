"""The HTML report: one offline page with tables, verdicts, claims and where every number comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.comparison.audit import audit_paper
from counterpoise.comparison.compare import Comparison, compare_paper
from counterpoise.comparison.results import CellResults, read_results
from counterpoise.files import read_json, write_json, write_text
from counterpoise.reporting.layout import TableView, lay_out
from counterpoise.reporting.tables import environment
from counterpoise.reporting.words import MEANINGS
from counterpoise.spec.plan import Plan

SUMMARY_SCHEMA = 1


@dataclass(frozen=True)
class RunOrigin:
    """Where one run's numbers come from, as its record says."""

    seed: int
    status: str
    folder: str
    device: str
    commit: str
    seconds: str
    command: str


@dataclass(frozen=True)
class CellOrigin:
    """A cell and its finished runs."""

    name: str
    config: str
    data: str
    runs: list[RunOrigin]
    missing: list[int]


def write_report(plan: Plan, root: Path) -> Path:
    """Write ``results/report/index.html`` and ``results/summary.json`` under ``root``; return the page.

    Raises:
        UserError: a result file is broken or belongs to another run.
    """
    root = Path(root)
    results = read_results(plan, root)
    comparisons = [compare_paper(plan, root, paper, results) for paper in plan.papers]
    named = [(plan.papers[paper], table) for paper, table in plan.tables]
    views = [lay_out(plan, results, paper, paper.table(table)) for paper, table in named]
    write_json(root / "results" / "summary.json", summary(plan, comparisons))
    path = root / "results" / "report" / "index.html"
    origins = [_origin(root, found) for found in results.values()]
    write_text(path, as_page(plan, comparisons, views, origins))
    return path


def summary(plan: Plan, comparisons: list[Comparison]) -> dict[str, Any]:
    """Return the verdict counts of every paper of the benchmark, as JSON data."""
    papers = {comparison.paper.paper: comparison.summary() for comparison in comparisons}
    return {"schema": SUMMARY_SCHEMA, "benchmark": plan.benchmark.name, "papers": papers}


def as_page(
    plan: Plan, comparisons: list[Comparison], views: list[TableView], origins: list[CellOrigin]
) -> str:
    """Return the report as one page that asks for nothing from elsewhere."""
    template = environment().get_template("report.html.j2")
    audits = {comparison.paper.paper: audit_paper(comparison.paper) for comparison in comparisons}
    return template.render(
        plan=plan, comparisons=comparisons, views=views, origins=origins, meanings=MEANINGS, audits=audits
    )


def _origin(root: Path, found: CellResults) -> CellOrigin:
    cell = found.cell
    runs = [_run_origin(root, cell.run_directory(seed), seed) for seed in sorted(found.runs)]
    config = json.dumps(cell.config, indent=1, sort_keys=True, ensure_ascii=False)
    return CellOrigin(cell.name, config, str(cell.data_directory), runs, list(found.missing))


def _run_origin(root: Path, folder: Any, seed: int) -> RunOrigin:
    record = read_json(root / folder / "record.json", "run record")
    git = record.get("git") or {}
    commit = f"{str(git.get('commit') or 'unknown')[:12]}{' (with changes)' if git.get('dirty') else ''}"
    seconds = record.get("seconds")
    environment_record = record.get("environment") or {}
    return RunOrigin(
        seed=seed,
        status=str(record.get("status", "unknown")),
        folder=str(folder),
        device=str(environment_record.get("device", "unknown")),
        commit=commit,
        seconds="unknown" if seconds is None else f"{seconds:.1f}",
        command=str(record.get("command", "unknown")),
    )
