"""Training runs of a second: the toy task with augmentation and dropout, so that every random stream is drawn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from counterpoise.engine.control import Control, Interrupted
from counterpoise.engine.diagnostics import Recorder
from counterpoise.engine.loop import Trainer
from counterpoise.engine.splits import Splits
from counterpoise.engine.state import Progress
from counterpoise.models.network import digest_state
from counterpoise.protocol import Protocol
from counterpoise.runs.checkpoint import Checkpoints
from counterpoise.testing.toy import Toy, ToyBatches, make_method

TRAIN, TEST, BATCH = 60, 24, 16  # four steps an epoch, the last of 12


class NoisyBatches(ToyBatches):
    """Samples that are augmented by noise from the stream that is handed in, where one is."""

    def batches(
        self, order: Tensor, size: int, generator: torch.Generator | None = None
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], Tensor]]:
        for inputs, targets, index in super().batches(order, size):
            if generator is not None:
                inputs = {k: x + 0.3 * torch.randn(x.shape, generator=generator) for k, x in inputs.items()}
            yield inputs, targets, index


def protocol(**changes: Any) -> Protocol:
    """Return a protocol of three epochs with momentum; ``optimiser`` may be given in part."""
    optimiser = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
    optimiser |= changes.pop("optimiser", {})
    return Protocol.model_validate({"optimiser": optimiser, "epochs": 3, "batch_size": BATCH} | changes)


def data(toy: Toy, validation: bool = True) -> Splits:
    """Return the toy's splits; training samples are augmented."""
    parts = {name: toy.split(size, seed) for seed, (name, size) in enumerate((("train", TRAIN), ("test", TEST)))}
    noisy = NoisyBatches(parts["train"].inputs, parts["train"].targets)
    order = torch.arange(TRAIN)
    if not validation:
        return Splits(noisy, order, parts["train"], parts["test"])
    val = toy.split(TEST, 2)
    return Splits(noisy, order, parts["train"], parts["test"], val, torch.arange(TEST))


def trainer(method: str = "uniform", seed: int = 0, toy: Toy | None = None, **changes: Any) -> Trainer:
    """Return a trainer of a method on the toy, with dropout before every head."""
    toy = toy or Toy()
    network = toy.network(seed)
    for name, head in network.heads.items():
        network.heads[name] = nn.Sequential(nn.Dropout(0.3), head)
    validation = changes.pop("validation", True)
    made, asked = make_method(method, toy=toy), protocol(**changes)
    recorder = Recorder(network) if asked.diagnostics else None
    return Trainer(network, made, asked, data(toy, validation), seed, torch.device("cpu"), recorder)


def stop_after(steps: int) -> Callable[[], bool]:
    """Return a function that says stop from the ``steps``-th time on that it is asked, whoever asks."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > steps

    return stop


def run_with_stops(make: Callable[[], Trainer], folder: Any, every: int) -> tuple[Trainer, int]:
    """Run to the end, stopped every so often and begun again each time by a new process's worth of objects."""
    interruptions = 0
    while True:
        checkpoints = Checkpoints(folder, "key", 0, "raw")
        running = make()
        saved, passed_over = checkpoints.load()
        assert passed_over == []
        if saved is not None:
            running.restore(saved)
        try:
            running.run(Control(stop=stop_after(every), save=checkpoints.save))
            return running, interruptions
        except Interrupted:
            interruptions += 1


def fingerprint(running: Trainer) -> dict[str, Any]:
    """Return everything that a run leaves behind, to the last bit."""
    progress: Progress = running.progress
    logits = {
        name: hashlib.sha256(x.numpy().tobytes()).hexdigest() for name, x in progress.selections.tensors().items()
    }
    return {
        "history": progress.history,
        "selections": progress.selections.plain(),
        "logits": logits,
        "weights": digest_state(running.network.state_dict()),
        "optimiser": digest_state(running.snapshot().tensors),
        "position": (progress.epoch, progress.step),
        "diverged": progress.diverged,
    }
