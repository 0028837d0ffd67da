"""Where a run is, what it has found so far, and both as something that can be kept and put back.

A state holds everything that the rest of the run depends on. Random numbers are not in it: every stream is seeded
by its name, the epoch and the step, so going on is replaying.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from counterpoise.engine.optimiser import optimiser_tensors, restore_optimiser
from counterpoise.engine.selection import Selections

if TYPE_CHECKING:
    from counterpoise.engine.loop import Trainer


@dataclass
class RunState:
    """Tensors by name, and the plain rest (position, history, best accuracies)."""

    tensors: dict[str, Tensor]
    plain: dict[str, Any]


@dataclass
class Progress:
    """Where a run is and what it has found so far; ``seconds`` counts all attempts up to their last save.

    ``steps`` has a row of diagnostics for every step, where the protocol asks for them.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    selections: Selections = field(default_factory=Selections)
    diverged: str = ""
    seconds: float = 0.0
    steps: list[dict[str, float]] = field(default_factory=list)


def snapshot(trainer: Trainer) -> RunState:
    """Return everything that the rest of a run depends on, and all that it has found."""
    progress = trainer.progress
    # Step diagnostics become one table: their columns differ from step to step, NaN stands for none.
    columns = sorted({name for row in progress.steps for name in row})
    rows = [[row.get(name, float("nan")) for name in columns] for row in progress.steps]
    parts = {
        "network": trainer.network.state_dict(),
        "optimiser": optimiser_tensors(trainer.optimiser),
        "method": trainer.state,
        "sums": trainer.sums,
        "selections": progress.selections.tensors(),
    }
    tensors = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    if rows:
        tensors["steps.rows"] = torch.tensor(rows, dtype=torch.float64)
    plain = {
        "epoch": progress.epoch,
        "step": progress.step,
        "history": progress.history,
        "selections": progress.selections.plain(),
        "diverged": progress.diverged,
        "seconds": progress.seconds,
        "step_columns": columns,
    }
    return RunState(tensors, plain)


def restore(trainer: Trainer, saved: RunState) -> None:
    """Put back what :func:`snapshot` returned of the same run."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in saved.tensors.items():
        part, _, rest = name.partition(".")
        # Test predictions of the selected epochs are kept on the CPU: the device has no use for them.
        parts.setdefault(part, {})[rest] = value.to("cpu" if part == "selections" else trainer.device)
    trainer.network.load_state_dict(parts["network"])
    restore_optimiser(trainer.optimiser, parts.get("optimiser", {}))
    trainer.state = parts.get("method", {})
    trainer.sums = parts["sums"]
    plain = saved.plain
    steps = parts["steps"]["rows"].tolist() if "steps" in parts else []
    trainer.progress = Progress(
        epoch=plain["epoch"],
        step=plain["step"],
        history=plain["history"],
        selections=Selections.restore(plain["selections"], parts.get("selections", {})),
        diverged=plain["diverged"],
        seconds=plain["seconds"],
        steps=[dict(zip(plain["step_columns"], row, strict=True)) for row in steps],
    )
