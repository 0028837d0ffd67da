"""From a number in a table to everything that made it: runs, configuration, source, data, device, log,
command.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError, suggest
from counterpoise.files import read_json
from counterpoise.papers.paper import Column, PaperTable
from counterpoise.planning.plan import Cell, Plan, PlannedValue
from counterpoise.runs.record import RunRecord
from counterpoise.runs.status import RunStatus, run_status

_VARIANT = re.compile(r"(?P<row>.+?)\s*(?:@(?P<at>\w+)|\[(?P<bracketed>\w+)\])")


@dataclass(frozen=True)
class TracedRun:
    """One run behind a number: its value in printed units (``None`` with a ``reason`` where it has none)."""

    status: RunStatus
    folder: Path
    value: float | None
    epoch: int | None
    reason: str
    logs: tuple[Path, ...]
    command: str


@dataclass(frozen=True)
class Trace:
    """A number of a table: what the paper prints and, where a cell regenerates it, the cell and its runs."""

    name: str
    printed: str
    planned: PlannedValue
    selection: str
    output: str
    metric: str
    data_sources: tuple[dict[str, Any], ...]
    runs: tuple[TracedRun, ...]

    @property
    def cell(self) -> Cell | None:
        """The cell that regenerates the number."""
        return self.planned.cell

    @property
    def values(self) -> list[float]:
        """The values of the runs that have one, in printed units."""
        return [run.value for run in self.runs if run.value is not None]


def trace(plan: Plan, root: Path, name: str) -> list[Trace]:
    """Return what is behind ``<paper>.<table>.<row>.<column>``, once for each variant of the row that is run.

    Raises:
        UserError: the plan has no such number; says which part is unknown and the nearest right one.
    """
    table, column, values = find_values(plan, name)
    return [_trace(plan, Path(root), table, column, value) for value in values]


def find_values(plan: Plan, name: str) -> tuple[PaperTable, Column, list[PlannedValue]]:
    """Return the table, the column and the planned values, one per variant, that a number's name means.

    The row is given by its id, as printed or with ``_`` for spaces and in any case, or by its method's name;
    a variant is chosen as in ``MMPareto@released`` or ``MMPareto [released]``.

    Raises:
        UserError: the plan has no such number; says which part is unknown and the nearest right one.
    """
    paper, table_name, row, column_id = _split(name)
    table = _table(plan, paper, table_name)
    row, variant = _row_and_variant(row)
    row_id = _row(plan, table, row, name)
    column = table.column(column_id)
    found = [
        value
        for value in plan.values
        if (value.paper, value.table, value.row, value.column) == (paper, table.table, row_id, column.id)
    ]
    if not found:
        raise UserError(f"{name}: the row '{row_id}' is not in this benchmark ({plan.path})")
    variants = [value.variant or (value.cell.variant if value.cell else "published") for value in found]
    if variant is not None and variant not in variants:
        raise UserError(f"{name}: the row is not run in the variant '{variant}'{suggest(variant, variants)}")
    chosen = zip(found, variants, strict=True)
    return table, column, [value for value, own in chosen if variant in (None, own)]


def value_name(value: PlannedValue) -> str:
    """Return a number's name, with the variant where its row is run in several."""
    return number_name(value.paper, value.table, value.row, value.variant, value.column)


def number_name(paper: str, table: str, row: str, variant: str | None, column: str) -> str:
    """Return ``<paper>.<table>.<row>.<column>``, the row with its variant where it has several."""
    return f"{paper}.{table}.{row if variant is None else f'{row}@{variant}'}.{column}"


def _split(name: str) -> tuple[str, str, str, str]:
    parts = name.split(".", 3)
    if len(parts) < 4 or not all(parts):
        raise UserError(
            f"{name}: must be <paper>.<table>.<row>.<column>, for example mmpareto.table3.MMPareto.cg_mnist.accuracy"
        )
    return parts[0], parts[1], parts[2], parts[3]


def _table(plan: Plan, paper: str, name: str) -> PaperTable:
    if paper not in plan.papers:
        raise UserError(f"{plan.path}: no table of paper '{paper}' in this benchmark{suggest(paper, plan.papers)}")
    plan.table_run(paper, name)
    return plan.papers[paper].tables[name]


def _row_and_variant(text: str) -> tuple[str, str | None]:
    match = _VARIANT.fullmatch(text)
    return (match["row"], match["at"] or match["bracketed"]) if match else (text, None)


def _row(plan: Plan, table: PaperTable, wanted: str, name: str) -> str:
    methods: dict[str, list[str]] = {}
    for value in plan.values:
        if (value.paper, value.table) == (table.paper, table.table) and value.cell is not None:
            methods.setdefault(value.cell.method, []).append(value.row)
    rows = [value.row for value in plan.values if (value.paper, value.table) == (table.paper, table.table)]
    ids = list(dict.fromkeys([*table.row_ids, *rows]))
    same = [row for row in ids if row == wanted] or [row for row in ids if _plain(row) == _plain(wanted)]
    same = same or list(dict.fromkeys(methods.get(wanted, [])))
    if len(same) != 1:
        what = f"there is no row '{wanted}'" if not same else f"'{wanted}' is {len(same)} rows"
        raise UserError(f"{name}: {what}{suggest(wanted, same or ids)}")
    return same[0]


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).casefold()


