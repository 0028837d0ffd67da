"""How a run is watched, saved and stopped from outside. What saves and where is the caller's business."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterpoise.engine.loop import Trainer
    from counterpoise.engine.state import RunState


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""


@dataclass
class Control:
    """Callbacks of a run: ``stop`` is asked every step, ``report`` gets every epoch's row, ``save`` a state to keep.

    A state is handed over every ``save_seconds`` of ``clock``, which must never go back, and before a stop.
    """

    stop: Callable[[], bool] = lambda: False
    report: Callable[[int, dict[str, float]], None] = lambda epoch, row: None
    save: Callable[[RunState], None] | None = None
    save_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic


class Saver:
    """Hands over a trainer's state when enough time has gone by, and counts the time that the run has taken."""

    def __init__(self, trainer: Trainer, control: Control) -> None:
        self.trainer = trainer
        self.control = control
        self.saved_at = self.counted_to = control.clock()

    def after_step(self) -> None:
        """Save if it is time to, or if the run is to stop; raise :class:`Interrupted` then."""
        stopped = self.control.stop()  # asked once: between two questions the answer may change
        if stopped or self.control.clock() - self.saved_at >= self.control.save_seconds:
            self._save()
        if stopped:
            raise Interrupted

    def count_time(self) -> None:
        """Add the time since the last call to the run's."""
        now = self.control.clock()
        self.trainer.progress.seconds += now - self.counted_to
        self.counted_to = now

    def _save(self) -> None:
        self.count_time()
        if self.control.save is not None:
            self.control.save(self.trainer.snapshot())
        self.saved_at = self.control.clock()
