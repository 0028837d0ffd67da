"""Which cells and data the benchmarks name that were ever run here: what `counterpoise gc` keeps.

A benchmark may be run with other settings (``--config``), from a file outside of ``configs/benchmarks``, or from one
that is edited later. Each is remembered by its settings, in ``work/benchmarks/``; run again with another source, it
names the new keys and the old ones are free to go.
"""

from __future__ import annotations

from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.files import read_json, write_json
from counterpoise.identity import short_key
from counterpoise.planning.plan import Plan

FOLDER = Path("work/benchmarks")


def remember(plan: Plan, root: Path) -> None:
    """Note the names of a benchmark's cells and prepared data, unless exactly these are noted."""
    path = Path(root) / FOLDER / f"{plan.benchmark.name}.{short_key(plan.benchmark.model_dump(mode='json'))}.json"
    named = {
        "cells": sorted(cell.name for cell in plan.cells),
        "data": sorted(data.directory.name for data in plan.datasets),
    }
    try:
        if read_json(path, "note of a benchmark") == named:
            return
    except UserError:
        pass  # not noted yet, or torn
    write_json(path, named)


def remembered(root: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of all cells and of all prepared data that benchmarks named which ran here.

    Raises:
        UserError: a note cannot be read; what it would name is then unknown.
    """
    cells: set[str] = set()
    data: set[str] = set()
    for path in sorted((Path(root) / FOLDER).glob("*.json")):
        _add(path, path.stem.rpartition(".")[0], cells, data)
    for path in sorted((Path(root) / "results").glob("*/layout.json")):
        _add(path, path.parent.name, cells, data)
    return frozenset(cells), frozenset(data)


def _add(path: Path, benchmark: str, cells: set[str], data: set[str]) -> None:
    try:
        named = read_json(path, "list of what a benchmark has run")
        cells.update(named["cells"])
        data.update(named["data"])
    except (UserError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is damaged, so it is not known which runs of '{benchmark}' are wanted: "
            f"'counterpoise run -b {benchmark}' writes it anew; delete it only if none of them is"
        ) from error
