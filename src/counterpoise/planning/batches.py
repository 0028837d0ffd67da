"""Batches of seeds as the workflow's rules name them: batches that end alike share a rule.

The outputs of a rule name each run of a job, so batches of several seeds cannot be one wildcard. With a rule
for each batch, the workflow engine holds every file against the outputs of every rule: a cost that grows with
the square of the number of batches. But the batches ``10-14``, ``20-24``, ``30-34`` differ only in how their
numbers begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BatchShape:
    """Batches of seeds whose decimal numbers end in the same ``endings`` and begin in one of ``stems``."""

    endings: tuple[str, ...]
    stems: tuple[str, ...]

    def seeds(self, stem: str) -> tuple[int, ...]:
        """Return the seeds of one of the batches."""
        return tuple(int(stem + ending) for ending in self.endings)

    @property
    def pattern(self) -> str:
        """A regular expression that the stems match, and nothing else does."""
        return f"({'|'.join(self.stems)})"


def batch_shapes(batches: Iterable[Sequence[int]]) -> list[BatchShape]:
    """Return the shapes of batches of seeds, in order of first use."""
    stems: dict[tuple[str, ...], list[str]] = {}
    for batch in batches:
        numbers = [str(seed) for seed in batch]
        stem = _common_start(numbers)
        stems.setdefault(tuple(number[len(stem) :] for number in numbers), []).append(stem)
    return [BatchShape(endings, tuple(found)) for endings, found in stems.items()]


def _common_start(numbers: Sequence[str]) -> str:
    if len({len(number) for number in numbers}) > 1:
        return ""
    differing = (place for place, digits in enumerate(zip(*numbers, strict=True)) if len(set(digits)) > 1)
    return numbers[0][: next(differing, len(numbers[0]))]
