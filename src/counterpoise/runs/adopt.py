"""Give old runs a new key, because the user says that the change which renamed them cannot change a
number.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError, suggest
from counterpoise.files import read_json, write_bytes, write_json
from counterpoise.planning.plan import Cell, Plan
from counterpoise.runs.record import RECORD, absent_files, read_record
from counterpoise.runs.status import RUNS, cell_folders

_NAME = re.compile(r"[^/.][^/]*/[^/.][^/]*/[^/.][^/]*\.(?P<key>[0-9a-f]+)")


@dataclass(frozen=True)
class Adopted:
    """The new folders of adopted runs, and what differs between the old identity and the new one."""

    folders: list[Path]
    changes: list[str]


def adopt(plan: Plan, root: Path, old: str, new: str, reason: str) -> Adopted:
    """Rename the runs of a cell that is no longer planned to a cell that is.

    The records get the new key and identity; under ``adopted`` they keep the old name and identity with the
    reason. Metrics are not taken along: they are computed again from the predictions. A run is first whole in
    its new place and then removed from the old one.

    Raises:
        UserError: there is nothing to adopt, no reason, another method or dataset, or the new runs are there.
    """
    if not reason.strip():
        raise UserError("--reason: must say why the old runs are right under the new key")
    cell = plan.cell(new)
    old = old.removeprefix(f"{RUNS}/").rstrip("/")
    match = _NAME.fullmatch(old)
    if match is None:
        raise UserError(f"{old}: must be the name of a cell, dataset/model/method-variant.key")
    if old in (planned.name for planned in plan.cells):
        raise UserError(f"{old}: is a cell of {plan.path} as it is now; only runs that are no longer can be adopted")
    source = Path(root) / RUNS / old
    folders = sorted(source.glob("seed-*"))
    if not folders:
        home = Path(root) / RUNS
        there = [path.relative_to(home).as_posix() for path in cell_folders(home)]
        raise UserError(f"{source}: there are no runs{suggest(old, there)}")
    records = {folder: _old_record(folder, match["key"], cell) for folder in folders}
    for folder in folders:
        _check_free(Path(root) / cell.directory / folder.name, old)
    moved = [
        _move(folder, Path(root) / cell.directory / folder.name, _renamed(record, old, cell, reason))
        for folder, record in records.items()
    ]
    return Adopted(moved, changes(records[folders[0]]["identity"], _identity(cell)))


def changes(old: Any, new: Any, place: str = "") -> list[str]:
    """Return ``"protocol.optimiser.lr: 0.02 -> 0.05"`` for each value in which two configurations differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [line for key in keys for line in changes(old.get(key), new.get(key), f"{place}.{key}")]
    return [] if old == new else [f"{place.lstrip('.')}: {old!r} -> {new!r}"]


def _old_record(folder: Path, key: str, cell: Cell) -> dict[str, Any]:
    seed = folder.name.removeprefix("seed-")
    if not seed.isdecimal():
        raise UserError(f"{folder}: not the folder of a run")
    record = read_record(folder, key, int(seed))
    try:
        config = record["identity"]["config"]
        for part, name in (("method", "name"), ("method", "variant"), ("dataset", "component")):
            was, wanted = config[part][name], cell.config[part][name]
            if was != wanted:
                raise UserError(
                    f"{folder / RECORD}: {part} {name} is '{was}', in {cell.name} it is '{wanted}'; "
                    "only runs of the same can be adopted"
                )
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / RECORD}: has no whole identity ({error!r})") from error
    absent = absent_files(folder, record)
    if absent:
        raise UserError(f"{folder}: {', '.join(absent)} not there; only whole runs can be adopted")
    return record


def _check_free(destination: Path, old: str) -> None:
    path = destination / RECORD
    if not path.exists():
        return
    adopted = read_json(path, "run record").get("adopted", [])
    if not any(entry.get("from") == old for entry in adopted):  # else: an adoption that was cut short
        raise UserError(f"{destination}: this run is there already; nothing was adopted")


def _renamed(record: dict[str, Any], old: str, cell: Cell, reason: str) -> dict[str, Any]:
    entry = {"from": old, "reason": reason.strip(), "identity": record["identity"]}
    return record | {
        "key": cell.key,
        "identity": _identity(cell),
        "dataset": cell.dataset,
        "model": cell.model,
        "protocol": cell.protocol,
        "adopted": [*record.get("adopted", []), entry],
    }


def _identity(cell: Cell) -> dict[str, Any]:
    return {"config": cell.config, "source": cell.source, "data": cell.data_key}


def _move(source: Path, destination: Path, record: dict[str, Any]) -> Path:
    for name in record["files"]:
        write_bytes(destination / name, (source / name).read_bytes())
    write_json(destination / RECORD, record)
    shutil.rmtree(source)
    if not any(source.parent.iterdir()):
        source.parent.rmdir()
    return destination
