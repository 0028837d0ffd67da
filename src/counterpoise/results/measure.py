"""From one run's files to its values, to which examples it got right, and to its counts.

The same for one's own runs and for those of a published record.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from counterpoise.errors import UserError
from counterpoise.files import made_again, read_json
from counterpoise.metrics import Classification, History, MeasuredRows, Source, Steps, metrics_of
from counterpoise.results.arrays import parse_arrays
from counterpoise.results.diagnostics import COLUMNS, kind_of, read_history, read_measurement, read_steps
from counterpoise.results.run_files import DIAGNOSTICS, HISTORY, PREDICTIONS, RECORD, read_predictions, read_run_file
from counterpoise.results.series import Columns
from counterpoise.results.table import PROBED, RunEntry
from counterpoise.validation import validate

Arrays = dict[str, NDArray[Any]]
Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run's files give.

    ``values`` has (selection, epoch, output, metric, value); ``correct`` one bool per test example, and ``details``
    arrays by name (see :class:`counterpoise.results.table.Results`), both by (selection, output).
    """

    values: list[tuple[str, int | None, str, str, float]] = field(default_factory=list)
    correct: dict[Place, NDArray[np.bool_]] = field(default_factory=dict)
    details: dict[Place, Arrays] = field(default_factory=dict)


class _Selected(BaseModel):
    epoch: int | None = None


class _Outputs(BaseModel):
    """What of a run's record is needed here. It may come from anywhere."""

    selections: dict[str, _Selected]
    output_targets: dict[str, str]
    output_kinds: dict[str, Literal["classification", "segmentation", "depth"]]
    n_test: int


def measure(
    record: Mapping[str, Any],
    predictions: Arrays,
    *,
    ece_bins: int,
    where: str,
    probe: Arrays | None = None,
    history: Columns | None = None,
    steps: Steps | None = None,
    measurements: Mapping[str, MeasuredRows] | None = None,
) -> Measured:
    """Compute every metric of a completed run.

    Args:
        record: the run's record: its selections, its outputs with their targets and kinds, its number of test examples.
        predictions: ``labels.<target>`` ``(N,)``; ``<selection>.logits.<output>`` ``(N, C)`` or, of a dense output,
            ``<selection>.statistics.<output>``.
        where: the file of the predictions and what to do about it, for errors.
        probe: ``logits.<modality>`` ``(N, C)`` of the linear probe of each encoder, the outputs ``probe:<modality>``.
        history: the columns of the evaluated epochs.
        steps: what the run recorded of its steps; the same for every selection.
        measurements: by name, what was measured on the run's weights; the same for every selection.

    Raises:
        UserError: an array or an entry of the record is missing, has the wrong size, or a value is not finite.
    """
    measured = Measured()
    validate(_Outputs, record, where)
    try:
        for selection, selected in record["selections"].items():
            epoch = selected["epoch"]
            for output, target in record["output_targets"].items():
                kind = record["output_kinds"][output]
                if kind == "classification":
                    logits, labels = predictions[f"{selection}.logits.{output}"], predictions[f"labels.{target}"]
                    _classify(measured, (selection, output), epoch, _checked(logits, labels, ece_bins, where))
                else:
                    sums = predictions[f"{selection}.statistics.{output}"]
                    _check_sums(kind, sums, where)
                    for each in metrics_of(kind):
                        measured.values.append((selection, epoch, output, each.name, each.compute(sums)))
                    if kind == "segmentation":
                        measured.details[selection, output] = {"confusion": sums.astype(np.int64)}
        if probe:
            epoch = record["selections"][PROBED]["epoch"]
            (target,) = set(record["output_targets"].values())
            for name, logits in probe.items():
                place = (PROBED, f"probe:{name.removeprefix('logits.')}")
                _classify(measured, place, epoch, _checked(logits, predictions[f"labels.{target}"], ece_bins, where))
    except KeyError as error:
        raise UserError(f"{where}: the predictions or the record lack {error}") from error
    for selection, selected in record["selections"].items():
        epoch = selected["epoch"]
        sources: dict[Source, Any] = {"steps": steps, **(measurements or {})}  # type: ignore[dict-item]
        if history is not None:
            sources["history"] = History(columns=history, epoch=epoch)
        for source, given in sources.items():
            measured.values.extend((selection, epoch, *place) for place in _by_output(source, given))
    for right in measured.correct.values():
        if len(right) != record["n_test"]:
            raise UserError(f"{where}: predictions of {len(right)} examples, the record says {record['n_test']}")
    for selection, _, output, name, value in measured.values:
        if not math.isfinite(value):
            raise UserError(f"{where}: {name} of output '{output}' ({selection}) is {value}, must be finite")
    return measured


