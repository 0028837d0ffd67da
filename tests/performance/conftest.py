"""How measurements are made and kept (tests/support/measured.py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from measured import FOLDER, Action, Comparison, Results, comparison, interleaved

Times = dict[str, list[float]]


@pytest.fixture(scope="module")
def results(request, repository: Path) -> Results:
    """Where a module's measurements go: printed, and written where ``$COUNTERPOISE_PERFORMANCE`` says."""
    named = os.environ.get(FOLDER)
    return Results(repository / named if named else None, request.path.stem.removeprefix("test_"))


@pytest.fixture
def side_by_side(benchmark, results: Results) -> Callable[..., list[Comparison]]:
    """Run actions in turns and keep each one's comparison with the baseline, which is one of them.

    ``side_by_side({"ours": f, "usual": g}, "usual", kind="speed-up", goals={"ours": 50})``; ``samples`` where
    an action's round goes through another number of samples than the baseline's. ``goals`` may be a function
    of all actions' times; ``where`` says on what this was measured.
    """

    def run(
        actions: dict[str, Action],
        baseline: str,
        *,
        rounds: int = 7,
        kind: Literal["cost", "speed-up"] = "cost",
        goals: dict[str, float] | Callable[[Times], dict[str, float]] | None = None,
        samples: dict[str, int] | None = None,
        where: str = "",
    ) -> list[Comparison]:
        times = benchmark.pedantic(lambda: interleaved(actions, rounds), rounds=1)
        wanted = goals(times) if callable(goals) else goals or {}
        found = [
            comparison(name, times, baseline, where=where, kind=kind, goal=wanted.get(name), samples=samples)
            for name in actions
            if name != baseline
        ]
        benchmark.extra_info |= {row.name: row.ratio for row in found}
        results.add(*found)
        return found

    return run
