"""From finished runs to the rows of a figure's CSV, one row per thing that is drawn."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from counterpoise.errors import UserError
from counterpoise.files import read_json
from counterpoise.planning.plan import Cell, Plan, PlannedFigure
from counterpoise.results.results import read_cell

Row = dict[str, object]


def collect(plan: Plan, root: Path, planned: PlannedFigure) -> list[Row]:
    """Return a figure's rows; runs that diverged or are not there give none.

    Raises:
        UserError: a file of a run is broken, or nothing at all can be drawn.
    """
    rows = list(_COLLECTORS[planned.figure.kind](plan, Path(root), planned))
    if not rows:
        raise UserError(f"figure {planned.id}: no finished run gives anything to draw")
    return rows


def _runs(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[tuple[str, Cell, int, Path]]:
    """Yield (label, cell, seed, folder) of every finished run that did not diverge."""
    for label, cell, _ in planned.cells:
        for seed in plan.seeds_of(cell) if cell is not None else ():
            folder = root / cell.run_directory(seed)
            path = folder / "record.json"
            if path.is_file() and read_json(path, "run record").get("status") == "completed":
                yield label, cell, seed, folder


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise UserError(f"{path}: is not there; make the run, or its measurement, again")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _cosine(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    for label, _, seed, folder in _runs(plan, root, planned):
        name = f"cosine.joint.{planned.output}.{planned.output}"
        for row in _read(folder / "diagnostics.csv"):
            if name not in row:
                raise UserError(f"{folder / 'diagnostics.csv'}: has no column '{name}'")
            if row[name]:
                step = int(float(row["step"]))
                yield {"method": label, "seed": seed, "iteration": step, "cosine": float(row[name])}


def _bars(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    for label, cell, _ in planned.cells:
        results = None if cell is None else read_cell(plan, root, cell)
        for output in ("joint", planned.output) if results is not None else ():
            values = results.values(plan.benchmark.selection, output, "accuracy", 100.0)
            for seed, value in values.finished.items():
                yield {"method": label, "output": output, "seed": seed, "accuracy": value}


def _table(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    table = plan.papers[planned.figure.paper].tables[planned.figure.table]
    groups = {group.id: group for group in table.groups}
    for value in plan.values:
        if (value.paper, value.table) != (planned.figure.paper, planned.figure.table) or value.cell is None:
            continue
        column = table.column(value.column)
        values = read_cell(plan, root, value.cell).values(
            plan.benchmark.selection, column.output, column.measure, column.scale
        )
        heading = " / ".join(groups[column.group].heading)
        for seed, number in values.finished.items():
            yield {"panel": heading, "method": value.row, "seed": seed, column.metric: number}


def _magnitudes(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    for label, _, seed, folder in _runs(plan, root, planned):
        for row in _read(folder / f"{plan.measure_name(planned.figure.measure)}.csv"):
            if row["encoder"] == planned.output:
                numbers = {name: float(row[name]) for name in ("multimodal", "unimodal", "k")}
                yield {"method": label, "seed": seed, "batch": int(row["batch"]), **numbers}


def _landscape(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    for label, _, seed, folder in _runs(plan, root, planned):
        for row in _read(folder / f"{plan.measure_name(planned.figure.measure)}.csv"):
            yield {"method": label, "seed": seed, **{name: float(value) for name, value in row.items()}}


def _agreement(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    """Cross what the two unimodal models get right with what each multimodal one does (MLB, Figure 4)."""
    right: dict[tuple[str, int], np.ndarray] = {}
    for label, _, seed, folder in _runs(plan, root, planned):
        output = label.removesuffix(" alone") if label.endswith(" alone") else "joint"
        right[label, seed] = _correct(folder / "predictions.npz", plan.benchmark.selection, output)
    cases = {
        "Both False": (False, False),
        "Audio True": (True, False),
        "Video True": (False, True),
        "Both True": (True, True),
    }
    for (label, seed), hit in right.items():
        alone = [right.get((f"{name} alone", seed)) for name in ("audio", "visual")]
        if label.endswith(" alone") or any(values is None for values in alone):
            continue
        for case, (audio, video) in cases.items():
            chosen = (alone[0] == audio) & (alone[1] == video)
            for correct in (True, False):
                share = 100 * float((chosen & (hit == correct)).mean())
                yield {"method": label, "seed": seed, "unimodal": case, "correct": correct, "share": share}


def _correct(path: Path, selection: str, output: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as stored:
        (target,) = (name for name in stored.files if name.startswith("labels."))
        name = f"{selection}.logits.{output}"
        if name not in stored.files:
            raise UserError(f"{path}: has no array '{name}': selection '{selection}' needs a validation split")
        return stored[name].argmax(axis=1) == stored[target]


def _reliability(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    bins = plan.benchmark.evaluation.ece_bins
    for label, _, seed, folder in _runs(plan, root, planned):
        with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
            logits = stored[f"{plan.benchmark.selection}.logits.joint"].astype(np.float64)
        right = _correct(folder / "predictions.npz", plan.benchmark.selection, "joint")
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        sure = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)
        place = np.minimum(np.ceil(sure * bins).astype(int) - 1, bins - 1)
        found = [place == number for number in range(bins)]
        gaps = [inside.mean() * abs(right[inside].mean() - sure[inside].mean()) for inside in found if inside.any()]
        for number, inside in enumerate(found):
            if inside.any():
                yield {
                    "method": label,
                    "seed": seed,
                    "bin": number,
                    "confidence": 100 * float(sure[inside].mean()),
                    "accuracy": 100 * float(right[inside].mean()),
                    "count": int(inside.sum()),
                    "ece": 100 * float(sum(gaps)),
                }


def _bound(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    """MMPareto, Section 3.3.3: (3k - 1) / (2k + 2), below which the weight of the multimodal gradient narrows
    noise.
    """
    for k in np.linspace(1, 20, 191):
        yield {"k": round(float(k), 6), "bound": float((3 * k - 1) / (2 * k + 2))}


def _coefficient(plan: Plan, root: Path, planned: PlannedFigure) -> Iterator[Row]:
    """MLB, Equations 6 and 7, for the slopes and bounds that its tuning used."""
    for alpha, beta in ((0.5, 2.0), (0.5, 10.0), (1.0, 2.0), (1.0, 10.0), (2.0, 2.0), (2.0, 10.0)):
        for ratio in np.linspace(0, 4, 161):
            bound = beta if ratio > 1 else 2.0
            k = 1 + (bound - 1) * math.tanh(alpha * (ratio - 1))
            yield {"alpha": alpha, "beta_max": beta, "ratio": round(float(ratio), 6), "coefficient": k}


_COLLECTORS: dict[str, Callable[[Plan, Path, PlannedFigure], Iterator[Row]]] = {
    "cosine": _cosine,
    "bars": _bars,
    "table": _table,
    "magnitudes": _magnitudes,
    "landscape": _landscape,
    "agreement": _agreement,
    "reliability": _reliability,
    "bound": _bound,
    "coefficient": _coefficient,
}
