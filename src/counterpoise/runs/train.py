"""Train a cell's runs and publish their records. This module's import closure is part of a run's key."""

from __future__ import annotations

import csv
import datetime
import functools
import io
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoise import files
from counterpoise.components import component
from counterpoise.data.batches import open_batches
from counterpoise.data.prepared import PreparedData
from counterpoise.data.transforms import InputTransform
from counterpoise.engine.device import describe, exactness
from counterpoise.engine.diagnostics import is_time
from counterpoise.engine.loop import Control, Data, Interrupted, Progress, Trainer
from counterpoise.engine.streams import stream_seed
from counterpoise.errors import UserError
from counterpoise.methods.interface import Method
from counterpoise.models.build import build_network
from counterpoise.models.network import digest_state
from counterpoise.models.pretrained import PretrainedWeights
from counterpoise.models.tasks import DENSE
from counterpoise.protocol import Protocol
from counterpoise.runs.attempt import Stopped, WorkFolder, is_whole, publish
from counterpoise.runs.checkpoint import Checkpoints
from counterpoise.runs.stages import WEIGHTS, ParentCell, Weights, write_weights

SCHEMA = 1
DIAGNOSTICS = "diagnostics.csv"
TIMINGS = "timings.csv"
"""The steps' times: published with a run but not listed in its record, since no two runs take equally long.
"""


@dataclass(frozen=True)
class CellToTrain:
    """What a training job needs of a cell: resolved configuration, identity, and where its files go.

    ``parents`` are the unimodal cells, by modality, that its runs start from. ``keep_weights``: something is
    made of its runs' weights, so they are published too. ``folds``: the data's other folds.
    """

    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    config: dict[str, Any]
    source: str
    data_key: str
    key: str
    data_directory: Path
    directory: Path
    work_directory: Path
    weights_directory: Path | None = None
    parents: dict[str, ParentCell] = field(default_factory=dict)
    keep_weights: bool = False
    folds: tuple[Path, ...] = ()

    def data_of(self, seed: int) -> Path:
        """The prepared data that the run of one seed trains on: one of the folds in turn, if there are."""
        return (self.data_directory, *self.folds)[seed % (1 + len(self.folds))]


def train_cell(
    cell: CellToTrain,
    seeds: list[int],
    device: torch.device,
    control_for: Callable[[int], Control] = lambda seed: Control(),
    failed: Callable[[int, Exception], None] | None = None,
) -> list[Path]:
    """Train a cell with each seed and publish the records; return the run folders.

    A run that is already published is kept; one that was interrupted goes on where it was. ``failed`` is told
    of a run that ends in an exception, and the next seed is trained; without it the exception is raised.

    Raises:
        UserError: the prepared data is not there or not the cell's, or a file cannot be written.
        counterpoise.engine.loop.Interrupted: a run was asked to stop; its state is saved.
    """
    for seed in seeds:
        try:
            _settle(cell, seed, device, control_for(seed))
        except Interrupted:
            raise
        except Exception as error:  # whatever it is, it is this run's end and not the other seeds'
            if failed is None:
                raise
            failed(seed, error)
    return [run_directory(cell, seed) for seed in seeds]


def _settle(cell: CellToTrain, seed: int, device: torch.device, control: Control) -> None:
    """Train a run unless that is done, and publish it."""
    work = WorkFolder(cell.work_directory / f"seed-{seed}")
    try:
        with work.held(control.stop):
            if is_published(cell, seed):
                return
            if not work.is_finished(cell.key, seed) or not _is_complete(cell, work.finished):
                _train_run(cell, seed, device, control, work)
            publish(work.finished, run_directory(cell, seed))
    except Stopped:
        raise Interrupted from None


def run_directory(cell: CellToTrain, seed: int) -> Path:
    """Return where a run's record, history and predictions go."""
    return cell.directory / f"seed-{seed}"


def is_published(cell: CellToTrain, seed: int) -> bool:
    """Return whether this very run is in place: its record, and every file with the digest that it names."""
    path = run_directory(cell, seed) / "record.json"
    if not path.is_file():
        return False
    record = files.read_json(path, "run record")
    if record.get("key") != cell.key or record.get("seed") != seed:
        raise UserError(f"{path}: the record of another run (key {record.get('key')}); delete the folder to run again")
    return is_whole(path.parent, cell.key, seed) and _is_complete(cell, path.parent)


