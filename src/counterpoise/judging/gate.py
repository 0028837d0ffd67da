"""The gate: before a number is judged, whether ours and the paper's can be compared in level at all.

Four aspects: test set, split, features or weights, training. Each is the same, the same recipe with another draw, or
another. Another one anywhere and nothing is said about the level; another draw of the test set, and the test set's
sampling error enters the interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from counterpoise.comparability import OTHER, OTHER_DRAW, SAME, Difference, Level
from counterpoise.papers.facts import Setup
from counterpoise.papers.paper import ColumnGroup, Paper
from counterpoise.results.layout import LayoutCell, LayoutData, LayoutValue

FEW_DROPPED = 0.01
"""Up to this share of a test set may be missing, unreadable items say, before it is another test set."""


@dataclass(frozen=True, kw_only=True)
class Comparability:
    """In what ours differs from the paper's; nothing listed means that nothing is known to differ."""

    differences: tuple[Difference, ...] = ()

    @property
    def level(self) -> Level:
        """The worst of the aspects."""
        levels = [difference.level for difference in self.differences]
        return max(levels, key=(SAME, OTHER_DRAW, OTHER).index, default="same")

    @property
    def reason(self) -> str:
        """What decides the level, aspect by aspect."""
        deciding = [difference for difference in self.differences if difference.level == self.level]
        return "; ".join(f"{difference.aspect}: {difference.reason}" for difference in deciding)


def comparability_of(
    paper: Paper, group: ColumnGroup, value: LayoutValue, cell: LayoutCell, data: LayoutData, n_test: int | None
) -> Comparability:
    """Return what the layout declares, and what the configuration of the runs and their data show.

    Args:
        group: the printed number's group of columns.
        n_test: the size of the test set that our runs were measured on, None before any has finished.
    """
    differences = [*value.differs, *_derived(paper, group, value, cell, data, n_test)]
    return Comparability(differences=tuple(differences))


def _derived(
    paper: Paper, group: ColumnGroup, value: LayoutValue, cell: LayoutCell, data: LayoutData, n_test: int | None
) -> Iterator[Difference]:
    declared = {difference.aspect for difference in value.differs}
    if value.other_training:
        yield Difference(aspect="training", level=OTHER, reason=value.other_training, source="the protocol's file")
    elif value.stand_in:
        yield Difference(aspect="test set", level=OTHER, reason=f"a stand-in: {data.title}", source="the data's file")
    # Lists of the user's own, files that are not the published ones: the preparation found them and wrote them down.
    for departure in () if value.stand_in else data.manifest.get("departures", ()):
        yield Difference(aspect="split", level=OTHER, reason=departure, source="the manifest of the prepared data")
    if not value.stand_in:
        yield from _setup(paper, group, cell, data)
    facts = paper.datasets.get(group.dataset)
    sizes = sorted({known.size for known in facts.test_sizes}) if facts else []
    if n_test is None or not sizes or n_test in sizes or value.stand_in or "test set" in declared:
        return
    known = " or ".join(f"{size:,}" for size in sizes)
    nearest = min(sizes, key=lambda size: abs(size - n_test))
    few = bool(data.manifest.get("dropped")) and 0 <= nearest - n_test <= FEW_DROPPED * nearest
    yield Difference(
        aspect="test set",
        level=OTHER_DRAW if few else OTHER,
        reason=f"{n_test:,} examples; the paper's has {known}{', a few were left out as unreadable' if few else ''}",
        source=f"the runs of {cell.dataset}",
    )


def _setup(paper: Paper, group: ColumnGroup, cell: LayoutCell, data: LayoutData) -> Iterator[Difference]:
    """Yield in what weights and inputs are not those of the paper's setup."""
    setup = Setup(source="") if group.setup is None else paper.setups[group.setup]
    encoders: Mapping[str, Any] = cell.config.get("model", {}).get("encoders", {})
    ours = {name: weights for name, part in encoders.items() if (weights := part["settings"].get("weights"))}
    at_random = "a random start"
    reasons = [
        f"the {name} encoder has {ours.get(name, at_random)}, in the paper {setup.weights.get(name, at_random)}"
        for name in dict.fromkeys([*ours, *setup.weights])
        if name in encoders and ours.get(name) != setup.weights.get(name)
    ]
    reasons += [
        f"{name}: {data.settings.get(name, 'none')}, in the paper {theirs}"
        for name, theirs in setup.data.items()
        if data.settings.get(name) != theirs
    ]
    if reasons:
        source = setup.source or "the paper names no weights"
        yield Difference(aspect="features or weights", level=OTHER, reason="; ".join(reasons), source=source)