def _trace(plan: Plan, root: Path, table: PaperTable, column: Column, value: PlannedValue) -> Trace:
    in_paper = value.row in table.row_ids
    output = plan.output(value)
    printed = table.value(value.row, column.id).printed if in_paper else ""
    runs = () if value.cell is None else tuple(_runs(plan, root, value.cell, column, output))
    return Trace(
        name=value_name(value),
        printed=printed,
        planned=value,
        selection=plan.benchmark.selection,
        output=output,
        metric=column.metric,
        data_sources=() if value.cell is None else tuple(_sources(plan, root, value.cell)),
        runs=runs,
    )


def _runs(plan: Plan, root: Path, cell: Cell, column: Column, output: str) -> Iterable[TracedRun]:
    for seed in plan.seeds_of(cell):
        status = run_status(root, cell, seed)
        folder = root / cell.run_directory(seed)
        number, epoch, reason = _measured(plan, folder, status, column, output)
        value = None if number is None else number * column.scale
        logs = tuple(run_logs(root, cell, seed))
        yield TracedRun(status, folder, value, epoch, reason, logs, redo_command(plan, cell, seed))


def _measured(
    plan: Plan, folder: Path, status: RunStatus, column: Column, output: str
) -> tuple[float | None, int | None, str]:
    """Return the metric as recorded, the epoch that was selected, and why there is none."""
    if status.record is None or status.record.status != "completed":
        return None, None, " ".join(filter(None, [str(status.state), status.detail]))
    path = folder / plan.metrics_name
    if not path.is_file():
        return None, None, "trained, not evaluated yet"
    metrics = read_json(path, "metrics of a run")
    if (metrics.get("key"), metrics.get("seed")) != (status.cell.key, status.seed):
        raise UserError(f"{path}: belongs to another run (key {metrics.get('key')})")
    selected = metrics["selections"].get(plan.benchmark.selection)
    if selected is None:
        return None, None, f"the run has no selection '{plan.benchmark.selection}'"
    number = selected["outputs"].get(output, {}).get(column.metric)
    reason = "" if number is not None else f"the run has no {column.metric} of output '{output}'"
    return number, selected["epoch"], reason


def _sources(plan: Plan, root: Path, cell: Cell) -> Iterator[dict[str, Any]]:
    """Yield the files that the cell's data was made of, each once."""
    found = {}
    for folder in dict.fromkeys(cell.data_of(seed).directory for seed in plan.seeds):
        path = root / folder / "manifest.json"
        sources = read_json(path, "manifest of prepared data").get("sources", []) if path.is_file() else []
        found |= {(source.get("name"), source.get("sha256")): source for source in sources}
    yield from found.values()


def run_logs(root: Path, cell: Cell, seed: int) -> list[Path]:
    """Return the logs of the jobs that trained and evaluated the run; a job takes a batch of seeds."""
    found = []
    for job in ("train", "evaluate"):
        for path in sorted((root / "logs" / job / cell.name).glob("seeds-*.log")):
            if str(seed) in path.stem.removeprefix("seeds-").split("-"):
                found.append(path)
        # A job of several cells has one log, which names every run that it made.
        for path in sorted((root / "logs" / job).glob("cells-*.log")):
            if cell.name in path.read_text(encoding="utf-8", errors="replace"):
                found.append(path)
    return found


def redo_command(plan: Plan, cell: Cell, seed: int) -> str:
    """Return the one command that makes a run again and compares it with what is recorded."""
    settings = [f"--set={key}={value!r}" for key, value in plan.overrides.items()]
    command = ["counterpoise", "redo", cell.name, "--seed", str(seed), "--benchmark", str(plan.path), *settings]
    return shlex.join(command)


def differences(recorded: RunRecord, again: RunRecord) -> list[str]:
    """Return in what two records of one run differ, with what of machine and software may be why; nothing if
    equal.
    """
    found = [
        f"{name}: recorded {getattr(recorded, name)}, now {getattr(again, name)}"
        for name in ("status", "epochs_run", "weights_sha256")
        if getattr(recorded, name) != getattr(again, name)
    ]
    found += [f"{name}: not the same bytes" for name, sha in again.files.items() if recorded.files.get(name) != sha]
    if not found:
        return []
    now = again.environment
    # A run that was resumed on another machine has a part of its bits from there.
    for number, attempt in enumerate(recorded.attempts, 1):
        which = f"attempt {number} of {len(recorded.attempts)}, " if recorded.resumed else ""
        found += [
            f"environment: {which}{name} was {attempt.environment.get(name)}, is {now[name]}"
            for name in now
            if attempt.environment.get(name) != now[name]
        ]
    return found
