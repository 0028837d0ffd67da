"""What the runs still to do will take, from those that are recorded."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.files import read_json
from counterpoise.results.record import RECORD, RunRecord
from counterpoise.runs.run import RUNS
from counterpoise.runs.status import RunStatus, cell_folders

MOST_RECORDS = 2000  # beyond these, more records make the estimate no better


@dataclass(frozen=True)
class Recorded:
    """What a finished run took: of which cell it was, seconds per epoch, bytes, and on which device."""

    dataset: str
    model: str
    method: str
    seconds_per_epoch: float
    size: int
    device: str


@dataclass(frozen=True)
class Estimate:
    """Seconds (one run after the other) and bytes of the runs to do; ``unknown`` of them have no like on record."""

    seconds: float
    size: float
    runs: int
    unknown: int
    records: int
    devices: tuple[str, ...]


def estimate(to_do: Sequence[RunStatus], records: Sequence[Recorded]) -> Estimate:
    """Return what ``to_do`` will take, each run by the median of its nearest like.

    The nearest are runs of the same dataset, model and method, of other seeds or older keys; where there are none,
    those of the same dataset and model.
    """
    by_method = _median_by(records, lambda r: (r.dataset, r.model, r.method))
    by_model = _median_by(records, lambda r: (r.dataset, r.model))
    seconds = size = 0.0
    unknown = 0
    for run in to_do:
        names = (run.cell.dataset, run.cell.model)
        found = by_method.get((*names, run.cell.method)) or by_model.get(names)
        if found is None:
            unknown += 1
        else:
            seconds += found[0] * run.cell.config["protocol"]["epochs"]
            size += found[1]
    devices = tuple(sorted({record.device for record in records}))
    return Estimate(seconds, size, len(to_do), unknown, len(records), devices)


def read_recorded(root: Path) -> list[Recorded]:
    """Return what finished runs took, whatever their key; unreadable records and resumed runs are left out."""
    found: list[Recorded] = []
    for folder in cell_folders(Path(root) / RUNS):
        for path in sorted(folder.glob(f"seed-*/{RECORD}")):
            recorded = _recorded(path)
            if recorded is not None:
                found.append(recorded)
            if len(found) == MOST_RECORDS:
                return found
    return found


def _recorded(path: Path) -> Recorded | None:
    try:
        record = RunRecord.model_validate(read_json(path, "run record"))
        if record.status != "completed" or record.resumed:
            return None
        size = sum((path.parent / name).stat().st_size for name in (RECORD, *record.files))
    except (UserError, OSError, ValueError):
        return None  # an estimate does without it; `counterpoise status` names broken runs
    if record.epochs_run == 0:
        return None
    per_epoch = record.seconds / record.epochs_run
    device = record.environment["device_name"]
    return Recorded(record.dataset, record.model, record.method, per_epoch, size, device)


def _median_by(
    records: Iterable[Recorded], key: Callable[[Recorded], tuple[str, ...]]
) -> dict[tuple[str, ...], tuple[float, float]]:
    groups: dict[tuple[str, ...], list[Recorded]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return {
        name: (
            statistics.median(record.seconds_per_epoch for record in group),
            statistics.median(record.size for record in group),
        )
        for name, group in groups.items()
    }
