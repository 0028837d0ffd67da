"""Results made of numbers: a layout of any tables of a paper, and runs whose values a test gives.

Nothing is planned, trained or written; what judging and reporting get is the same as from real runs.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoise.comparability import NOT_IN_BENCHMARK
from counterpoise.judging.compare import Comparison, judge
from counterpoise.papers.paper import Paper, PaperTable, Row, load_paper
from counterpoise.results.layout import Layout, LayoutCell, LayoutData, LayoutTable, LayoutValue
from counterpoise.results.table import Results, RunEntry, as_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MODEL = PROTOCOL = "made_up"

# Loaded once: reading a paper takes longer than most tests that use it.
load_once = functools.cache(load_paper)


class MadeResults:
    """Results of some tables of a paper.

    Args:
        paper: a paper, or the name of one in ``configs/papers``.
        tables: table -> column group -> dataset that runs there. Other groups are not in the benchmark. A dataset that
            is not the paper's own makes the group a stand-in.
        seeds: the planned seeds. What is given no value is missing.
        variants: method -> the variants that it runs in; default ``published`` alone.

    A run's value is given per output as a fraction, and is that of every metric in ``metrics``. The attributes
    ``layout``, ``correct`` and ``details`` may be changed before :attr:`results` is asked for.
    """

    def __init__(
        self,
        paper: Paper | str,
        tables: Mapping[str, Mapping[str, str]],
        seeds: Sequence[int] = (0, 1, 2),
        variants: Mapping[str, Sequence[str]] | None = None,
        selection: str = "last",
    ) -> None:
        self.paper = load_once(CONFIGS, paper) if isinstance(paper, str) else paper
        self.metrics = ("accuracy", "macro_f1", "ece")
        self.n_test: int | None = None  # the size that the paper's dataset is known to have; 1,000 for any other
        self.runs_folder = Path("results/runs")
        self.correct: dict[tuple[str, int, str, str], np.ndarray] = {}
        self.details: dict[tuple[str, int, str, str], dict[str, np.ndarray]] = {}
        self._cells: dict[str, LayoutCell] = {}
        self._data: dict[str, LayoutData] = {}
        self._entries: dict[tuple[str, int], RunEntry] = {}
        self._values: dict[tuple[str, int], list[dict[str, Any]]] = {}
        values = [
            value
            for name, groups in tables.items()
            for row in self.paper.table(name).rows
            for value in self._row(self.paper.table(name), row, groups, (variants or {}).get(row.method, ["published"]))
        ]
        self.layout = Layout(
            schema=1,
            name="made_up",
            title="Made up",
            file="configs/benchmarks/made_up.yaml",
            benchmark={"name": "made_up", "title": "Made up", "evaluation": {"ece_bins": 15, "stationarity": 1e-3}},
            seeds=tuple(seeds),
            selection=selection,
            papers=(self.paper.paper,),
            own=tuple(self.paper.table(name) for name in tables) if self.paper.is_own else (),
            tables=tuple(LayoutTable(paper=self.paper.paper, table=name) for name in tables),
            values=tuple(values),
            cells=self._cells,
            data=self._data,
        )

    def _row(
        self, table: PaperTable, row: Row, groups: Mapping[str, str], variants: Sequence[str]
    ) -> list[LayoutValue]:
        method = row.method + "".join(f"_{value}" for value in row.settings.values())
        found = []
        for column in table.columns:
            group = table.group(row.id, column.id)
            for variant in variants:
                runs = groups.get(group.id)
                found.append(
                    LayoutValue(
                        paper=table.paper,
                        table=table.table,
                        row=row.id,
                        variant=variant if len(variants) > 1 else None,
                        column=column.id,
                        cell=None if runs is None else self._cell(runs, group.id, method, variant).name,
                        output="" if runs is None else table.output(row.id, column.id),
                        reason=NOT_IN_BENCHMARK if runs is None else "",
                        stand_in=runs is not None and runs != group.dataset,
                    )
                )
        return found

    def _cell(self, dataset: str, group: str, method: str, variant: str) -> LayoutCell:
        model = f"{MODEL}_{group}"
        digest = hashlib.sha256(f"{dataset}/{model}/{method}/{variant}".encode()).hexdigest()
        key = hashlib.sha256(dataset.encode()).hexdigest()[:12]
        data = LayoutData(name=dataset, title=dataset, component=dataset, settings={}, key=key)
        cell = LayoutCell(
            dataset=dataset,
            model=model,
            method=method,
            method_title=method,
            variant=variant,
            protocol=PROTOCOL,
            key=digest[:12],
            source="0" * 64,
            config={},
            data=data.full_name,
        )
        self._data.setdefault(data.full_name, data)
        return self._cells.setdefault(cell.name, cell)

    # -- runs ------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> list[LayoutCell]:
        """All cells, in the order of the tables."""
        return list(self.layout.cells.values())

    def cell(self, method: str, dataset: str | None = None, variant: str = "published") -> LayoutCell:
        """Return the first cell of a method, on a dataset if one is given."""
        wanted = [c for c in self.cells if (c.method, c.variant) == (method, variant)]
        return next(cell for cell in wanted if dataset in (None, cell.dataset))

    def run(self, cell: LayoutCell, seed: int, outputs: Mapping[str, float], **others: Mapping[str, float]) -> None:
        """Finish a run whose value per output is given; keywords give those of other selections."""
        names = {name: getattr(cell, name) for name in ("dataset", "model", "method", "variant", "protocol", "key")}
        self._entries[cell.name, seed] = self._entry(cell, seed, "completed")
        self._values[cell.name, seed] = [
            {
                **names,
                "seed": seed,
                "status": "completed",
                "selection": selection,
                "epoch": 3,
                "output": output,
                "metric": metric,
                "value": share,
                "n_test": self._size(cell),
            }
            for selection, shares in {self.layout.selection: outputs, **others}.items()
            for output, share in shares.items()
            for metric in self.metrics
        ]

    def runs(self, method: str, shares: Sequence[float], outputs: Sequence[str] = ("joint",), **where: str) -> None:
        """Finish one run of a method per share, with the first seeds; ``where``: see :meth:`cell`."""
        for seed, share in zip(self.layout.seeds, shares, strict=False):
            self.run(self.cell(method, **where), seed, dict.fromkeys(outputs, share))

    def measured(self, method: str, values: Mapping[tuple[str, str], Sequence[float]], **where: str) -> None:
        """Give the first seeds of a method values of single metrics, by (output, metric): one run per value."""
        cell = self.cell(method, **where)
        for (output, metric), numbers in values.items():
            for seed, number in zip(self.layout.seeds, numbers, strict=False):
                if (cell.name, seed) not in self._values:
                    self.run(cell, seed, {})
                named = {
                    name: getattr(cell, name) for name in ("dataset", "model", "method", "variant", "protocol", "key")
                }
                self._values[cell.name, seed].append(
                    {
                        **named,
                        "seed": seed,
                        "status": "completed",
                        "selection": self.layout.selection,
                        "epoch": 3,
                        "output": output,
                        "metric": metric,
                        "value": number,
                        "n_test": self._size(cell),
                    }
                )

    def diverge(self, method: str, seed: int, reason: str = "loss is not finite", **where: str) -> None:
        """Let the run of one seed diverge."""
        self._end(self.cell(method, **where), seed, "diverged", reason)

    def fail(self, method: str, seed: int, reason: str, status: str = "failed", **where: str) -> None:
        """Let the run of one seed fail, or with ``status="out_of_memory"`` run out of memory."""
        self._end(self.cell(method, **where), seed, status, reason)

    def _end(self, cell: LayoutCell, seed: int, status: str, reason: str) -> None:
        self._entries[cell.name, seed] = self._entry(cell, seed, status, reason)
        self._values.pop((cell.name, seed), None)

    def _entry(self, cell: LayoutCell, seed: int, status: str, reason: str = "") -> RunEntry:
        n_test = self._size(cell) if status in ("completed", "diverged") else None
        return RunEntry(cell=cell.name, seed=seed, status=status, reason=reason, n_test=n_test)

    def _size(self, cell: LayoutCell) -> int:
        facts = self.paper.datasets.get(cell.dataset)
        return self.n_test or (facts.test_sizes[0].size if facts and facts.test_sizes else 1000)

    # -- what is made of them --------------------------------------------------------------------------------

    @property
    def results(self) -> Results:
        """The results as they are now; a planned run that was given nothing is missing."""
        entries, rows = [], []
        for cell in self.cells:
            for seed in self.layout.seeds:
                entry = self._entries.get((cell.name, seed)) or self._entry(cell, seed, "missing")
                names = ("dataset", "model", "method", "variant", "protocol", "key")
                named = {name: getattr(cell, name) for name in names} | {"seed": seed, "status": entry.status}
                entries.append(entry)
                rows += self._values.get((cell.name, seed)) or [named]
        return Results(
            layout=self.layout,
            values=as_table(rows),
            runs=tuple(entries),
            correct=dict(self.correct),
            details=dict(self.details),
            runs_folder=self.runs_folder,
        )

    def compare(self) -> Comparison:
        """Judge the results."""
        return judge(self.paper, self.results)


@pytest.fixture
def make_study() -> Callable[..., MadeResults]:
    """Return a function that makes the results of one table: column group -> dataset that runs in it."""

    def make(
        table: str,
        groups: Mapping[str, str],
        seeds: Sequence[int] = (0, 1, 2),
        variants: Mapping[str, Sequence[str]] | None = None,
        paper: str = "mmpareto",
    ) -> MadeResults:
        return MadeResults(paper, {table: groups}, seeds, variants)

    return make
