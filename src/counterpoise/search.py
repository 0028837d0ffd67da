"""Choose what the papers leave open by a small search on held-out training data, declared in the benchmark.

Every method gets the same candidates and the same seeds, so none is favoured by a larger budget, and no test
sample is looked at: a share of the training split is held out, and validation accuracy there decides.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import write_json
from counterpoise.planning.benchmark import Search
from counterpoise.planning.configs import merge
from counterpoise.planning.plan import Cell, Plan, make_plan
from counterpoise.runs.record import read_record

SCHEMA = 1


@dataclass(frozen=True)
class Scores:
    """Of one method: the validation accuracy of each candidate by seed, and the candidate that it gets.

    ``accuracies[i][j]`` is candidate ``i`` with the search's seed ``j``, the mean over the method's cells;
    ``None`` where a run diverged. ``chosen`` is the candidate of the best mean, the first of equals; a
    candidate of which a run diverged is not chosen.
    """

    method: str
    accuracies: list[list[float | None]]

    @property
    def chosen(self) -> int:
        means = [None if None in found else statistics.fmean(found) for found in self.accuracies]
        stand = [mean for mean in means if mean is not None]
        if not stand:
            raise UserError(f"search: of method '{self.method}', runs of every candidate diverged")
        return means.index(max(stand))


@dataclass(frozen=True)
class Candidates:
    """A benchmark's search, and its plan with each candidate laid over every method."""

    benchmark: str
    search: Search
    plans: list[Plan]


def candidate_plans(root: Path, path: Path, overrides: dict[str, Any]) -> Candidates:
    """Plan every candidate of a benchmark's search.

    Raises:
        UserError: the benchmark declares no search.
    """
    plan = make_plan(root, path, overrides)
    search = plan.benchmark.search
    if search is None:
        keys = ", ".join(f"'{name}'" for name in Search.model_fields)
        raise UserError(f"{path}: has no section 'search', with the keys {keys}")
    held_out = {"protocol": {"validation_fraction": search.validation_fraction}}
    methods = sorted({cell.method for cell in plan.cells})
    plans = []
    for candidate in search.candidates:
        layer = merge(candidate.model_dump(), held_out)
        laid = {"methods": dict.fromkeys(methods, layer), "seeds": search.seeds, "search": None}
        plans.append(make_plan(root, path, merge(overrides, laid)))
    return Candidates(plan.benchmark.name, search, plans)


def run_search(candidates: Candidates, root: Path, train: Callable[[Plan, Cell, list[int]], None]) -> list[Scores]:
    """Train what is not there yet of every candidate and return each method's scores."""
    plans = candidates.plans
    for plan in plans:
        for cell in plan.cells:
            train(plan, cell, plan.seeds)
    methods = dict.fromkeys(cell.method for cell in plans[0].cells)
    return [Scores(method, [_accuracies(plan, root, method) for plan in plans]) for method in methods]


def _accuracies(plan: Plan, root: Path, method: str) -> list[float | None]:
    cells = [cell for cell in plan.cells if cell.method == method]
    return [_mean([_accuracy(root, cell, seed) for cell in cells]) for seed in plan.seeds]


def _accuracy(root: Path, cell: Cell, seed: int) -> float | None:
    record = read_record(Path(root) / cell.run_directory(seed), cell.key, seed)
    return None if record["status"] == "diverged" else record["selections"]["best_val"]["accuracy"]


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else statistics.fmean(values)


def write_search(candidates: Candidates, scores: Sequence[Scores], root: Path) -> Path:
    """Write ``results/search/<benchmark>.json``: what was tried with which seeds, the scores, the choices."""
    path = Path(root) / "results/search" / f"{candidates.benchmark}.json"
    content = {
        "schema": SCHEMA,
        "benchmark": candidates.benchmark,
        "search": candidates.search.model_dump(mode="json", exclude_defaults=True),
        "cells": [[cell.name for cell in plan.cells] for plan in candidates.plans],
        "scores": {each.method: {"accuracies": each.accuracies, "chosen": each.chosen} for each in scores},
    }
    write_json(path, content)
    return path


def chosen_methods(search: Search, scores: Sequence[Scores]) -> dict[str, Any]:
    """Return the section ``methods`` for the benchmark file that the search speaks for."""
    chosen = {found.method: search.candidates[found.chosen] for found in scores}
    return {method: candidate.model_dump(exclude_defaults=True) for method, candidate in chosen.items()}
