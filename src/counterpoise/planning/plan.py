"""From a benchmark to cells and runs: names resolved, settings checked, every run named by its identity.

A cell is dataset x model x method x protocol; with a seed it is a run. A cell's key is a digest of its
resolved configuration, of the source that can change its result and of its prepared data's key
(docs/design.md, Identity).
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from counterpoise.components import Component, component, components
from counterpoise.declare import DatasetInfo, FusionInfo, MethodInfo
from counterpoise.errors import UserError, suggest
from counterpoise.identity import canonical_json, short_key, source_digest
from counterpoise.papers.figures import Figure, Measurement
from counterpoise.papers.paper import ColumnGroup, Paper, PaperTable, load_paper, paper_names
from counterpoise.planning.benchmark import Benchmark, ColumnRun, FigureRun, TableRun, load_benchmark
from counterpoise.planning.configs import Configs, DatasetConfig, MethodConfig, MethodOverride, Part
from counterpoise.planning.factors import FOLDERS, Change, Factor, differences, sides
from counterpoise.protocol import ProtocolFile

NOT_IN_BENCHMARK = "not in this benchmark"
TRAINING = "counterpoise.runs.train"
PREPARATION = "counterpoise.data.prepare"
PROBE = "counterpoise.runs.probe"


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset with its settings, as prepared under ``data/prepared/<name>.<key>``."""

    name: str
    title: str
    component: str
    settings: dict[str, Any] = field(hash=False)
    key: str

    @property
    def directory(self) -> PurePosixPath:
        """Where the prepared arrays and their manifest are, relative to the project."""
        return PurePosixPath("data/prepared", f"{self.name}.{self.key}")


@dataclass(frozen=True)
class Cell:
    """Dataset x model x method x protocol, resolved; the key digests config, source and the data's key.

    ``parents`` are, by modality, the unimodal cells whose run of the same seed a run of this cell starts
    from; their keys are part of ``config``. ``folds`` are the dataset's other folds, where seeds run on
    different ones.
    """

    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    config: dict[str, Any] = field(hash=False, compare=False)
    source: str
    data: PreparedDataset
    key: str
    parents: tuple[tuple[str, Cell], ...] = ()
    folds: tuple[PreparedDataset, ...] = ()

    @property
    def stage(self) -> int:
        """How many runs, one after the other, come before a run of this cell."""
        return max((1 + parent.stage for _, parent in self.parents), default=0)

    def data_of(self, seed: int) -> PreparedDataset:
        """The prepared data that the run of one seed trains on."""
        return (self.data, *self.folds)[seed % (1 + len(self.folds))]

    @property
    def data_key(self) -> str:
        """The key of the prepared data that the cell trains on."""
        return self.data.key

    @property
    def data_directory(self) -> PurePosixPath:
        """Where that data is, relative to the project."""
        return self.data.directory

    @property
    def name(self) -> str:
        """``<dataset>/<model>/<method>-<variant>.<key>``: the cell's name on the command line."""
        return f"{self.dataset}/{self.model}/{self.method}-{self.variant}.{self.key}"

    @property
    def directory(self) -> PurePosixPath:
        """Where the cell's runs are, relative to the project."""
        return PurePosixPath("results/runs", self.name)

    def run_directory(self, seed: int) -> PurePosixPath:
        """Where the run of one seed is, relative to the project."""
        return self.directory / f"seed-{seed}"


@dataclass(frozen=True)
class PlannedValue:
    """One value of a paper's table and the cell that regenerates it, or the ``reason`` why none does.

    ``variant`` is ``None`` where the row runs in one variant. ``stand_in`` says that another dataset takes
    the paper dataset's place, or another training its protocol's, so that the value is never compared with
    the printed one. ``other_training`` is that protocol's title.
    """

    paper: str
    table: str
    row: str
    variant: str | None
    column: str
    cell: Cell | None
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""


@dataclass(frozen=True)
class PlannedFigure:
    """One figure, and of each of its methods the cell that it is drawn from, or the reason why there is none.

    ``output`` is the modality that it looks at, by the dataset's name. ``stand_in``: not on the paper's data.
    ``paper_title`` is the paper's short one.
    """

    figure: Figure
    cells: tuple[tuple[str, Cell | None, str], ...] = ()
    output: str = ""
    note: str = ""
    stand_in: bool = False
    paper_title: str = ""

    @property
    def id(self) -> str:
        """``<paper>/<figure>``, as in its path."""
        return f"{self.figure.paper}/{self.figure.name}"


