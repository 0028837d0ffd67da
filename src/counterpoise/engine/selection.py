"""Which epoch's predictions count: the last, the best on validation, or the best on test (released code)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

Logits = dict[str, Tensor]


@dataclass
class Selected:
    """A rule's choice so far: the epoch, its accuracy by that rule, its test logits ``{output: (N, C)}``."""

    epoch: int
    accuracy: float | None
    logits: Logits


@dataclass
class Selections:
    """All selection rules of one training run, side by side."""

    found: dict[str, Selected] = field(default_factory=dict)

    def update(self, epoch: int, logits: Logits, test_accuracy: float, val_accuracy: float | None) -> None:
        """Take in an evaluated epoch; the first of equally good epochs stays."""
        self.found["last"] = Selected(epoch, None, logits)
        self._offer("best_test", epoch, test_accuracy, logits)
        if val_accuracy is not None:
            self._offer("best_val", epoch, val_accuracy, logits)

    def epochs_since_best_val(self, epoch: int) -> int | None:
        """Return how many epochs ago validation was best, or ``None`` without validation."""
        return None if "best_val" not in self.found else epoch - self.found["best_val"].epoch

    def tensors(self) -> dict[str, Tensor]:
        """Return all logits as ``{"<rule>.logits.<output>": (N, C)}``."""
        return {
            f"{rule}.logits.{output}": logits
            for rule, selected in self.found.items()
            for output, logits in selected.logits.items()
        }

    def plain(self) -> dict[str, dict[str, float | int | None]]:
        """Return epochs and accuracies by rule."""
        return {rule: {"epoch": s.epoch, "accuracy": s.accuracy} for rule, s in self.found.items()}

    @classmethod
    def restore(cls, plain: dict[str, dict[str, float | int | None]], tensors: dict[str, Tensor]) -> Selections:
        """Rebuild from :meth:`plain` and :meth:`tensors`."""
        found = {}
        for rule, values in plain.items():
            prefix = f"{rule}.logits."
            logits = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            found[rule] = Selected(values["epoch"], values["accuracy"], logits)  # type: ignore[arg-type]  # epochs are whole
        return cls(found)

    def _offer(self, rule: str, epoch: int, accuracy: float, logits: Logits) -> None:
        if rule not in self.found or accuracy > self.found[rule].accuracy:  # type: ignore[operator]  # only "last" has none
            self.found[rule] = Selected(epoch, accuracy, logits)
