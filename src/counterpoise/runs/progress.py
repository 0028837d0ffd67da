"""How far a run in training is: a small file in its work folder, for whoever watches from this machine or another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json, write_json

NAME = "progress.json"
EVERY_SECONDS = 1.0
_NUMBERS = ("epoch", "epochs", "seconds_per_epoch", "at")


class Progress:
    """Writes a run's progress after an epoch, but not more often than each second."""

    def __init__(self, work: Path, epochs: int) -> None:
        self.path = Path(work) / NAME
        self.epochs = epochs
        self.begun: tuple[float, int] | None = None
        self.written = 0.0

    def __call__(self, epoch: int) -> None:
        """Note that ``epoch`` epochs are done."""
        now = time.time()
        if self.begun is None:
            self.begun = (now, epoch)
        elif now - self.written < EVERY_SECONDS:
            return
        since, first = self.begun
        self.written = now
        pace = (now - since) / max(1, epoch - first)
        write_json(self.path, {"epoch": epoch, "epochs": self.epochs, "seconds_per_epoch": pace, "at": now})


def read_progress(work: Path) -> dict[str, Any]:
    """Return what was written last, nothing where there is none or it cannot be read."""
    try:
        found = read_json(Path(work) / NAME, "progress of a run")
    except UserError:
        return {}
    numeric = isinstance(found, dict) and all(isinstance(found.get(name), int | float) for name in _NUMBERS)
    return found if numeric else {}
