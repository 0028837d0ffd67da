"""Which cells have how many seeds by now: the looks taken one after the other, from the runs that are there.

It is worked out from the runs alone, every time: a tree of results says by itself how far its looks have got.
A cell goes on for a number of its own that is undecided, or for a claim: a claim pairs runs over seeds, so
every cell that it compares goes on, and what those start from, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.judging.compare import rule_of
from counterpoise.judging.entries import collect
from counterpoise.judging.sequential import (
    Schedule,
    answer_in_looks,
    claim_is_open,
    judge_in_looks,
    more_seeds,
    number_is_open,
    schedule_of,
)
from counterpoise.planning.plan import Plan
from counterpoise.results.results import CellResults, read_results


@dataclass(frozen=True)
class Undecided:
    """A number or a claim that more seeds may decide, and the names of the cells that it takes."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Looked:
    """How many seeds each cell is to have after a look, and what asked for more.

    ``waiting``: runs, as (cell, seed), that the look still needs; nothing is decided before they are there.
    """

    look: int
    seeds: Mapping[str, int]
    undecided: tuple[Undecided, ...] = ()
    waiting: tuple[tuple[str, int], ...] = ()

    @property
    def more(self) -> bool:
        """Whether anything goes on to the next look."""
        return bool(self.undecided)


def looks(plan: Plan, root: Path) -> Iterator[Looked]:
    """Yield the looks that can be taken now, in order: up to the first that waits, or decides all it can."""
    schedule = _schedule(plan)
    seeds = {cell.name: schedule.looks[0] for cell in plan.cells}
    for look in schedule.looks[:-1]:
        current = replace(plan, allotted=seeds)
        results = read_results(current, root)
        waiting = tuple(
            (name, seed) for name, found in results.items() if seeds[name] >= look for seed in found.missing
        )
        if waiting:
            yield Looked(look, seeds, (), waiting)
            return
        undecided = tuple(_undecided(current, results, schedule, look))
        seeds = _with_parents(plan, more_seeds(seeds, [item.cells for item in undecided], schedule))
        yield Looked(look, seeds, undecided)
        if not undecided:
            return


def allot(plan: Plan, root: Path) -> Plan:
    """Return the plan with the seeds that its cells have by now; as it is, where all have all from the start.

    Raises:
        UserError: a result file is broken or belongs to another run.
    """
    if schedule_of(plan) is None:
        return plan
    *_, last = looks(plan, root)
    return replace(plan, allotted=last.seeds)


def look_at(plan: Plan, root: Path, look: int) -> Looked:
    """Return what one look says.

    Raises:
        UserError: it is none of the benchmark's, or runs that it needs are not there.
    """
    schedule = _schedule(plan)
    if look not in schedule.looks[:-1]:
        known = ", ".join(map(str, schedule.looks[:-1]))
        raise UserError(f"{plan.path}: no look at {look} seeds; allowed: {known}")
    for found in looks(plan, root):
        if found.waiting:
            cell, seed = found.waiting[0]
            raise UserError(
                f"{plan.path}: the look at {found.look} seeds waits for {len(found.waiting)} runs, "
                f"the first of them {cell} seed {seed}"
            )
        if found.look == look or not found.more:
            return found
    raise AssertionError("the looks ended before the one asked for")


def record(plan: Plan, looked: Looked) -> dict[str, Any]:
    """Return a look as JSON data."""
    schedule = _schedule(plan)
    return {
        "schema": 1,
        "look": looked.look,
        "looks": list(schedule.looks),
        "more": looked.more,
        "undecided": [{"name": item.name, "cells": list(item.cells)} for item in looked.undecided],
        "seeds": dict(looked.seeds),
    }


def looks_note(plan: Plan, schedule: Schedule, alpha: float) -> str:
    """Return the rule, its levels and what it saved, in a sentence for under a table."""
    found = schedule.record(plan, alpha)
    at = ", ".join(map(str, schedule.looks))
    levels = ", ".join(f"{level:.4f}" for level in found["levels"])
    return (
        f"Seeds were added to undecided cells only, at looks of {at}, each with its own level ({levels}; "
        f"together α = {alpha:g}, spending function of Pocock's type): {found['runs']} of "
        f"{found['runs_at_cap']} runs, {found['saved']:.0%} saved against {schedule.cap} seeds everywhere."
    )


def _schedule(plan: Plan) -> Schedule:
    schedule = schedule_of(plan)
    if schedule is None:
        raise UserError(f"{plan.path}: its seeds are fixed; looks are for 'seeds: auto'")
    return schedule


def _undecided(plan: Plan, results: Mapping[str, CellResults], schedule: Schedule, look: int) -> Iterator[Undecided]:
    """Yield the numbers and claims that have reached a look, and may be decided at a later one."""
    for paper in plan.papers.values():
        entries = collect(plan, results, paper)
        for entry in entries:
            if entry.results is None or entry.stand_in or entry.printed.kind != "number":
                continue
            name, rule = entry.results.cell.name, rule_of(paper, entry)
            verdict = judge_in_looks(entry.printed, entry.ours, rule, schedule)
            if plan.allotted[name] >= look and number_is_open(verdict, entry.printed, rule, schedule):
                where = f"{entry.table.paper}.{entry.table.table}.{entry.label}.{entry.column.id}"
                yield Undecided(where, (name,))
        for answer in answer_in_looks(paper, entries, schedule):
            cells = tuple(dict.fromkeys(entry.results.cell.name for entry in answer.compared))
            reached = cells and min(plan.allotted[cell] for cell in cells) >= look
            if reached and claim_is_open(answer, paper.alpha, schedule):
                yield Undecided(f"{paper.paper}: claim {answer.claim.id} ({answer.row})", cells)


def _with_parents(plan: Plan, seeds: Mapping[str, int]) -> dict[str, int]:
    """Give what a cell starts from as many seeds as the cell itself."""
    wanted = dict(seeds)
    for cell in plan.cells:
        for _, parent in cell.parents:
            wanted[parent.name] = max(wanted[parent.name], wanted[cell.name])
    return wanted
