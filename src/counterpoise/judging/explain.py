"""Why a number deviates: what each registered factor, flipped by itself, does to it.

A flip's runs have the same seeds as the cell's own, so each effect is a mean of paired differences. Choosing
the epoch otherwise needs no runs: every run records all selections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from counterpoise.errors import UserError
from counterpoise.judging import statistics
from counterpoise.judging.entries import entries_of
from counterpoise.judging.level import judge_entry
from counterpoise.judging.pairs import paired_differences
from counterpoise.judging.verdicts import NumberVerdict, Verdict
from counterpoise.papers.paper import Column, Paper
from counterpoise.results.explained import SELECTION, Flip, Question
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results

SELECTIONS = ("last", "best_val", "best_test")
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one flip does, in printed units: flipped minus as it is, by seed.

    ``low`` and ``high`` bound the mean's paired t-interval; ``p`` is two-sided, Holm-corrected over the
    explanation's flips. ``recovered`` is the part of the gap to the printed number that goes away (negative:
    the gap widens), None where there is no gap to speak of. Without values, ``reason`` says why.
    """

    flip: Flip
    differences: tuple[float, ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    recovered: float | None = None
    missing: tuple[int, ...] = ()
    reason: str = ""

    @property
    def n(self) -> int:
        """How many pairs there are, diverged ones included."""
        return len(self.differences)

    @property
    def diverged(self) -> int:
        """How many pairs have one run that diverged."""
        return sum(not math.isfinite(difference) for difference in self.differences)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A number, its verdict, the gap to the printed one (None where it does not deviate), and the effects.

    ``title`` says in words which number it is, ``missing`` are the seeds that the number's own cell still lacks.
    """

    question: Question
    benchmark: str
    title: str
    column: Column
    printed: str
    selection: str
    seeds: tuple[int, ...]
    number: NumberVerdict
    gap: float | None
    missing: tuple[int, ...]
    effects: tuple[Effect, ...]

    @property
    def name(self) -> str:
        """The number's name."""
        return self.question.name

    @property
    def deviates(self) -> bool:
        """Whether there is a deviation to explain."""
        return self.number.verdict is Verdict.DEVIATES

    @property
    def runs_missing(self) -> int:
        """How many runs are still to be done before all effects are known."""
        return len(self.missing) + sum(len(effect.missing) for effect in self.effects)


def explain(question: Question, paper: Paper, results: Results, flipped: Results) -> Explanation:
    """Return what the finished runs say about each factor; what has not run is named.

    Args:
        question: the number, whose cell is one of ``results``, and its flips.
        paper: the paper that prints it.
        flipped: the results of the flips' cells, with the same seeds.

    Raises:
        UserError: the paper has no such row.
    """
    value, layout = question.value, results.layout
    place = (value.table, value.row, value.variant, value.column)
    entry = next(
        (e for e in entries_of(paper, results) if (e.table.table, e.row, e.variant, e.column.id) == place), None
    )
    if entry is None:
        raise UserError(f"{question.name}: the paper has no such row, so there is nothing to explain")
    number = judge_entry(paper, entry)
    # A number that may well be the printed one has no gap that a factor could recover.
    gap = -number.delta if number.verdict is Verdict.DEVIATES and number.delta is not None else None

    def seeds(source: Results, cell: str, selection: str) -> SeedValues:
        return source.seeds(cell, selection, entry.output, entry.column.measure, entry.column.scale)

    effects = []
    for other in SELECTIONS:
        if other != layout.selection:
            flip = Flip(
                factor=SELECTION,
                title="selection",
                before=layout.selection,
                after=other,
                source="recorded by every run",
                cell=question.cell,
            )
            effects.append(_effect(flip, seeds(results, question.cell, other), entry.ours))
    for flip in question.flips:
        if flip.cell is None:
            effects.append(Effect(flip=flip, reason=flip.reason))
        else:
            found = seeds(flipped, flip.cell, layout.selection)
            # A record may have its flips of fewer seeds than its numbers.
            planned = {run.seed for run in flipped.runs_of[flip.cell]}
            missing = tuple(seed for seed in layout.seeds if seed in found.missing or seed not in planned)
            effects.append(_effect(flip, replace(found, missing=missing), entry.ours))
    return Explanation(
        question=question,
        benchmark=layout.name,
        title=f"{entry.table.name} of {paper.short_title}, {entry.label}, {entry.column_name}",
        column=entry.column,
        printed=entry.printed.printed,
        selection=layout.selection,
        seeds=layout.seeds,
        number=number,
        gap=gap,
        missing=tuple(entry.ours.missing),
        effects=tuple(_corrected(effects, gap)),
    )


def _effect(flip: Flip, flipped: SeedValues, ours: SeedValues) -> Effect:
    # Another selection of the same runs lacks no run of its own.
    missing = tuple(seed for seed in flipped.missing if seed not in flipped.failed and flip.factor != SELECTION)
    pairs = paired_differences(flipped, ours, 1.0)
    effect = Effect(flip=flip, differences=tuple(map(float, pairs)), missing=missing)
    if not pairs.size:
        failed = "; ".join(f"seed {seed} {what}" for seed, what in flipped.failed.items())
        return replace(effect, reason=flipped.absent or failed or "no pair of finished runs yet")
    finite = pairs[np.isfinite(pairs)]
    if not finite.size:
        return replace(effect, reason="every pair has a run that diverged")
    low, high = statistics.mean_interval(finite, LEVEL) or (None, None)
    p = float(statistics.two_sided_p(pairs)) if pairs.size > 1 else None
    return replace(effect, mean=float(finite.mean()), low=low, high=high, p=p)


def _corrected(effects: Sequence[Effect], gap: float | None) -> list[Effect]:
    """Return the effects with Holm's correction over all of them, and what each recovers of the gap."""
    corrected = [
        replace(effect, recovered=math.copysign(1.0, gap) * effect.mean)
        if gap is not None and effect.mean is not None
        else effect
        for effect in effects
    ]
    adjusted = statistics.holm_of_known([effect.p for effect in effects])
    return [replace(effect, p=p) for effect, p in zip(corrected, adjusted, strict=True)]


def record(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON data."""
    number = explanation.number
    return {
        "schema": 1,
        "name": explanation.name,
        "benchmark": explanation.benchmark,
        "cell": explanation.question.cell,
        "selection": explanation.selection,
        "seeds": list(explanation.seeds),
        "printed": explanation.printed,
        "mean": number.mean,
        "std": number.std,
        "n": number.n,
        "verdict": str(number.verdict),
        "gap": explanation.gap,
        "missing": list(explanation.missing),
        "level": LEVEL,
        "effects": [_effect_record(effect) for effect in explanation.effects],
    }


def _effect_record(effect: Effect) -> dict[str, Any]:
    flip = effect.flip
    return {
        "factor": flip.factor,
        "title": flip.title,
        "from": flip.before,
        "to": flip.after,
        "source": flip.source,
        "cell": flip.cell,
        "changed": [[key, before, after] for key, before, after in flip.differences],
        "n": effect.n,
        "diverged": effect.diverged,
        "effect": effect.mean,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "recovered": effect.recovered,
        "missing": list(effect.missing),
        "reason": effect.reason,
    }
