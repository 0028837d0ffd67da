"""A run: a cell and a seed, and where its files are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.planning.plan import Cell, Plan, PreparedDataset

RUNS = Path("results/runs")
WORK = Path("work")
WEIGHTS = Path("data/weights")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a project.

    ``keep_weights``: something is made of its network's weights, so they are published with it. ``runs`` and ``work``
    are the folders of published and of unfinished runs; a run that is made once more, aside, has others.
    """

    cell: Cell
    seed: int
    root: Path
    keep_weights: bool = False
    runs: Path = RUNS
    work: Path = WORK

    @property
    def name(self) -> str:
        """``<cell> seed <n>``, as messages name it."""
        return f"{self.cell.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where its record, history and predictions are published."""
        return self.root / self.runs / self.cell.name / f"seed-{self.seed}"

    @property
    def work_folder(self) -> Path:
        """Where its state is kept while it is unfinished."""
        return self.root / self.work / self.cell.name / f"seed-{self.seed}"

    @property
    def data(self) -> PreparedDataset:
        """The prepared data that it is trained on."""
        return self.cell.data_of(self.seed)

    @property
    def data_folder(self) -> Path:
        """Where that data is."""
        return self.root / self.data.directory

    @property
    def weights_folder(self) -> Path:
        """Where pretrained weights are."""
        return self.root / WEIGHTS

    def parent(self, modality: str) -> Run:
        """Return the unimodal run of the same seed that this run starts from.

        Raises:
            UserError: the cell has no such parent.
        """
        for name, cell in self.cell.parents:
            if name == modality:
                return Run(cell=cell, seed=self.seed, root=self.root)
        raise UserError(f"{self.name}: the plan gives it no run of '{modality}' alone to start from")


def run_of(plan: Plan, cell: Cell, seed: int, root: Path) -> Run:
    """Return a run of a plan's cell in the project at ``root``."""
    return Run(cell=cell, seed=seed, root=Path(root), keep_weights=cell.name in plan.keep_weights)


def runs_of(plan: Plan, root: Path) -> Iterator[Run]:
    """Yield every run of a plan, cell by cell."""
    for cell in plan.cells:
        for seed in plan.seeds:
            yield run_of(plan, cell, seed, root)