def _is_complete(cell: CellToTrain, folder: Path) -> bool:
    """Return whether a record's folder has all its files, and weights where they are wanted."""
    names = files.read_json(folder / "record.json", "run record")["files"]
    return all((folder / name).is_file() for name in names) and (WEIGHTS in names or not cell.keep_weights)


def _train_run(cell: CellToTrain, seed: int, device: torch.device, control: Control, work: WorkFolder) -> None:
    data = PreparedData.open(cell.data_of(seed))
    protocol = Protocol.model_validate(cell.config["protocol"])
    started = datetime.datetime.now(datetime.UTC)
    with exactness(protocol, device):
        weights = PretrainedWeights.default(cell.weights_directory)
        trainer = make_trainer(cell.config, protocol, data, seed, device, weights)
        checkpoints = Checkpoints(work.states, cell.key, seed)
        saved, passed_over = checkpoints.load()
        for line in passed_over:
            print(f"passed over: {line}", file=sys.stderr)
        if saved is not None:
            trainer.restore(saved)
            print(f"seed {seed}: resumed at epoch {trainer.epoch}, step {trainer.progress.step}", file=sys.stderr)
        else:
            trainer.method.initialise(trainer.network, lambda modality: _unimodal_run(cell, modality, seed))
        progress = trainer.run(checkpoints, control)
    _write_finished(cell, seed, trainer, progress, data, started, saved is not None, work.finished)
    checkpoints.remove()


def _unimodal_run(cell: CellToTrain, modality: str, seed: int) -> Weights:
    if modality not in cell.parents:
        raise UserError(f"method '{cell.method}': the plan gives it no run of '{modality}' alone to start from")
    return cell.parents[modality].weights(seed)


def make_trainer(
    config: dict[str, Any],
    protocol: Protocol,
    data: PreparedData,
    seed: int,
    device: torch.device,
    weights: PretrainedWeights | None = None,
) -> Trainer:
    """Build network, method and data of a run from a cell's resolved configuration."""
    shapes, classes = shapes_and_classes(config, data)
    kinds = {name: target["kind"] for name, target in data.targets.items()}
    network = build_network(config["model"], shapes, classes, stream_seed(seed, "initialisation"), weights, kinds)
    method: Method = component("method", config["method"]["name"]).load()(**config["method"]["settings"])
    splits = open_splits(config["model"], protocol, data, device)
    if "validation_split" in method.info.needs and splits.val is None:
        raise UserError(
            f"method '{method.info.name}' needs validation data: dataset '{data.dataset}' has none; "
            "set 'validation_fraction' in the protocol"
        )
    if protocol.drop_last and len(splits.train_order) < protocol.batch_size:
        raise UserError(
            f"dataset '{data.dataset}': {len(splits.train_order)} training samples give no whole batch of "
            f"'batch_size' {protocol.batch_size}, and 'drop_last' leaves out the others; "
            "lower 'batch_size' or set 'drop_last: false' in the protocol"
        )
    return Trainer(network, method, protocol, splits, seed, device)