@dataclass(frozen=True)
class Flip:
    """One factor of a cell changed to one alternative.

    ``cell`` is what then runs, None where nothing can, with the ``reason``. ``before`` and ``after`` name the
    two sides in words; ``differences`` lists all settings that differ as (key, before, after).
    """

    factor: str
    title: str
    before: str
    after: str
    source: str = ""
    cell: Cell | None = None
    reason: str = ""
    differences: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True)
class Plan:
    """A benchmark resolved: its distinct cells in order of first use, and every value of its tables."""

    benchmark: Benchmark
    path: Path
    overrides: dict[str, Any]
    cells: list[Cell]
    values: list[PlannedValue]
    papers: dict[str, Paper]
    figures: list[PlannedFigure] = field(default_factory=list)
    flipper: Callable[[str], list[Flip]] | None = field(default=None, repr=False, compare=False)

    @property
    def seeds(self) -> list[int]:
        """The seeds of every cell."""
        return self.benchmark.seeds

    @property
    def runs(self) -> int:
        """How many runs the cells have."""
        return len(self.cells) * len(self.seeds)

    @property
    def datasets(self) -> list[PreparedDataset]:
        """The distinct prepared datasets, in order of first use."""
        used = (cell.data_of(seed) for cell in self.cells for seed in self.seeds)
        return list({data.directory: data for data in used}.values())

    @property
    def tables(self) -> list[tuple[str, str]]:
        """The (paper, table) pairs, in the benchmark's order."""
        return list(dict.fromkeys((table.paper, table.table) for table in self.benchmark.tables))

    @functools.cached_property
    def probe_name(self) -> str:
        """The name, without its suffix, of a run's probe of frozen encoders: it carries the probe's key."""
        settings = self.benchmark.probe.model_dump(mode="json")
        return f"probe.{short_key({'settings': settings, 'source': source_digest((PROBE,))})}"

    @functools.cached_property
    def probed(self) -> frozenset[str]:
        """The names of the cells whose encoders are probed: a table measures them on a probe's output."""
        return frozenset(value.cell.name for value in self.values if value.cell and self._is_probed(value))

    def probes_all(self, paper: str, table: str) -> bool:
        """Return whether the benchmark asks for a probe of every row of a table."""
        return any(run.probe == "all" for run in self.benchmark.tables if (run.paper, run.table) == (paper, table))

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
        the dataset that ran.
        """
        table = self.papers[value.paper].tables[value.table]
        column = table.column(value.column)
        in_paper = value.row in table.row_ids
        named = table.output(value.row, value.column) if in_paper else column.output
        group = table.group(value.row, value.column).id if in_paper else column.group
        return self.named_in_dataset(value.paper, value.table, group, named)

    def named_in_dataset(self, paper: str, table: str, group: str, output: str) -> str:
        """Return an output (``joint``, ``audio``, ``probe:audio``) with the modality's name in the dataset
        that runs in a column group.
        """
        run = self.table_run(paper, table).columns.get(group)
        probe, separator, named = output.rpartition(":")
        return f"{probe}{separator}{named if run is None else run.modalities.get(named, named)}"

    @functools.cached_property
    def keeping(self) -> frozenset[str]:
        """The names of the cells whose runs keep their network's weights: something is made of them."""
        parents = {parent.name for cell in self.cells for _, parent in cell.parents}
        return self.probed | parents | set(self.measured) | self._kept_flips[0] | self._kept_flips[1]

    def flips(self, cell: Cell) -> list[Flip]:
        """Return what may explain a cell's numbers: every declared factor of it, flipped one at a time.

        Their cells are no part of the plan: nothing runs them but an explanation that is asked for.
        """
        return [] if self.flipper is None else self.flipper(cell.name)

    @functools.cached_property
    def flipped(self) -> dict[str, Cell]:
        """All cells that explanations of this benchmark's numbers run, and what they start from, by name."""
        found = {}
        for cell in self.cells:
            for flip in self.flips(cell):
                for needed in () if flip.cell is None else (*(p for _, p in flip.cell.parents), flip.cell):
                    found.setdefault(needed.name, needed)
        return found

    @functools.cached_property
    def _kept_flips(self) -> tuple[frozenset[str], frozenset[str]]:
        """The flipped cells that are probed, and those that others start from: both keep their weights.

        Cells of the plan itself stay as the plan has them, so that explaining one number renames no other's
        files.
        """
        probed, parents = set(), set()
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
        """By the name of a cell, the measurements that figures want of its runs' weights."""
        found: dict[str, frozenset[Measurement]] = {}
        for planned in self.figures:
            for _, cell, _ in planned.cells:
                if cell is not None and planned.figure.measure:
                    found[cell.name] = found.get(cell.name, frozenset()) | {planned.figure.measure}
        return found

    def measure_name(self, measurement: Measurement) -> str:
        """Return the name, without its suffix, of a measurement's file: it carries the key of settings and source."""
        return f"{measurement.name}.{_measurement_key(measurement)}"

    def measurement(self, cell: Cell, name: str) -> Measurement:
        """Return the measurement of a cell's runs by the name of its file."""
        known = {self.measure_name(measurement): measurement for measurement in self.measured.get(cell.name, ())}
        if name not in known:
            raise UserError(
                f"{cell.name}: no figure of this benchmark needs a measurement '{name}'{suggest(name, known)}"
            )
        return known[name]

    def figure(self, paper: str, name: str) -> PlannedFigure:
        """Return a figure of the benchmark."""
        for planned in self.figures:
            if planned.id == f"{paper}/{name}":
                return planned
        hint = suggest(f"{paper}.{name}", [planned.id.replace("/", ".") for planned in self.figures])
        raise UserError(f"{self.path}: figure '{paper}.{name}' is not in this benchmark{hint}")

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
        for run in self.benchmark.tables:
            if (run.paper, run.table) == (paper, table):
                return run
        names = [f"{run.paper}.{run.table}" for run in self.benchmark.tables]
        hint = suggest(f"{paper}.{table}", names)
        raise UserError(f"{self.path}: table '{paper}.{table}' is not in this benchmark{hint}")


