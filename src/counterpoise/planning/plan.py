"""A benchmark resolved: its cells and runs, and which of them fills which place of its tables and figures."""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoise.components import component
from counterpoise.errors import UserError, suggest
from counterpoise.identity import short_key, source_digest
from counterpoise.papers.figures import Measurement
from counterpoise.papers.head import OWN
from counterpoise.papers.own import own_paper
from counterpoise.papers.paper import Paper, load_paper, paper_names
from counterpoise.planning.benchmark import FOLDER, Benchmark, OwnTable, TableRun, load_benchmark
from counterpoise.planning.cells import Cell, PreparedDataset
from counterpoise.planning.figures import PlannedFigure, measurement_name, plan_figure
from counterpoise.planning.flips import Flip, flips_of
from counterpoise.planning.own import own_table
from counterpoise.planning.probe import SOURCE as PROBE_SOURCE
from counterpoise.planning.resolve import Resolver
from counterpoise.planning.tables import PlannedValue, plan_table


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A benchmark resolved: its distinct cells in order of first use, and every value of its tables."""

    benchmark: Benchmark
    path: Path
    overrides: dict[str, Any]
    cells: list[Cell]
    values: list[PlannedValue]
    papers: dict[str, Paper]
    figures: list[PlannedFigure] = field(default_factory=list)
    resolver: Resolver = field(repr=False, compare=False)

    @property
    def seeds(self) -> list[int]:
        """The seeds of every cell."""
        return self.benchmark.seeds

    @property
    def runs(self) -> int:
        """How many runs the cells have."""
        return len(self.cells) * len(self.seeds)

    @functools.cached_property  # the workflow asks for it in every job that prepares data
    def datasets(self) -> list[PreparedDataset]:
        """The distinct prepared datasets, in order of first use."""
        used = (cell.data_of(seed) for cell in self.cells for seed in self.seeds)
        return list({data.directory: data for data in used}.values())

    @property
    def tables(self) -> list[tuple[str, str]]:
        """The (paper, table) pairs, in the benchmark's order."""
        return list(dict.fromkeys((table.paper, table.table) for table in self.benchmark.table_runs))

    @functools.cached_property
    def probe_name(self) -> str:
        """The name, without its suffix, of a run's probe of frozen encoders: it carries the probe's key."""
        settings = self.benchmark.probe.model_dump(mode="json")
        return f"probe.{short_key({'settings': settings, 'source': source_digest(PROBE_SOURCE)})}"

    @functools.cached_property
    def probed(self) -> frozenset[str]:
        """The names of the cells whose encoders are probed: a table measures them on a probe's output."""
        return frozenset(value.cell.name for value in self.values if value.cell and self._is_probed(value))

    def probes_all(self, paper: str, table: str) -> bool:
        """Return whether the benchmark asks for a probe of every row of a table."""
        return any(run.probe == "all" for run in self.benchmark.table_runs if (run.paper, run.table) == (paper, table))

    def probe_of(self, cell: Cell) -> str | None:
        """Return the name of the probe that a cell's metrics take in, if they do."""
        return self.probe_name if cell.name in self.probed or cell.name in self._kept_flips[0] else None

    def _is_probed(self, value: PlannedValue) -> bool:
        table = self.papers[value.paper].tables[value.table]
        if self.probes_all(value.paper, value.table):
            return table.is_unimodal(value.column)
        return value.row in table.row_ids and table.output(value.row, value.column).startswith("probe:")

    def output(self, value: PlannedValue) -> str:
        """Return the output of a run that a value is measured on.

        It is the one that the paper's column names (``joint``, ``probe:audio``), with the modality's name in
        the dataset that ran. In a table of one's own, a run of a single modality has no joint output: it is measured
        on that modality's.
        """
        table = self.papers[value.paper].tables[value.table]
        column = table.column(value.column)
        in_paper = value.row in table.row_ids
        named = table.output(value.row, value.column) if in_paper else column.output
        group = table.group(value.row, value.column).id if in_paper else column.group
        if value.paper == OWN and named == "joint" and value.cell is not None:
            named = _only_modality(value.cell) or named
        run = None if group is None else self.table_run(value.paper, value.table).columns.get(group)
        probe, separator, name = named.rpartition(":")
        return f"{probe}{separator}{name if run is None else run.modalities.get(name, name)}"

    @functools.cached_property
    def keep_weights(self) -> frozenset[str]:
        """The names of the cells whose runs keep their network's weights: something is made of them."""
        parents = {parent.name for cell in self.cells for _, parent in cell.parents}
        return self.probed | parents | set(self.measured) | self._kept_flips[0] | self._kept_flips[1]

    def flips(self, cell: Cell) -> list[Flip]:
        """Return what may explain a cell's numbers: every declared factor of it, flipped one at a time.

        Their cells are no part of the plan: nothing runs them but an explanation that is asked for.
        """
        if cell.name not in self._flips:
            self._flips[cell.name] = flips_of(self.resolver, cell)
        return self._flips[cell.name]

    @functools.cached_property
    def _flips(self) -> dict[str, list[Flip]]:
        return {}

    @functools.cached_property
    def flipped(self) -> dict[str, Cell]:
        """All cells that explanations of this benchmark's numbers run, and what they start from, by name."""
        found: dict[str, Cell] = {}
        for cell in self.cells:
            for flip in self.flips(cell):
                for needed in () if flip.cell is None else (*(p for _, p in flip.cell.parents), flip.cell):
                    found.setdefault(needed.name, needed)
        return found

    def dataset(self, name: str) -> PreparedDataset:
        """Return the prepared data called ``<name>``, or ``<name>.<key>``, of the plan or of an explanation.

        Raises:
            UserError: the plan has no such dataset.
        """
        if name in self._datasets_by_name:
            return self._datasets_by_name[name]
        for cell in self.flipped.values():
            for data in (cell.data, *cell.folds):
                if name == data.directory.name:
                    return data
        hint = suggest(name, [data.name for data in self.datasets])
        raise UserError(f"{self.path}: no dataset '{name}' in this benchmark as it is now{hint}")

    @functools.cached_property
    def _datasets_by_name(self) -> dict[str, PreparedDataset]:
        return {name: data for data in self.datasets for name in (data.name, data.directory.name)}

    @functools.cached_property
    def _kept_flips(self) -> tuple[frozenset[str], frozenset[str]]:
        """The flipped cells that are probed, and those that others start from: both keep their weights.

        Cells of the plan itself stay as they are, so that explaining one number asks for no new files of others.
        """
        probed: set[str] = set()
        parents: set[str] = set()
        for cell in self.cells:
            if cell.name not in self.probed and not cell.parents:
                continue
            for flip in self.flips(cell):
                if flip.cell is not None:
                    parents.update(parent.name for _, parent in flip.cell.parents)
                    probed.update({flip.cell.name} if cell.name in self.probed else ())
        return frozenset(probed - set(self._cells_by_name)), frozenset(parents - set(self._cells_by_name))

    @functools.cached_property
    def measured(self) -> dict[str, frozenset[Measurement]]:
        """By the name of a cell, the measurements that figures and tables want of its runs' weights.

        Raises:
            UserError: one measurement is wanted with two settings of it, so that its metrics would have two values.
        """
        wanted = [(cell, f.figure.measure) for f in self.figures for _, cell, _ in f.cells]
        wanted += [(value.cell, self.papers[value.paper].tables[value.table].measure) for value in self.values]
        found: dict[str, frozenset[Measurement]] = {}
        for cell, measurement in wanted:
            if cell is not None and measurement is not None:
                found[cell.name] = found.get(cell.name, frozenset()) | {measurement}
        for name, measurements in found.items():
            kinds = [measurement.name for measurement in measurements]
            twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
            if twice is not None:
                raise UserError(f"{self.path}: '{twice}' is measured with two different settings on the runs of {name}")
        return found

    def measurement(self, cell: Cell, name: str) -> Measurement:
        """Return the measurement of a cell's runs by the name of its file."""
        known = {measurement_name(measurement): measurement for measurement in self.measured.get(cell.name, ())}
        if name not in known:
            raise UserError(
                f"{cell.name}: nothing in this benchmark needs a measurement '{name}'{suggest(name, known)}"
            )
        return known[name]

    def cell(self, name: str) -> Cell:
        """Return the cell called ``dataset/model/method-variant.key``, of the plan or of an explanation.

        Raises:
            UserError: the plan has no such cell, for example because configuration or source changed since.
        """
        if name not in self._cells_by_name and name in self.flipped:
            return self.flipped[name]
        if name not in self._cells_by_name:
            near = difflib.get_close_matches(name, self._cells_by_name, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UserError(f"{self.path}: no cell '{name}' in this benchmark as it is now{hint}")
        return self._cells_by_name[name]

    @functools.cached_property
    def _cells_by_name(self) -> dict[str, Cell]:
        return {cell.name: cell for cell in self.cells}

    def table_run(self, paper: str, table: str) -> TableRun:
        """Return what the benchmark says about a table."""
        for run in self.benchmark.table_runs:
            if (run.paper, run.table) == (paper, table):
                return run
        names = [f"{run.paper}.{run.table}" for run in self.benchmark.table_runs]
        hint = suggest(f"{paper}.{table}", names)
        raise UserError(f"{self.path}: table '{paper}.{table}' is not in this benchmark{hint}")


def make_plan(root: Path, path: Path, overrides: dict[str, Any] | None = None) -> Plan:
    """Resolve the benchmark at ``path`` against the project at ``root``.

    Raises:
        UserError: at the first name, key or value anywhere in the configuration that cannot be.
    """
    benchmark = load_benchmark(path, overrides)
    _refuse_taken_name(root, path, benchmark.name)
    resolver = Resolver(Path(root), Path(path), benchmark)
    configs = resolver.configs
    for name in benchmark.methods:
        component("method", name, f"{path}: methods")
    for name in configs.names("methods"):
        component("method", name, str(configs.path("methods", name)))
    papers: dict[str, Paper] = {}
    values: list[PlannedValue] = []
    own = [own_table(resolver, table) for table in benchmark.tables if isinstance(table, OwnTable)]
    if own:
        papers[OWN] = own_paper(own)
    for run in benchmark.table_runs:
        paper = _paper(resolver, run.paper, "tables", papers)
        if run.table not in paper.tables:
            raise UserError(f"{path}: paper '{run.paper}' has no table '{run.table}'{suggest(run.table, paper.tables)}")
        values += plan_table(resolver, run, paper.tables[run.table])
    # A paper of which there are figures alone is not judged.
    judged = dict(papers)
    figures = [plan_figure(resolver, run, _paper(resolver, run.paper, "figures", papers)) for run in benchmark.figures]
    used = [value.cell for value in values]
    used += [cell for figure in figures for _, cell, _ in figure.cells]
    cells: dict[str, Cell] = {}
    for cell in used:
        # What a cell's runs start from comes before it.
        for needed in () if cell is None else (*(parent for _, parent in cell.parents), cell):
            cells.setdefault(needed.name, needed)
    return Plan(
        benchmark=benchmark,
        path=Path(path),
        overrides=overrides or {},
        cells=list(cells.values()),
        values=values,
        papers=judged,
        figures=figures,
        resolver=resolver,
    )


def _only_modality(cell: Cell) -> str:
    """Return the modality that a cell's runs train by itself, the only output that they have; "" where it is not so."""
    single = component("method", cell.method).info.trains == "single"
    return str(cell.config["method"]["settings"].get("modality", "")) if single else ""


def _refuse_taken_name(root: Path, path: Path, name: str) -> None:
    """Refuse a benchmark that has the name of another one in ``configs/benchmarks``: both would write the same results.

    A copy that is equal to the other, byte for byte, is the same benchmark.

    Raises:
        UserError: names both files.
    """
    says = re.compile(rf"""^name\s*:\s*["']?{re.escape(name)}["']?\s*(#.*)?$""", re.MULTILINE)
    for other in sorted((Path(root) / FOLDER).glob("*.yaml")):
        if other.is_file() and not other.samefile(path):
            text = other.read_text(encoding="utf-8", errors="replace")
            if says.search(text) and text != Path(path).read_text(encoding="utf-8", errors="replace"):
                raise UserError(
                    f"{path}: key 'name' is '{name}', which is the name of {other}, too: each would overwrite the "
                    f"other's results/{name}; give a copy a name of its own, as in 'name: {_own_name(path, name)}'"
                )


def _own_name(path: Path, taken: str) -> str:
    name = re.sub(r"[^a-z0-9_-]", "_", Path(path).stem.lower())
    return name if name and name != taken else f"my_{taken}"


def _paper(resolver: Resolver, name: str, key: str, read: dict[str, Paper]) -> Paper:
    if name not in read:
        known = paper_names(resolver.configs.root)
        if name not in known:
            raise UserError(f"{resolver.path}: {key}: there is no paper '{name}'{suggest(name, known)}")
        read[name] = load_paper(resolver.configs.root, name)
    return read[name]


__all__ = ["Cell", "Flip", "Plan", "PlannedFigure", "PlannedValue", "PreparedDataset", "make_plan"]
