"""The files of a finished run: history, predictions, diagnostics, weights, and the record that names them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterpoise import files
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.diagnostics import is_time
from counterpoise.engine.loop import Trainer
from counterpoise.engine.state import Progress
from counterpoise.models.network import digest_state
from counterpoise.models.tasks import DENSE
from counterpoise.results.record import Attempt, Identity, RunRecord, Selected, write_record
from counterpoise.results.rows import as_csv
from counterpoise.results.run_files import DIAGNOSTICS, HISTORY, PREDICTIONS, TIMINGS
from counterpoise.runs.run import Run
from counterpoise.runs.weights import WEIGHTS, weights_bytes


def write_outputs(run: Run, trainer: Trainer, data: PreparedData, attempts: Sequence[Attempt], folder: Path) -> None:
    """Write everything that a finished run leaves into ``folder``, all of it or nothing."""
    progress = trainer.progress
    with files.atomic_directory(folder) as made:
        (made / HISTORY).write_text(_table(progress.history, ["epoch", "step", "lr"]))
        np.savez(made / PREDICTIONS, **_labels(trainer, data), **_predictions(trainer, progress))
        if run.keep_weights:
            (made / WEIGHTS).write_bytes(weights_bytes(trainer.network))
        if trainer.recorder is not None:
            rows = [{name: value for name, value in row.items() if not is_time(name)} for row in progress.steps]
            times = [{n: value for n, value in row.items() if n == "step" or is_time(n)} for row in progress.steps]
            (made / DIAGNOSTICS).write_text(_table(rows, ["step"]))
            (made / TIMINGS).write_text(_table(times, ["step"]))
        digests = {path.name: files.sha256_file(path) for path in sorted(made.iterdir()) if path.name != TIMINGS}
        write_record(made, _record(run, trainer, data, attempts, digests))


def _record(
    run: Run, trainer: Trainer, data: PreparedData, attempts: Sequence[Attempt], digests: dict[str, str]
) -> RunRecord:
    cell, network, progress = run.cell, trainer.network, trainer.progress
    chosen = {} if progress.diverged else progress.selections.plain()
    return RunRecord(
        key=cell.key,
        seed=run.seed,
        identity=Identity(config=cell.config, source=cell.source, data=cell.data.key),
        dataset=cell.dataset,
        model=cell.model,
        method=cell.method,
        variant=cell.variant,
        protocol=cell.protocol,
        prepared_data=run.data.directory.name,
        raw_data=data.raw_digest,
        status="diverged" if progress.diverged else "completed",
        reason=progress.diverged or None,
        epochs_run=progress.epoch,
        steps_run=progress.step,
        seconds=round(progress.seconds, 3),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        selections={rule: Selected(**values) for rule, values in chosen.items()},
        output_targets={name: network.targets[name] for name in trainer.objectives},
        output_kinds={name: network.kind(name) for name in trainer.objectives},
        n_test=data.size("test"),
        parameters=sum(p.numel() for p in network.parameters()),
        weights_sha256=digest_state(network.state_dict()),
        attempts=tuple(attempts),
        files=digests,
    )


def _labels(trainer: Trainer, data: PreparedData) -> dict[str, np.ndarray]:
    """Return the test split's labels ``(N,)`` of each target that is predicted; a dense one keeps none."""
    network = trainer.network
    targets = {network.targets[name] for name in trainer.objectives if network.kind(name) not in DENSE}
    return {f"labels.{target}": np.asarray(data.array("test", target)) for target in sorted(targets)}


def _predictions(trainer: Trainer, progress: Progress) -> dict[str, np.ndarray]:
    """Return ``<selection>.logits.<output>`` ``(N, C)``, or ``<selection>.statistics.<output>`` of a dense output."""
    if progress.diverged:
        return {}
    found = {}
    for name, values in progress.selections.tensors().items():
        rule, _, output = name.partition(".logits.")
        dense = trainer.network.kind(output) in DENSE
        found[f"{rule}.statistics.{output}" if dense else name] = values.numpy()
    return found


def _table(rows: list[dict[str, float]], without_rows: list[str]) -> str:
    """Return rows as CSV; columns in the order in which they first occur, an absent value empty."""
    return as_csv(list(dict.fromkeys(name for row in rows for name in row)) or without_rows, rows)
