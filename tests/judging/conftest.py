"""Studies made of numbers: plans built by hand and run files written without any training."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from counterpoise.judging.compare import Comparison, compare_paper
from counterpoise.papers.paper import Paper, PaperTable, load_paper
from counterpoise.planning.benchmark import Benchmark
from counterpoise.planning.plan import NOT_IN_BENCHMARK, Cell, Plan, PlannedValue, PreparedDataset

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PATH = Path("configs/benchmarks/made_up.yaml")


@dataclass
class Study:
    """A project folder with a plan over one table's column groups, and a writer for its runs."""

    root: Path
    plan: Plan
    metrics: tuple[str, ...] = ("accuracy", "macro_f1", "ece")
    n_test: int = 1000
    written: dict[tuple[str, int], Path] = field(default_factory=dict)

    def cell(self, method: str, dataset: str | None = None, variant: str = "published") -> Cell:
        wanted = [c for c in self.plan.cells if (c.method, c.variant) == (method, variant)]
        return next(cell for cell in wanted if dataset in (None, cell.dataset))

    def run(self, cell: Cell, seed: int, outputs: Mapping[str, float], **changes: object) -> Path:
        """Write a finished run whose accuracy per output is given; other metrics are a little lower."""
        folder = self.root / cell.run_directory(seed)
        folder.mkdir(parents=True, exist_ok=True)
        values = {output: dict.fromkeys(self.metrics, share) for output, share in outputs.items()}
        metrics = {
            "schema": 1,
            "key": cell.key,
            "seed": seed,
            "status": "completed",
            "reason": None,
            "predictions_sha256": "p" * 64,
            "n_test": self.n_test,
            "ece_bins": 15,
            "selections": {"last": {"epoch": 3, "outputs": values}},
            **changes,
        }
        record = {
            "schema": 1,
            "key": cell.key,
            "seed": seed,
            "status": metrics["status"],
            "files": {"predictions.npz": "p" * 64},
        }
        (folder / self.plan.metrics_name).write_text(json.dumps(metrics))
        (folder / "record.json").write_text(json.dumps(record))
        return folder

    def runs(self, method: str, shares: list[float], outputs: tuple[str, ...] = ("joint",), **where: str) -> None:
        """Write one finished run per share, for the plan's first seeds."""
        for seed, share in zip(self.plan.seeds, shares, strict=False):
            self.run(self.cell(method, **where), seed, dict.fromkeys(outputs, share))

    def diverge(self, method: str, seed: int, **where: str) -> None:
        self.run(self.cell(method, **where), seed, {}, status="diverged", reason="loss is not finite", selections={})

    def compare(self) -> Comparison:
        return compare_paper(self.plan, self.root, next(iter(self.plan.papers)))


@functools.cache
def loaded(paper: str) -> Paper:
    return load_paper(CONFIGS, paper)


def planned_cell(dataset: str, model: str, method: str, variant: str) -> Cell:
    data = PreparedDataset(dataset, dataset, dataset, {}, "d0d0d0d0d0d0")
    key = hashlib.sha256(f"{dataset}/{model}/{method}/{variant}".encode()).hexdigest()[:12]
    return Cell(dataset, model, method, variant, "made_up", {}, "s" * 12, data, key)


def made_up_plan(
    paper: Paper, table: PaperTable, groups: Mapping[str, str], seeds: list[int], variants: Mapping[str, list[str]]
) -> Plan:
    """Return a plan that runs some column groups of a table on the named datasets, the others not at all."""
    columns = {name: {"dataset": run, "model": "made_up", "protocol": "made_up"} for name, run in groups.items()}
    tables = [{"paper": paper.paper, "table": table.table, "columns": columns}]
    benchmark = Benchmark.model_validate({"name": "made_up", "title": "Made up", "seeds": seeds, "tables": tables})
    cells: dict[str, Cell] = {}
    values = []
    for row in table.rows:
        method = row.method + "".join(f"_{value}" for value in row.settings.values())
        for variant in variants.get(row.method, ["published"]):
            shown = variant if len(variants.get(row.method, [])) > 1 else None
            for column in table.columns:
                place = (paper.paper, table.table, row.id, shown, column.id)
                if column.group not in groups:
                    values.append(PlannedValue(*place, None, NOT_IN_BENCHMARK))
                    continue
                dataset = groups[column.group]
                cell = planned_cell(dataset, f"made_up_{column.group}", method, variant)
                cells.setdefault(cell.name, cell)
                values.append(PlannedValue(*place, cells[cell.name], "", dataset != column.dataset))
    return Plan(benchmark, PATH, {}, list(cells.values()), values, {paper.paper: paper})


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    """Return a function that makes a study of one table: group → dataset that runs in it."""

    def make(
        table: str,
        groups: Mapping[str, str],
        seeds: list[int] | None = None,
        variants: Mapping[str, list[str]] | None = None,
        paper: str = "mmpareto",
    ) -> Study:
        source = loaded(paper)
        plan = made_up_plan(source, source.table(table), groups, seeds or [0, 1, 2], variants or {})
        return Study(tmp_path, plan)

    return make