def make_plan(root: Path, path: Path, overrides: dict[str, Any] | None = None) -> Plan:
    """Resolve the benchmark at ``path`` against the project at ``root``.

    Raises:
        UserError: at the first name, key or value anywhere in the configuration that cannot be.
    """
    benchmark = load_benchmark(path, overrides)
    return _Planner(Path(root), Path(path), benchmark, overrides or {}).plan()


class _Planner:
    """Resolves a benchmark; everything that many cells share is read and checked once."""

    def __init__(self, root: Path, path: Path, benchmark: Benchmark, overrides: dict[str, Any]) -> None:
        self.path = path
        self.benchmark = benchmark
        self.overrides = overrides
        self.configs = Configs(root / "configs", benchmark.scale)
        self.papers: dict[str, Paper] = {}
        self.figure_papers: dict[str, Paper] = {}
        self.cells: dict[str, Cell] = {}
        self.values: list[PlannedValue] = []
        self.resolved: dict[_Wanted, tuple[Cell | None, str]] = {}
        self.origins: dict[str, _Wanted] = {}
        self.dataset = functools.cache(self._dataset)
        self.model = functools.cache(self._model)
        self.method_file = functools.cache(self._method_file)

    def plan(self) -> Plan:
        for name in self.benchmark.methods:
            component("method", name, f"{self.path}: methods")
        for name in self.configs.names("methods"):
            component("method", name, str(self.configs.path("methods", name)))
        for run in self.benchmark.tables:
            self._add_table(run)
        figures = [self._figure(run) for run in self.benchmark.figures]
        cells = list(self.cells.values())
        flipper = functools.cache(self._flips)
        found = (self.benchmark, self.path, self.overrides, cells, self.values, self.papers, figures)
        return Plan(*found, flipper)

    def _flips(self, name: str) -> list[Flip]:
        """Return a cell's factors flipped, each to each of its alternatives."""
        wanted = self.origins[name]
        cell, _ = self.resolved[wanted]
        return [
            self._flip(wanted, cell, id, factor, change, where)
            for id, factor, where in self._factors(wanted)
            for change in factor.changes
        ]

    def _factors(self, wanted: _Wanted) -> Iterator[tuple[str, Factor, str]]:
        """Yield a cell's factors, each with its name and where it is declared: variants by the method, others
        in the files of the method, protocol, model and dataset.
        """
        info = component("method", wanted.method).info
        other = {"published": "released", "released": "published"}.get(wanted.variant)
        if other in info.variants:
            source = str(info.variants[other].get("source", ""))
            variant = Factor(title="variant", source=source, changes=[Change(variant=other)])
            yield "variant", variant, f"method '{wanted.method}'"
        names = {
            "methods": wanted.method,
            "protocols": wanted.protocol,
            "models": wanted.model,
            "datasets": wanted.dataset,
        }
        assert set(names) == set(FOLDERS)
        for folder, name in names.items():
            for id, factor in self.configs.factors(folder, name).items():
                yield id, factor, f"{self.configs.path(folder, name)}: factors.{id}"

    def _flip(self, wanted: _Wanted, cell: Cell, id: str, factor: Factor, change: Change, where: str) -> Flip:
        if change.model is not None:
            self._check_exists("models", change.model, f"{where}.model")
        named = replace(
            wanted,
            model=change.model or wanted.model,
            variant=change.variant or wanted.variant,
            change=change.settings,
            where=where if change.settings else "",
        )
        found, reason = self._resolve(named, where)
        if found is None:
            return Flip(id, factor.title, "", "", factor.source, None, reason)
        changed = tuple(differences(cell.config, found.config))
        before, after = sides([item for item in changed if not item[0].startswith("parents.")])
        if change.variant:
            before, after = wanted.variant, change.variant
        elif change.model:
            before, after = wanted.model, change.model
        if not changed:
            return Flip(id, factor.title, before, after, factor.source, None, "changes nothing here")
        return Flip(id, factor.title, before, after, factor.source, found, "", changed)

    def _figure(self, run: FigureRun) -> PlannedFigure:
        where = f"{self.path}: figure {run.paper}.{run.figure}"
        paper = self._paper_of_figures(run.paper)
        if run.figure not in paper.figures:
            raise UserError(f"{where}: there is no such figure{suggest(run.figure, paper.figures)}")
        figure = paper.figures[run.figure]
        kind = component("figure_kind", figure.kind, f"{where}: kind")
        kind.resolve(figure.settings, f"{where}: settings of its kind '{figure.kind}'")
        if figure.measure is not None:
            _measurement_key(figure.measure, where)
        if figure.table and all((t.paper, t.table) != (run.paper, figure.table) for t in self.benchmark.tables):
            raise UserError(f"{where}: draws table '{figure.table}', which is not among 'tables'")
        if figure.needs_runs != (run.runs is not None):
            raise UserError(f"{where}: the key 'runs' {'is missing' if figure.needs_runs else 'does not belong here'}")
        title = paper.short_title
        if run.runs is None:
            return PlannedFigure(figure, note=run.note, paper_title=title)
        for folder, name in (("datasets", run.runs.dataset), ("models", run.runs.model)):
            self._check_exists(folder, name, f"{where}: runs")
        for name in run.runs.folds:
            self._check_exists("datasets", name, f"{where}: runs: folds")
        self._check_exists("protocols", run.runs.protocol, f"{where}: runs")
        cells = []
        for series in figure.series:
            row = _Row(series.label, series.method, tuple(sorted(series.settings.items())))
            cell, reason = self._resolve(_wanted(run.runs, row, "published"), f"{where}: {series.label}")
            if cell is not None:
                self.cells.setdefault(cell.name, cell)
            cells.append((series.label, cell, reason))
        output = run.runs.modalities.get(figure.output, figure.output)
        config = self.configs.dataset(run.runs.dataset)
        shortened = self._protocol_file(run.runs.protocol).stand_in_for
        stand_in = bool(config.stand_in_for or shortened) or self.benchmark.scale == "tiny"
        return PlannedFigure(figure, tuple(cells), output, run.note, stand_in, title)

    def _add_table(self, run: TableRun) -> None:
        where = f"{self.path}: table {run.paper}.{run.table}"
        if run.paper not in self.papers:
            self._check_paper(run.paper, "tables")
            self.papers[run.paper] = load_paper(self.configs.root, run.paper)
        paper = self.papers[run.paper]
        if run.table not in paper.tables:
            hint = suggest(run.table, paper.tables)
            raise UserError(f"{self.path}: paper '{run.paper}' has no table '{run.table}'{hint}")
        table = paper.tables[run.table]
        self._check_names(run, table, where)
        for row in self._rows(run, table, where):
            self._add_row(run, table, row, where)

    def _paper_of_figures(self, name: str) -> Paper:
        """Return a paper for its figures; it is judged only if the benchmark has a table of it."""
        if name not in self.papers and name not in self.figure_papers:
            self._check_paper(name, "figures")
            self.figure_papers[name] = load_paper(self.configs.root, name)
        return self.papers.get(name) or self.figure_papers[name]

    def _check_paper(self, name: str, key: str) -> None:
        known = paper_names(self.configs.root)
        if name not in known:
            raise UserError(f"{self.path}: {key}: there is no paper '{name}'{suggest(name, known)}")

    def _check_names(self, run: TableRun, table: PaperTable, where: str) -> None:
        groups = table.group_ids
        for group, target in run.columns.items():
            if group not in groups:
                raise UserError(f"{where}: unknown column group '{group}'{suggest(group, groups)}")
            self._check_exists("datasets", target.dataset, f"{where}: columns.{group}.dataset")
            self._check_exists("models", target.model, f"{where}: columns.{group}.model")
            for name in target.folds:
                self._check_exists("datasets", name, f"{where}: columns.{group}.folds")
            for protocol in (target.protocol, *target.protocols.values()):
                self._check_exists("protocols", protocol, f"{where}: columns.{group}.protocol")
        if run.probe == "all" and not any(map(table.is_unimodal, table.column_ids)):
            raise UserError(f"{where}: probe: all: the table has no unimodal columns")
        in_table = {row.method for row in table.rows} | set(run.extra_methods)
        for name, variants in run.variants.items():
            if name not in in_table:
                raise UserError(f"{where}: variants: unknown method '{name}'{suggest(name, in_table)}")
            known = component("method", name, where).info.variants
            for variant in variants:
                if variant not in known:
                    hint = suggest(variant, known)
                    raise UserError(f"{where}: variants: method '{name}' has no variant '{variant}'{hint}")

    def _check_exists(self, folder: str, name: str, where: str) -> None:
        known = self.configs.names(folder)
        if name not in known:
            path = self.configs.path(folder, name)
            raise UserError(f"{where}: there is no {folder[:-1]} '{name}' ({path}){suggest(name, known)}")

    def _rows(self, run: TableRun, table: PaperTable, where: str) -> list[_Row]:
        ids = table.row_ids
        for name in run.rows or []:
            if name not in ids:
                raise UserError(f"{where}: rows: unknown row '{name}'{suggest(name, ids)}")
        chosen = [row for row in table.rows if run.rows is None or row.id in run.rows]
        rows = [_Row(row.id, row.method, tuple(sorted(row.settings.items())), row.group) for row in chosen]
        return rows + [self._extra_row(name, table, where) for name in run.extra_methods]

    def _extra_row(self, name: str, table: PaperTable, where: str) -> _Row:
        title = component("method", name, f"{where}: extra_methods").info.title.replace(".", " ")
        if title in table.row_ids:
            raise UserError(f"{where}: extra_methods: '{name}' is a row of the table already: '{title}'")
        if any(column.group is None for column in table.columns):
            raise UserError(f"{where}: extra_methods: the rows of this table are datasets, not methods")
        return _Row(title, name, ())

    def _add_row(self, run: TableRun, table: PaperTable, row: _Row, where: str) -> None:
        groups = {group.id: group for group in table.groups}
        variants = run.variants.get(row.method, ["published"])
        found = {
            (group, variant): self._value(run, row, variant, groups[group], where)
            for group in dict.fromkeys(row.group or column.group for column in table.columns)
            for variant in variants
        }
        for column in table.columns:
            for variant in variants:
                cell, reason, stand_in, training = found[row.group or column.group, variant]
                for needed in () if cell is None else (*(parent for _, parent in cell.parents), cell):
                    self.cells.setdefault(needed.name, needed)
                shown = variant if len(variants) > 1 else None
                place = (run.paper, run.table, row.id, shown, column.id)
                self.values.append(PlannedValue(*place, cell, reason, stand_in, training))

    def _value(
        self, run: TableRun, row: _Row, variant: str, group: ColumnGroup, where: str
    ) -> tuple[Cell | None, str, bool, str]:
        if group.id not in run.columns:
            return None, NOT_IN_BENCHMARK, False, ""
        if row.method not in components("method"):
            return None, f"method '{row.method}' is not available", False, ""
        target = run.columns[group.id]
        wanted = _wanted(target, row, variant)
        cell, reason = self._resolve(wanted, f"{where}: column {group.id}: row {row.id}")
        dataset = self.configs.dataset(target.dataset)
        same = (dataset.known_as or target.dataset) == group.dataset
        protocol = self._protocol_file(wanted.protocol)
        stand_in = not same or bool(dataset.stand_in_for) or self.benchmark.scale == "tiny"
        training = protocol.title or wanted.protocol if protocol.stand_in_for else ""
        return cell, reason, stand_in or bool(training), training

    def _protocol_file(self, name: str) -> ProtocolFile:
        file = self.configs.protocol_file(name)
        if file.stand_in_for is not None:
            self._check_exists("protocols", file.stand_in_for, f"{self.configs.path('protocols', name)}")
        return file

    def _resolve(self, wanted: _Wanted, where: str) -> tuple[Cell | None, str]:
        if wanted not in self.resolved:
            cell, _ = self.resolved[wanted] = self._cell(wanted, where)
            if cell is not None:
                self.origins.setdefault(cell.name, wanted)
        return self.resolved[wanted]

    def _cell(self, wanted: _Wanted, where: str) -> tuple[Cell | None, str]:
        method = component("method", wanted.method, where)
        variants = method.info.variants
        if wanted.variant not in variants:
            hint = suggest(wanted.variant, variants)
            raise UserError(f"{where}: method '{method.name}' has no variant '{wanted.variant}'{hint}")
        change = json.loads(wanted.change or "{}")
        data, dataset = self.dataset(wanted.dataset, _frozen(change.get("dataset")), wanted.where)
        model, fusion = self.model(wanted.model, wanted.dataset)
        reason = _refusal(method.info, len(model["encoders"]), fusion, dataset)
        if reason:
            return None, reason
        settings, protocol = self._settings(method, wanted, where)
        config = {
            "dataset": {"component": data.component, "settings": data.settings},
            "model": model,
            "method": {"name": method.name, "variant": wanted.variant, "settings": settings},
            "protocol": protocol,
        }
        parents = self._parents(method.info, wanted, tuple(model["encoders"]), where)
        if parents:
            config["parents"] = {modality: parent.key for modality, parent in parents}
        folds = tuple(self._fold(name, data, wanted, where) for name in wanted.folds)
        if folds:
            config["folds"] = [fold.key for fold in folds]
        source = source_digest(self._modules(method, model))
        key = short_key({"config": config, "source": source, "data": data.key})
        names = (wanted.dataset, wanted.model, method.name, wanted.variant, wanted.protocol)
        return Cell(*names, config, source, data, key, parents, folds), ""

    def _fold(self, name: str, first: PreparedDataset, wanted: _Wanted, where: str) -> PreparedDataset:
        """Return one of a dataset's other folds: the same dataset, split in another way."""
        changed = json.loads(wanted.change or "{}").get("dataset")
        fold, _ = self.dataset(name, _frozen(changed), wanted.where)
        if fold.component != first.component:
            raise UserError(
                f"{where}: folds: '{name}' is of '{fold.component}', which is another dataset than "
                f"'{first.name}', of '{first.component}'"
            )
        return fold

    def _parents(
        self, method: MethodInfo, wanted: _Wanted, modalities: tuple[str, ...], where: str
    ) -> tuple[tuple[str, Cell], ...]:
        """Return the unimodal cells that a cell starts from: same dataset, model and protocol."""
        if "unimodal_runs" not in method.needs:
            return ()
        found = []
        for modality in modalities:
            settings = (("modality", modality),)
            change = json.loads(wanted.change or "{}")
            change.pop("method", None)
            parent = replace(
                wanted,
                method="unimodal",
                variant="published",
                settings=settings,
                change=_frozen(change),
                where=wanted.where if change else "",
            )
            cell, _ = self._resolve(parent, f"{where}: run of '{modality}' alone")
            found.append((modality, cell))
        return tuple(found)

    def _settings(self, method: Component, wanted: _Wanted, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return settings and protocol: variant, method file, dataset and benchmark laid over in this
        order.
        """
        file = self.method_file(method.name)
        places = (wanted.dataset, f"{wanted.dataset}/{wanted.model}")
        layers: list[MethodOverride] = [file]
        layers += [file.variants[wanted.variant]] if wanted.variant in file.variants else []
        layers += [file.datasets[place] for place in places if place in file.datasets]
        if wanted.variant in file.variants:
            own = file.variants[wanted.variant].datasets
            layers += [own[place] for place in places if place in own]
        layers += [self.benchmark.methods[method.name]] if method.name in self.benchmark.methods else []
        settings = dict(method.info.variants[wanted.variant].get("settings", {}))
        change = json.loads(wanted.change or "{}")
        given = [*(layer.settings for layer in layers), dict(wanted.settings), change.get("method", {})]
        for layer in given:
            settings.update(layer)
        protocol = self.configs.override_protocol(
            wanted.protocol,
            [*(layer.protocol for layer in layers), change.get("protocol", {})],
            f"{where}: protocol of method '{method.name}'",
        )
        resolved = method.resolve(settings, f"{where}: settings of method '{method.name}'")
        return resolved, protocol.model_dump(mode="json")

    def _method_file(self, name: str) -> MethodConfig:
        file = self.configs.method(name)
        where = self.configs.path("methods", name)
        known = component("method", name).info.variants
        for variant in file.variants:
            if variant not in known:
                hint = suggest(variant, known)
                raise UserError(f"{where}: variants: method '{name}' has no variant '{variant}'{hint}")
        self._check_places(file.datasets, where)
        for name, variant in file.variants.items():
            self._check_places(variant.datasets, f"{where}: variants.{name}")
        return file

    def _check_places(self, places: Iterable[str], where: str) -> None:
        """Check the names of ``dataset`` or ``dataset/model``."""
        for place in places:
            dataset, _, model = place.partition("/")
            self._check_exists("datasets", dataset, f"{where}: datasets.{place}")
            if model:
                self._check_exists("models", model, f"{where}: datasets.{place}")

    def _dataset(self, name: str, settings: str = "", asked: str = "") -> tuple[PreparedDataset, DatasetInfo]:
        config: DatasetConfig = self.configs.dataset(name, json.loads(settings or "{}"))
        where = asked or str(self.configs.path("datasets", name))
        found = component("dataset", config.component, where)
        settings = found.resolve(config.settings, f"{where}: settings")
        source = source_digest((found.module, PREPARATION))
        key = short_key({"component": found.name, "settings": settings, "source": source})
        return PreparedDataset(name, config.title, found.name, settings, key), found.info

    def _model(self, name: str, dataset_name: str) -> tuple[dict[str, Any], FusionInfo | None]:
        model = self.configs.model(name)
        _, dataset = self.dataset(dataset_name)
        where = str(self.configs.path("models", name))
        for modality in model.encoders:
            if modality not in dataset.modalities:
                hint = suggest(modality, dataset.modalities)
                raise UserError(f"{where}: encoders: dataset '{dataset.name}' has no modality '{modality}'{hint}")
        if dataset.task == "multimodal" and model.fusion is None:
            raise UserError(f"{where}: the key 'fusion' is missing: dataset '{dataset.name}' is multimodal")
        parts = {key: _part("encoder", part, f"{where}: encoders.{key}") for key, part in model.encoders.items()}
        fusion = None if dataset.task == "multitask" else _part("fusion", model.fusion, f"{where}: fusion")
        info = None if fusion is None else component("fusion", fusion["component"]).info
        if info is not None:
            _check_fusion(info, parts, f"{where}: fusion '{info.name}'")
        for modality in model.inputs:
            if modality not in model.encoders:
                hint = suggest(modality, model.encoders)
                raise UserError(f"{where}: inputs: the model has no encoder of a modality '{modality}'{hint}")
        config = {
            "encoders": parts,
            "fusion": fusion,
            "head": model.head.model_dump(),
            "init": model.init,
            "inputs": {name: settings.model_dump(mode="json") for name, settings in model.inputs.items()},
        }
        return config, info

    def _modules(self, method: Component, model: dict[str, Any]) -> tuple[str, ...]:
        parts = [component("encoder", part["component"]) for part in model["encoders"].values()]
        if model["fusion"] is not None:
            parts.append(component("fusion", model["fusion"]["component"]))
        return tuple(sorted({TRAINING, method.module, *(part.module for part in parts)}))


@dataclass(frozen=True)
class _Row:
    """A row that runs: one of the paper's, or one that the benchmark adds."""

    id: str
    method: str
    settings: tuple[tuple[str, str], ...]
    group: str | None = None


@dataclass(frozen=True)
class _Wanted:
    """What a cell is resolved from, by name; ``change`` is what a factor changes besides, as JSON, and
    ``where`` it is declared.
    """

    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    settings: tuple[tuple[str, str], ...]
    folds: tuple[str, ...] = ()
    change: str = ""
    where: str = field(default="", compare=False)


def _measurement_key(measurement: Measurement, where: str = "") -> str:
    """Return the key of a measurement: of its settings and the source that makes it."""
    found = component("measurement", measurement.name, where)
    settings = found.resolve(measurement.settings, f"{where}: settings of the measurement '{measurement.name}'")
    return short_key({"settings": settings, "source": source_digest((found.module,))})


def _frozen(settings: dict[str, Any] | None) -> str:
    return canonical_json(settings) if settings else ""


def _wanted(target: ColumnRun, row: _Row, variant: str) -> _Wanted:
    protocol = target.protocols.get(variant, target.protocol)
    settings = dict(row.settings)
    if "modality" in settings:
        settings["modality"] = target.modalities.get(settings["modality"], settings["modality"])
    names = (target.dataset, target.model, row.method, variant, protocol)
    return _Wanted(*names, tuple(settings.items()), tuple(target.folds))


def _part(kind: str, part: Part, where: str) -> dict[str, Any]:
    found = component(kind, part.component, where)
    return {"component": found.name, "settings": found.resolve(part.settings, f"{where}: settings")}


def _check_fusion(fusion: FusionInfo, encoders: dict[str, Any], where: str) -> None:
    """Raise ``UserError`` where a fusion cannot join these encoders."""
    least, most = fusion.modalities
    if not least <= len(encoders) <= (len(encoders) if most is None else most):
        raise UserError(f"{where}: joins {_number(least, most)} modalities, not {len(encoders)}")
    widths = {name: part["settings"]["width"] for name, part in encoders.items() if "width" in part["settings"]}
    if fusion.equal_widths and len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"{where}: needs features of one width; the encoders have {listed}")


def _number(least: int, most: int | None) -> str:
    return f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"


def _refusal(method: MethodInfo, modalities: int, fusion: FusionInfo | None, dataset: DatasetInfo) -> str:
    """Return why a method is not defined for a model and a dataset, or nothing."""
    if fusion is None or dataset.task == "multitask":
        return "" if method.tasks else f"{method.title} is not defined for several tasks"
    least, most = method.modalities
    if not least <= modalities <= (modalities if most is None else most):
        return f"{method.title} is defined for {_number(least, most)} modalities, not {modalities}"
    if "weight_slices" in method.needs and not fusion.slices:
        return f"{method.title} needs one weight slice per modality, which fusion '{fusion.name}' has not"
    alone = method.family == "integration" or method.trains == "single" or "unimodal_runs" in method.needs
    if fusion.linked and alone:
        return f"{method.title} takes each encoder by itself, which fusion '{fusion.name}' does not allow"
    return ""
