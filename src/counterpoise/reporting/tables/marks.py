"""Which of our means are the best and the runner-up of a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Mark = Literal["", "best", "runner-up"]


def mark_best(means: Sequence[float | None], better: str, decimals: int) -> list[Mark]:
    """Return a mark for each mean of a column, compared at the precision shown: ties share it.

    Args:
        means: None where a row cannot be marked. A single mean is no competition and gets no mark.
        better: ``higher`` or ``lower``.
    """
    shown = [None if mean is None else round(mean, decimals) for mean in means]
    levels = sorted({value for value in shown if value is not None}, reverse=better == "higher")
    if sum(value is not None for value in shown) < 2:
        return ["" for _ in means]
    marks: dict[float | None, Mark] = dict(zip(levels, ("best", "runner-up"), strict=False))
    return [marks.get(value, "") for value in shown]
