"""Find a plan's runs by what they were configured to do, whatever version of the source made them.

A long experiment outlives the source that it was started from: every run then has another key than the plan
gives it today. What it was configured to do is in its record, and so are source, commit and versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.planning.plan import Cell, Plan
from counterpoise.publication.record import PublishedPlan
from counterpoise.runs.record import RECORD, read_record
from counterpoise.runs.status import RUNS


@dataclass(frozen=True)
class _Found:
    """The runs of a cell under one key: the seeds of the plan that are there, and a record of them."""

    key: str
    seeds: tuple[int, ...]
    identity: dict[str, Any]


def as_recorded(plan: Plan, root: Path) -> PublishedPlan:
    """Return the plan with each cell under the key that its runs have, and with their metrics' names.

    A cell that has runs under its key of today keeps it. Of several other keys with the same configuration
    the one with most seeds is taken.

    Raises:
        UserError: two keys of one configuration have equally many seeds, or metrics have several names.
    """
    root = Path(root)
    cells: dict[str, Cell] = {}
    for cell in plan.cells:
        for needed in (*(parent for _, parent in cell.parents), cell):
            if needed.name not in cells:
                cells[needed.name] = _recorded(plan, root, needed, cells)
    values = [value if value.cell is None else replace(value, cell=cells[value.cell.name]) for value in plan.values]
    figures = [
        replace(planned, cells=tuple((label, cell and cells[cell.name], why) for label, cell, why in planned.cells))
        for planned in plan.figures
    ]
    own = [cells[cell.name] for cell in plan.cells]
    allotted = {cells[name].name: seeds for name, seeds in plan.allotted.items()}
    return PublishedPlan(
        plan.benchmark,
        plan.path,
        plan.overrides,
        own,
        values,
        plan.papers,
        figures,
        allotted=allotted,
        metrics_name=_name(plan, root, own, plan.metrics_name, "metrics.*.json"),
        probe_name=_name(plan, root, own, f"{plan.probe_name}.json", "probe.*.json").removesuffix(".json"),
    )


def _recorded(plan: Plan, root: Path, cell: Cell, known: dict[str, Cell]) -> Cell:
    parents = tuple((modality, known[parent.name]) for modality, parent in cell.parents)
    if any((root / cell.run_directory(seed) / RECORD).is_file() for seed in plan.seeds):
        return replace(cell, parents=parents)
    found = sorted(_candidates(plan, root, cell), key=lambda each: -len(each.seeds))
    if not found:
        return replace(cell, parents=parents)
    if len(found) > 1 and len(found[0].seeds) == len(found[1].seeds):
        keys = ", ".join(each.key for each in found)
        raise UserError(
            f"{root / RUNS / cell.name}: no runs under this key, and several of the same configuration: "
            f"{keys}; delete those that are not meant"
        )
    best = found[0].identity
    data = replace(cell.data, key=best["data"])
    return replace(cell, config=best["config"], source=best["source"], data=data, key=found[0].key, parents=parents)


def _candidates(plan: Plan, root: Path, cell: Cell) -> Iterator[_Found]:
    """Yield the other keys under which there are runs that were configured as the cell is."""
    home = root / RUNS / cell.dataset / cell.model
    for folder in sorted(home.glob(f"{cell.method}-{cell.variant}.*")):
        key = folder.name.rpartition(".")[2]
        there = tuple(seed for seed in plan.seeds if (folder / f"seed-{seed}" / RECORD).is_file())
        if not there:
            continue
        identity = read_record(folder / f"seed-{there[0]}", key, there[0]).get("identity") or {}
        if identity.keys() >= {"config", "source", "data"} and _same(identity["config"], cell.config):
            yield _Found(key, there, identity)


def _same(recorded: dict[str, Any], planned: dict[str, Any]) -> bool:
    """Whether two configurations ask for the same; the keys of the runs that they start from may differ."""
    one, other = ({**config, "parents": sorted(config.get("parents", {}))} for config in (recorded, planned))
    return one == other


def _name(plan: Plan, root: Path, cells: list[Cell], today: str, pattern: str) -> str:
    """Return the name that the runs' files of one kind have: today's where any has that."""
    folders = [root / cell.run_directory(seed) for cell in cells for seed in plan.seeds]
    if any((folder / today).is_file() for folder in folders):
        return today
    names = sorted({path.name for folder in folders for path in folder.glob(pattern)})
    if len(names) > 1:
        raise UserError(
            f"{root / RUNS}: the runs' metrics or probes are of several versions ({', '.join(names)}); "
            "evaluate all of them with one"
        )
    return names[0] if names else today
