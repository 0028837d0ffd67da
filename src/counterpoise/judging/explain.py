"""Why a number deviates: what each registered factor, flipped by itself, does to it.

A flip's runs have the same seeds as the cell's own, so each effect is a mean of paired differences. Choosing
the epoch otherwise needs no runs: every run records all selections.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.errors import UserError, suggest
from counterpoise.identity import short_key, source_digest
from counterpoise.judging import statistics
from counterpoise.judging.claims import paired_differences
from counterpoise.judging.compare import judge_entry
from counterpoise.judging.entries import Entry
from counterpoise.judging.sequential import schedule_of
from counterpoise.judging.verdicts import NumberVerdict, SeedValues, Verdict
from counterpoise.papers.paper import Column, PaperTable
from counterpoise.planning.plan import Cell, Flip, Plan, PlannedValue
from counterpoise.results.results import CellResults, read_cell
from counterpoise.runs.trace import find_values, value_name

SELECTIONS = ("last", "best_val", "best_test")
LEVEL = 0.95


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Explanation:
    """A number, its verdict, the gap to the printed one (None where they are not compared), the effects."""

    name: str
    value: PlannedValue
    column: Column
    printed: str
    selection: str
    seeds: tuple[int, ...]
    number: NumberVerdict
    gap: float | None
    missing: tuple[int, ...]
    effects: tuple[Effect, ...]

    @property
    def deviates(self) -> bool:
        """Whether there is a deviation to explain."""
        return self.number.verdict is Verdict.DEVIATES

    @property
    def runs_missing(self) -> int:
        """How many runs are still to be done before all effects are known."""
        return len(self.missing) + sum(len(effect.missing) for effect in self.effects)


@dataclass(frozen=True)
class Question:
    """A number to be explained: where it stands, its cell, and the flips of it that can run."""

    name: str
    table: PaperTable
    column: Column
    value: PlannedValue
    flips: tuple[Flip, ...]

    @property
    def cell(self) -> Cell:
        """The cell that regenerates the number."""
        return self.value.cell

    @property
    def cells(self) -> list[Cell]:
        """The cell itself and the distinct cells of its flips."""
        found = {self.cell.name: self.cell}
        found.update({flip.cell.name: flip.cell for flip in self.flips if flip.cell is not None})
        return list(found.values())

    @property
    def file_name(self) -> str:
        """The name of the explanation's files, without suffix: the number's, with ``_`` for spaces."""
        return self.name.replace(" ", "_")


def ask(plan: Plan, name: str) -> Question:
    """Return the question that a number's name asks, in the words of ``counterpoise trace``.

    Raises:
        UserError: there is no such number, it is several (one per variant), or nothing runs for it.
    """
    table, column, values = find_values(plan, name)
    if len(values) > 1:
        names = [value_name(value) for value in values]
        raise UserError(f"{name}: is run in several variants: say which{suggest(names[0], names)}")
    (value,) = values
    if value.cell is None:
        raise UserError(f"{name}: nothing runs for it here, so nothing can be flipped: {value.reason}")
    return Question(value_name(value), table, column, value, tuple(plan.flips(value.cell)))


def question_digest(plan: Plan, question: Question) -> str:
    """Return the digest of everything besides metrics that an explanation rests on."""
    flips = [(f.factor, f.title, f.before, f.after, f.source, f.reason, f.cell and f.cell.name) for f in question.flips]
    return short_key(
        {
            "table": plan.digest(f"{question.value.paper}-{question.value.table}"),
            "cell": question.cell.name,
            "flips": flips,
            "source": source_digest(("counterpoise.reporting.explain",)),
        }
    )


def explain(plan: Plan, root: Path, question: Question) -> Explanation:
    """Return what the finished runs say about each factor; what has not run is named.

    Raises:
        UserError: a result file is broken or belongs to another run.
    """
    seeds = plan.seeds_of(question.cell)
    results = {cell.name: read_cell(plan, Path(root), cell, seeds) for cell in question.cells}
    base = results[question.cell.name]
    entry = _entry(plan, question, base)
    number = judge_entry(plan.papers[question.value.paper], entry, schedule_of(plan))
    compared = entry.printed.kind == "number" and not question.value.stand_in and number.mean is not None
    gap = entry.printed.value - number.mean if compared else None
    effects = [*_selections(plan, question, base), *_flipped(plan, question, results)]
    return Explanation(
        question.name,
        question.value,
        question.column,
        entry.printed.printed,
        plan.benchmark.selection,
        tuple(seeds),
        number,
        gap,
        tuple(base.missing),
        tuple(_corrected(effects, gap)),
    )


def _entry(plan: Plan, question: Question, results: CellResults) -> Entry:
    value = question.value
    if value.row not in question.table.row_ids:
        raise UserError(f"{question.name}: the paper has no such row, so there is nothing to explain")
    ours = _values(plan, question, results, plan.benchmark.selection)
    return Entry(
        question.table, value.row, value.variant, question.column, value.cell.dataset, ours, results, "", value.stand_in
    )


def _values(plan: Plan, question: Question, results: CellResults, selection: str) -> SeedValues:
    column = question.column
    return results.values(selection, plan.output(question.value), column.measure, column.scale)


def _selections(plan: Plan, question: Question, base: CellResults) -> list[Effect]:
    """Return the effect of choosing the epoch otherwise; the runs are those that are there."""
    now = plan.benchmark.selection
    ours = _values(plan, question, base, now)
    found = []
    for other in SELECTIONS:
        if other != now:
            flip = Flip("selection", "selection", now, other, "recorded by every run", question.cell)
            found.append(_effect(flip, _values(plan, question, base, other), ours))
    return found


def _flipped(plan: Plan, question: Question, results: Mapping[str, CellResults]) -> list[Effect]:
    selection = plan.benchmark.selection
    ours = _values(plan, question, results[question.cell.name], selection)
    found = []
    for flip in question.flips:
        if flip.cell is None:
            found.append(Effect(flip, reason=flip.reason))
        else:
            found.append(_effect(flip, _values(plan, question, results[flip.cell.name], selection), ours))
    return found


def _effect(flip: Flip, flipped: SeedValues, ours: SeedValues) -> Effect:
    missing = tuple(seed for seed in flipped.missing if seed not in flipped.failed)
    effect = Effect(flip, missing=missing if flip.factor != "selection" else ())
    pairs = paired_differences(flipped, ours, 1.0)
    if not pairs.size:
        failed = "; ".join(f"seed {seed} {what}" for seed, what in flipped.failed.items())
        return replace(effect, reason=flipped.absent or failed or "no pair of finished runs yet")
    finite = pairs[np.isfinite(pairs)]
    if not finite.size:
        return replace(effect, differences=tuple(map(float, pairs)), reason="every pair has a run that diverged")
    interval = statistics.mean_interval(finite, LEVEL) or (None, None)
    p = float(min(1.0, 2 * min(statistics.paired_p(pairs)))) if pairs.size > 1 else None
    return replace(
        effect, differences=tuple(map(float, pairs)), mean=float(finite.mean()), low=interval[0], high=interval[1], p=p
    )


def _corrected(effects: Sequence[Effect], gap: float | None) -> list[Effect]:
    """Return the effects with Holm's correction over all of them, and what each recovers of the gap."""
    tested = [position for position, effect in enumerate(effects) if effect.p is not None]
    found = [
        replace(effect, recovered=math.copysign(1.0, gap) * effect.mean)
        if gap is not None and effect.mean is not None
        else effect
        for effect in effects
    ]
    for position, p in zip(tested, statistics.holm([effects[at].p for at in tested]) if tested else [], strict=True):
        found[position] = replace(found[position], p=float(p))
    return found


def record(plan: Plan, explanation: Explanation, question: Question) -> dict[str, Any]:
    """Return an explanation as JSON data, with what it was made of."""
    number = explanation.number
    return {
        "schema": 1,
        "name": explanation.name,
        "benchmark": plan.benchmark.name,
        "digest": question_digest(plan, question),
        "cell": question.cell.name,
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
        "cell": None if flip.cell is None else flip.cell.name,
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
