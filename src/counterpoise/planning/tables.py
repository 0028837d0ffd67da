"""The tables of a benchmark: for every place of a table the cell that fills it, or the reason why none does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from counterpoise.comparability import NOT_IN_BENCHMARK, OTHER, Difference
from counterpoise.components import component, components
from counterpoise.errors import UserError, suggest
from counterpoise.papers.head import OWN
from counterpoise.papers.paper import ColumnGroup, PaperTable
from counterpoise.planning.benchmark import ColumnRun, TableRun
from counterpoise.planning.cells import Cell
from counterpoise.planning.figures import measurement_of
from counterpoise.planning.resolve import CellNames, Resolver


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one row gets in one column group: the cell that regenerates it, or the ``reason`` why none does.

    ``stand_in`` says that another dataset takes the paper dataset's place, or another training its protocol's, so
    that the value is never compared with the printed one. ``other_training`` is that protocol's title, ``differs``
    what the files of dataset and model declare.
    """

    cell: Cell | None = None
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""
    differs: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlannedValue(_Outcome):
    """One value of a paper's table; ``variant`` is ``None`` where the row runs in one variant."""

    paper: str
    table: str
    row: str
    variant: str | None
    column: str


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row that runs: one of the paper's, or one that the benchmark adds. ``group``: its only column group."""

    id: str
    method: str
    settings: tuple[tuple[str, str], ...] = ()
    group: str | None = None


def plan_table(resolver: Resolver, run: TableRun, table: PaperTable) -> Iterator[PlannedValue]:
    """Yield every value of a table of the benchmark, row by row.

    Raises:
        UserError: a name, key or value that cannot be.
    """
    where = f"{resolver.path}: table {run.paper}.{run.table}"
    _check_names(resolver, run, table, where)
    groups: dict[str | None, ColumnGroup] = {group.id: group for group in table.groups}
    for row in _rows(run, table, where):
        variants = run.variants.get(row.method, ["published"])
        outcomes = {
            (group, variant): _outcome(resolver, run, row, variant, groups[group], where)
            for group in dict.fromkeys(row.group or column.group for column in table.columns)
            for variant in variants
        }
        for column in table.columns:
            for variant in variants:
                yield PlannedValue(
                    paper=run.paper,
                    table=run.table,
                    row=row.id,
                    variant=variant if len(variants) > 1 else None,
                    column=column.id,
                    **vars(outcomes[row.group or column.group, variant]),
                )


def _outcome(resolver: Resolver, run: TableRun, row: _Row, variant: str, group: ColumnGroup, where: str) -> _Outcome:
    if group.id not in run.columns:
        return _Outcome(reason=NOT_IN_BENCHMARK)
    if row.method not in components("method"):
        return _Outcome(reason=f"method '{row.method}' is not available")
    column = run.columns[group.id]
    names = CellNames.of(column, row.method, variant, row.settings)
    cell, reason = resolver.resolve(names, f"{where}: column {group.id}: row {row.id}")
    if run.paper == OWN:  # nothing is printed, so nothing stands in for it or differs from it
        return _Outcome(cell=cell, reason=reason)
    dataset = resolver.configs.dataset(column.dataset)
    protocol = resolver.protocol_file(names.protocol)
    other_training = protocol.title or names.protocol if protocol.stand_in_for else ""
    other_data = (dataset.known_as or column.dataset) != group.dataset or bool(dataset.stand_in_for)
    return _Outcome(
        cell=cell,
        reason=reason,
        stand_in=other_data or bool(other_training) or resolver.benchmark.scale == "tiny",
        other_training=other_training,
        differs=() if cell is None else tuple(_differences(resolver, column, names, cell)),
    )


def _differences(resolver: Resolver, column: ColumnRun, names: CellNames, cell: Cell) -> Iterator[Difference]:
    """Yield what the files of a column's dataset and model say about how they differ from the paper's, and what the
    benchmark changes in a method's training.
    """
    dataset, model = resolver.configs.dataset(column.dataset), resolver.configs.model(column.model)
    of_data = [entry for entry in dataset.comparability if entry.applies(cell.data.settings)]
    yield from (entry.difference for entry in [*of_data, *model.comparability])
    changed = resolver.set_by_benchmark(names, cell)
    if changed:
        source = f"the benchmark's methods.{names.method}"
        yield Difference(aspect="training", level=OTHER, reason=", ".join(changed), source=source)


def _rows(run: TableRun, table: PaperTable, where: str) -> list[_Row]:
    ids = table.row_ids
    for name in run.rows or []:
        if name not in ids:
            raise UserError(f"{where}: rows: unknown row '{name}'{suggest(name, ids)}")
    chosen = [row for row in table.rows if run.rows is None or row.id in run.rows]
    rows = [
        _Row(id=row.id, method=row.method, settings=tuple(sorted(row.settings.items())), group=row.group)
        for row in chosen
    ]
    return rows + [_extra_row(name, table, where) for name in run.extra_methods]


def _extra_row(name: str, table: PaperTable, where: str) -> _Row:
    # A dot would end the row's name in the name of a value (paper.table.row.column).
    title = component("method", name, f"{where}: extra_methods").info.title.replace(".", " ")
    if title in table.row_ids:
        raise UserError(f"{where}: extra_methods: '{name}' is a row of the table already: '{title}'")
    if any(column.group is None for column in table.columns):
        raise UserError(f"{where}: extra_methods: the rows of this table are datasets, not methods")
    return _Row(id=title, method=name)


def _check_names(resolver: Resolver, run: TableRun, table: PaperTable, where: str) -> None:
    groups = table.group_ids
    if table.measure is not None:
        measurement_of(table.measure, where)
    for group, column in run.columns.items():
        if group not in groups:
            raise UserError(f"{where}: unknown column group '{group}'{suggest(group, groups)}")
        resolver.check_column(column, f"{where}: columns.{group}")
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