def shapes_and_classes(config: dict[str, Any], data: PreparedData) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return each modality's stored shape of a cell's model, and the classes of each target (depth: 1)."""
    shapes = {name: tuple(data.modalities[name]["shape"]) for name in config["model"]["encoders"]}
    return shapes, {name: target.get("classes", 1) for name, target in data.targets.items()}


def open_splits(model: dict[str, Any], protocol: Protocol, data: PreparedData, device: torch.device) -> Data:
    """Return the splits of prepared data as a run sees them: presented, and with validation data held out."""
    transforms = {name: _transform(settings) for name, settings in model["inputs"].items()}
    plain = {name: transform.for_evaluation() for name, transform in transforms.items()}
    train = open_batches(data, "train", device, transforms)
    train_plain = train if transforms == plain else open_batches(data, "train", device, plain)
    order = torch.arange(len(train))
    test = open_batches(data, "test", device, plain)
    if "val" in data.splits:
        val = open_batches(data, "val", device, plain)
        return Data(train, order, train_plain, test, val, torch.arange(len(val)))
    if protocol.validation_fraction > 0:
        # Every n-th sample is held out, the same for every seed: changing the seed never changes the split.
        held_out = max(1, round(protocol.validation_fraction * len(order)))
        chosen = torch.zeros(len(order), dtype=torch.bool)
        chosen[torch.linspace(0, len(order) - 1, held_out).round().long()] = True
        return Data(train, order[~chosen], train_plain, test, train_plain, order[chosen])
    return Data(train, order, train_plain, test)


def _transform(settings: dict[str, Any]) -> InputTransform:
    return InputTransform(**{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})


def _write_finished(
    cell: CellToTrain,
    seed: int,
    trainer: Trainer,
    progress: Progress,
    data: PreparedData,
    started: datetime.datetime,
    resumed: bool,
    finished: Path,
) -> None:
    with files.atomic_directory(finished) as folder:
        (folder / "history.csv").write_text(_table(progress.history, ["epoch", "step", "lr"]))
        outputs = {name: trainer.network.targets[name] for name in trainer.objectives}
        np.savez(folder / "predictions.npz", **_labels(trainer, data), **_predictions(trainer, progress))
        if cell.keep_weights:
            write_weights(folder, trainer.network)
        if trainer.recorder is not None:
            steps, times = _apart(progress.steps)
            (folder / DIAGNOSTICS).write_text(_table(steps, ["step"]))
            (folder / TIMINGS).write_text(_table(times, ["step"]))
        record = _record(cell, seed, trainer, progress, outputs, started, resumed)
        record["n_test"] = data.size("test")
        record["files"] = {
            path.name: files.sha256_file(path) for path in sorted(folder.iterdir()) if path.name != TIMINGS
        }
        files.write_json(folder / "record.json", record)


def _labels(trainer: Trainer, data: PreparedData) -> dict[str, np.ndarray]:
    """Return the test split's labels of each target that is predicted; a dense one keeps none."""
    network = trainer.network
    targets = {network.targets[name] for name in trainer.objectives if network.kind(name) not in DENSE}
    return {f"labels.{target}": np.asarray(data.array("test", target)) for target in sorted(targets)}


def _predictions(trainer: Trainer, progress: Progress) -> dict[str, np.ndarray]:
    """Return ``<selection>.logits.<output>``, or ``<selection>.statistics.<output>`` of a dense output."""
    if progress.diverged:
        return {}
    found = {}
    for name, values in progress.selections.tensors().items():
        rule, _, output = name.partition(".logits.")
        dense = trainer.network.kind(output) in DENSE
        found[f"{rule}.statistics.{output}" if dense else name] = values.numpy()
    return found


def _apart(steps: list[dict[str, float]]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return the rows of the steps without and with their times alone."""
    timed = [{k: v for k, v in row.items() if k == "step" or is_time(k)} for row in steps]
    return [{k: v for k, v in row.items() if not is_time(k)} for row in steps], timed


def _record(
    cell: CellToTrain,
    seed: int,
    trainer: Trainer,
    progress: Progress,
    outputs: dict[str, str],
    started: datetime.datetime,
    resumed: bool,
) -> dict[str, Any]:
    ended = datetime.datetime.now(datetime.UTC)
    return {
        "schema": SCHEMA,
        "key": cell.key,
        "identity": {"config": cell.config, "source": cell.source, "data": cell.data_key},
        "dataset": cell.dataset,
        "model": cell.model,
        "method": cell.method,
        "variant": cell.variant,
        "protocol": cell.protocol,
        "prepared_data": cell.data_of(seed).name,
        "seed": seed,
        "status": "diverged" if progress.diverged else "completed",
        "reason": progress.diverged or None,
        "epochs_run": progress.epoch,
        "steps_run": progress.step,
        "selections": {} if progress.diverged else progress.selections.plain(),
        "output_targets": outputs,
        "output_kinds": {name: trainer.network.kind(name) for name in outputs},
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "weights_sha256": digest_state(trainer.network.state_dict()),
        "environment": describe(trainer.device, trainer.protocol),
        "git": git_state(),
        "command": shlex.join(["counterpoise", *sys.argv[1:]]),
        "started": started.isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "seconds": round(progress.seconds, 3),
        "resumed": resumed,
    }


def _table(rows: list[dict[str, float]], without_rows: list[str]) -> str:
    """Return rows as CSV; columns in the order in which they first occur, an absent value empty."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row)) or without_rows
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def git_state() -> dict[str, Any]:
    """Return the working folder's commit and whether tracked files differ from it (None without git), as
    they were when this process first asked: that is the source that it runs.
    """
    return dict(_git_state(Path.cwd()))


@functools.cache
def _git_state(_folder: Path) -> dict[str, Any]:
    try:
        commit = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
