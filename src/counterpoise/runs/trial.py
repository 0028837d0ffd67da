"""A few steps of a run, for an estimate of what all of it takes; nothing of them is kept.

The first steps are left out of the time: they warm up. An epoch that ends within the trial is timed with its
evaluation, a longer one by its steps alone.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from counterpoise.data.prepared import PreparedData
from counterpoise.engine.control import Control, Interrupted
from counterpoise.engine.exactness import exactness
from counterpoise.errors import UserError
from counterpoise.protocol import Protocol
from counterpoise.runs.machine import describe
from counterpoise.runs.run import Run
from counterpoise.runs.train import trainer_of

WARM_UP = 2


@dataclass(frozen=True)
class Trial:
    """What steps took: seconds per epoch, bytes of memory at most, and watts where the device reports them.

    On a CPU the memory is that of the whole process.
    """

    steps: int
    seconds_per_epoch: float
    peak_memory: int
    device: str
    watts: float | None


def try_run(run: Run, device: torch.device, steps: int = 20) -> Trial:
    """Train at most ``steps`` steps of a run after warming up, in memory, and return what they took.

    Raises:
        UserError: its data is not prepared, or it starts from other runs.
    """
    data = PreparedData.open(run.data_folder)
    protocol = Protocol.model_validate(run.cell.config["protocol"])
    with exactness(protocol, device):
        trainer = trainer_of(run, data, protocol, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        watch = _Watch(device, WARM_UP + steps)
        trainer.method.initialise(trainer.network, _no_parent)
        with contextlib.suppress(Interrupted):
            trainer.run(Control(stop=watch.step, report=watch.epoch))
    count = -(-len(trainer.data.train_order) // protocol.batch_size)
    per_epoch = watch.epochs[0] if watch.epochs else count * statistics.median(watch.durations())
    name = describe(device, protocol)["device_name"]
    return Trial(trainer.progress.step, per_epoch, _peak(device), name, watch.watts)


def _no_parent(modality: str) -> dict[str, Tensor]:
    raise UserError(f"a run that starts from another of '{modality}' alone cannot be tried before that is there")


@dataclass
class _Watch:
    """Notes when steps and epochs end, and asks once for the power while the device is busy."""

    device: torch.device
    most: int
    started: float = field(default_factory=time.perf_counter)
    times: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    watts: float | None = None

    def step(self) -> bool:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())
        if len(self.times) == self.most:
            self.watts = _power(self.device)
        return len(self.times) >= self.most or bool(self.epochs)

    def epoch(self, _number: int, _row: dict[str, float]) -> None:
        self.epochs.append(time.perf_counter() - self.started)

    def durations(self) -> list[float]:
        times = [self.started, *self.times]
        pairs = [late - early for early, late in itertools.pairwise(times)]
        return pairs[WARM_UP:] or pairs


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _power(device: torch.device) -> float | None:
    """Return the watts that a GPU draws, ``None`` for a CPU and where the driver does not say."""
    if device.type != "cuda" or shutil.which("nvidia-smi") is None:
        return None
    index = torch.cuda.get_device_properties(device).uuid
    asked = ["nvidia-smi", f"--id=GPU-{index}", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
        return float(done.stdout.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