def _by_output(source: Source, given: object | None) -> Iterator[tuple[str, str, float]]:
    """Yield (output, metric, value) of every metric that is made of ``given``; what is not a number was not there."""
    for each in metrics_of(source) if given is not None else ():
        for output, value in each.compute(given).items():
            if not math.isnan(value):
                yield output, each.name, value


def _classify(measured: Measured, place: Place, epoch: int | None, predicted: Classification) -> None:
    """Add what one classified output gives."""
    selection, output = place
    for each in metrics_of("classification"):
        measured.values.append((selection, epoch, output, each.name, each.compute(predicted)))
    measured.correct[place] = predicted.right
    measured.details[place] = {
        "confusion": predicted.confusion,  # (C, C), labels down
        "reliability": predicted.calibration,  # (bins, 3)
    }


# Predictions may come from anywhere (a published record): what NumPy would only stumble over is said in words.


def _checked(logits: NDArray[Any], labels: NDArray[Any], ece_bins: int, where: str) -> Classification:
    fits = logits.ndim == 2 and labels.shape == logits.shape[:1] and logits.size > 0
    if not fits or not np.issubdtype(logits.dtype, np.floating) or not np.issubdtype(labels.dtype, np.integer):
        shapes = f"logits {logits.dtype} {logits.shape}, labels {labels.dtype} {labels.shape}"
        raise UserError(f"{where}: must have float logits (N, C) and whole labels (N,); has {shapes}")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UserError(f"{where}: labels from {labels.min()} to {labels.max()}, must be 0 to {logits.shape[1] - 1}")
    return Classification(logits=logits, labels=labels.astype(np.int64), ece_bins=ece_bins)


def _check_sums(kind: str, sums: NDArray[Any], where: str) -> None:
    shape = {"segmentation": sums.shape[:1] * 2, "depth": (3,)}.get(kind)
    if shape is None or sums.ndim == 0 or sums.shape != shape:
        raise UserError(
            f"{where}: statistics of kind '{kind}' and shape {sums.shape}; must be segmentation (C, C) or depth (3,)"
        )


def measure_files(
    folder: Path, run: RunEntry, *, ece_bins: int, stationarity: float, mend: str, left_out: Collection[str] = ()
) -> Measured:
    """Compute every metric of a completed run from the files in its folder.

    Args:
        mend: what to do about a file that is broken.
        left_out: names of files that a published record lacks for their size; what is computed from them is missing.

    Raises:
        UserError: a file is missing, broken, or not the one that the run's record names.
    """
    folder = Path(folder)
    path = folder / PREDICTIONS
    if PREDICTIONS not in run.files:
        raise UserError(f"{folder / RECORD}: 'files' does not name {PREDICTIONS}; {mend}")
    try:
        predictions = read_predictions(folder, run.files[PREDICTIONS])
        if predictions is None:
            raise UserError(f"{path}: is not there, though its digest is on record")
        probe = _read_probe(folder, run) if run.probe else None
        history = read_history(folder, run.files)
        steps = read_steps(folder, run.files, stationarity)
        for name, there in ((HISTORY, history), (DIAGNOSTICS, steps)):
            if there is None and name in run.files and name not in left_out:
                raise UserError(f"{folder / name}: is not there, though its digest is on record")
        measurements = {
            kind_of(name): rows
            for name in run.measurements
            if kind_of(name) in COLUMNS and (rows := read_measurement(folder, name)) is not None
        }
    except UserError as error:
        raise UserError(f"{error}; {mend}") from error
    where = f"{path}: {mend}"
    return measure(
        run.record,
        predictions,
        ece_bins=ece_bins,
        where=where,
        probe=probe,
        history=history,
        steps=steps,
        measurements=measurements,
    )


def _read_probe(folder: Path, run: RunEntry) -> Arrays | None:
    """Return the logits of the linear probe of a run's encoders, None where it has not been probed."""
    path = folder / f"{run.probe}.json"
    if not path.exists():
        return None
    note = read_json(path, "probe of a run")
    key = run.cell.rpartition(".")[2]
    if not isinstance(note, dict) or (note.get("key"), note.get("seed")) != (key, run.seed):
        raise UserError(f"{path}: not the probe of this run; {made_again(path)}")
    arrays = path.with_suffix(".npz")
    files = note.get("files")
    digest = files.get(arrays.name) if isinstance(files, dict) else None
    if not isinstance(digest, str):
        raise UserError(f"{path}: 'files' does not name {arrays.name}; {made_again(path)}")
    data = read_run_file(folder, arrays.name, digest)
    if data is None:
        again = made_again(path, f"delete {path.name} to probe again")
        raise UserError(f"{arrays}: is not there, though its digest is on record; {again}")
    return parse_arrays(data, arrays)
