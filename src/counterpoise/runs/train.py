"""Train a run and publish its record; what is done already is kept, and an interrupted run goes on where it was."""

from __future__ import annotations

import copy
import dataclasses
import sys

import torch

from counterpoise.components import load_class
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.control import Control, Interrupted
from counterpoise.engine.diagnostics import Recorder
from counterpoise.engine.exactness import exactness
from counterpoise.engine.loop import Trainer
from counterpoise.engine.training import make_trainer
from counterpoise.errors import UserError
from counterpoise.identity import check_loaded
from counterpoise.locks import Stopped
from counterpoise.models.pretrained import PretrainedWeights
from counterpoise.planning.checks import refusal_of_data
from counterpoise.planning.manifest import read_manifest
from counterpoise.protocol import Protocol
from counterpoise.results.record import RECORD, RunRecord, data_problem, read_record
from counterpoise.runs.attempt import WorkFolder, is_whole, publish
from counterpoise.runs.checkpoint import Checkpoints
from counterpoise.runs.kept_data import keep
from counterpoise.runs.machine import attempt_here
from counterpoise.runs.outputs import write_outputs
from counterpoise.runs.run import Run
from counterpoise.runs.weights import WEIGHTS, read_weights


def train_run(run: Run, device: torch.device, control: Control | None = None) -> None:
    """Train a run unless that is done, and publish it in ``run.folder``.

    Raises:
        UserError: the prepared data is not there or not the cell's, the source was edited since the run was planned,
            or a file cannot be written.
        counterpoise.engine.control.Interrupted: the run was asked to stop; its state is saved.
    """
    control = control or Control()
    work = WorkFolder(run.work_folder)
    try:
        with work.held(control.stop):
            if is_published(run):
                return
            finished = work.finished_record(run.cell.key, run.seed)
            if finished is None or not _is_complete(run, finished):
                _train(run, device, control, work)
            publish(work.finished, run.folder)
    except Stopped:
        raise Interrupted from None


def is_published(run: Run) -> bool:
    """Return whether this very run is in place: its record, and every file with the digest that it names."""
    if not (run.folder / RECORD).is_file():
        return False
    record = read_record(run.folder, run.cell.key, run.seed)
    return is_whole(run.folder, record) and _is_complete(run, record)


def _is_complete(run: Run, record: RunRecord) -> bool:
    """Return whether a record names weights, where they are wanted, and is of the prepared data that is there now."""
    path = run.data_folder / "manifest.json"
    manifest = read_manifest(path.parent) if path.is_file() else {}
    return (WEIGHTS in record.files or not run.keep_weights) and not data_problem(record, manifest)


def _train(run: Run, device: torch.device, control: Control, work: WorkFolder) -> None:
    data = PreparedData.open(run.data_folder)
    protocol = Protocol.model_validate(run.cell.config["protocol"])
    checkpoints = Checkpoints(work.states, run.cell.key, run.seed, data.raw_digest)
    with exactness(protocol, device):
        trainer = trainer_of(run, data, protocol, device)
        saved, passed_over = checkpoints.load()
        for line in passed_over:
            print(f"passed over: {line}", file=sys.stderr)
        if saved is not None:
            trainer.restore(saved)
            print(f"seed {run.seed}: resumed at epoch {trainer.epoch}, step {trainer.progress.step}", file=sys.stderr)
        else:
            trainer.method.initialise(trainer.network, lambda modality: read_weights(run.parent(modality)))
        step = trainer.progress.step
        attempts = [*work.attempts_before(step), attempt_here(device, protocol, trainer.epoch, step)]
        work.note_attempts(attempts)
        trainer.run(dataclasses.replace(control, save=checkpoints.save))
    write_outputs(run, trainer, data, attempts, work.finished)
    keep(data, run.root)
    checkpoints.remove()


def trainer_of(run: Run, data: PreparedData, protocol: Protocol, device: torch.device) -> Trainer:
    """Return what trains a run, made of the very source that its key names.

    Raises:
        UserError: that source was edited in between, or the data does not allow this training.
    """
    check_loaded(run.cell.modules, run.cell.source)
    sizes = {split: data.size(split) for split in data.splits}
    reason = refusal_of_data(run.cell.config, sizes)
    if reason:
        raise UserError(f"{run.name}: {reason}")
    weights = PretrainedWeights.default(run.weights_folder)
    trainer = make_trainer(
        run.cell.config, protocol, data, run.seed, device, load=load_class, weights=weights, recorder=Recorder
    )
    if protocol.micro_batch is not None:
        _pass_in_parts(run, trainer, data, protocol.micro_batch)
    _check_last_batch(run, trainer)
    return trainer


def _pass_in_parts(run: Run, trainer: Trainer, data: PreparedData, size: int) -> None:
    """Make a trainer's steps those of micro-batches; a refusal that planning could not know yet is said now."""
    # Imported where a key rests on it: other runs load no more than what theirs digests.
    from counterpoise.engine.micro_batches import in_micro_batches, predicted_in_parts
    from counterpoise.engine.whole_batch import refusal

    reason = refusal(run.cell.config, data, load_class)
    if reason:
        raise UserError(f"{run.name}: {reason}")
    trainer.step_of = in_micro_batches(trainer.step_of, size)
    trainer.batches = predicted_in_parts(trainer.batches, size)  # type: ignore[method-assign]


def _check_last_batch(run: Run, trainer: Trainer) -> None:
    """Refuse a last batch of one sample that a network cannot be trained on: said now, not after an epoch.

    Batch norm needs more than one value per channel; where maps have shrunk to 1 x 1, one sample gives one. Torch's
    meta device finds that out without computing anything.
    """
    order, protocol = trainer.data.train_order, trainer.protocol
    if protocol.drop_last or len(order) % protocol.batch_size != 1:
        return
    inputs, _, _ = next(iter(trainer.data.train_plain.batches(order[:1], 1)))
    network = copy.deepcopy(trainer.network).to("meta").train()
    try:
        features = network.encode({name: x.to("meta") for name, x in inputs.items()}, trainer.method.encoders(network))
        trainer.method.predict(network, features)
    except ValueError as error:
        raise UserError(
            f"{run.name}: the last batch of an epoch has one of {len(order)} samples, which this network cannot be "
            f"trained on ({error}); change 'batch_size' or set 'drop_last: true' in the protocol"
        ) from error
