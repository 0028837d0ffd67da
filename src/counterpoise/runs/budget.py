"""Which cells to train when there is time for some: those that decide the most claims.

A claim is decided by its numbers, so it needs every cell that it compares, with all seeds, and their parents.
Cells are shared between claims, so the best choice within a budget is a knapsack of sets, for which no fast
exact rule is known. The rule here is greedy: again and again the claim is taken whose missing cells decide
the most claims per hour (all the claims that become complete with them), as long as they fit into what is
left. Of equals the first in the papers' order is taken, so the choice is the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from counterpoise.errors import UserError
from counterpoise.papers.paper import Claim, Paper
from counterpoise.planning.plan import NOT_IN_BENCHMARK, Cell, Plan, PlannedValue

UNITS = {"min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Question:
    """A claim of a paper, in one variant of its row, and the names of all cells that answer it."""

    paper: str
    claim: str
    variant: str | None
    cells: frozenset[str]

    @property
    def name(self) -> str:
        """``<paper>.<claim>``, with the variant where the row runs in several."""
        return f"{self.paper}.{self.claim}" + (f" [{self.variant}]" if self.variant else "")


@dataclass(frozen=True)
class Pick:
    """A step of the choice: the cells that it adds, in seconds, and the claims that they complete."""

    cells: tuple[str, ...]
    seconds: float
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Choice:
    """What fits: ``ready`` claims need no training, ``unknown`` ones have a cell of unknown cost."""

    budget: float
    picks: tuple[Pick, ...]
    ready: tuple[Question, ...]
    left: tuple[Question, ...]
    unknown: tuple[Question, ...]

    @property
    def seconds(self) -> float:
        """What all picks take, one run after the other."""
        return sum(pick.seconds for pick in self.picks)

    @property
    def cells(self) -> list[str]:
        """The names of the cells to train, in the order of the picks."""
        return [name for pick in self.picks for name in pick.cells]


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as ``40h``, ``90min`` or ``2.5d``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(min|h|d)", text.strip())
    if found is None:
        raise UserError(f"--budget '{text}': must be a number and a unit: min, h or d, as in 40h")
    return float(found[1]) * UNITS[found[2]]


def questions(plan: Plan) -> list[Question]:
    """Return every claim that the plan's cells can decide, in the papers' order."""
    index: dict[tuple[str, str, str, str], list[PlannedValue]] = {}
    for value in plan.values:
        index.setdefault((value.paper, value.table, value.row, value.column), []).append(value)
    return [
        question
        for paper in plan.papers.values()
        for claim in paper.claims
        if claim.test.kind != "untested"
        for question in _questions(paper, claim, index)
    ]


def choose(
    asked: Sequence[Question], seconds: Mapping[str, float | None], order: Sequence[Cell], budget: float
) -> Choice:
    """Return the cells that decide the most claims within ``budget`` seconds.

    ``seconds`` has the cost of what is to do of each cell: 0 where all is there, ``None`` where it is
    unknown. ``order`` is the plan's cells: those of a pick are listed in it.
    """
    unknown = [question for question in asked if any(seconds[name] is None for name in question.cells)]
    open_ = [question for question in asked if question not in unknown]
    have = {name for name, cost in seconds.items() if cost == 0}
    ready = [question for question in open_ if question.cells <= have]
    open_ = [question for question in open_ if question not in ready]
    picks: list[Pick] = []
    left = budget
    while True:
        found = max(_candidates(open_, have, seconds, order, left), key=_claims_per_second, default=None)
        if found is None:
            return Choice(budget, tuple(picks), tuple(ready), tuple(open_), tuple(unknown))
        picks.append(found)
        left -= found.seconds
        have.update(found.cells)
        open_ = [question for question in open_ if question not in found.questions]


def _claims_per_second(pick: Pick) -> float:
    return len(pick.questions) / pick.seconds


def _candidates(
    asked: Sequence[Question], have: set[str], seconds: Mapping[str, float | None], order: Sequence[Cell], left: float
) -> Iterator[Pick]:
    """Yield what completes each open claim and costs no more than ``left``."""
    for missing in dict.fromkeys(question.cells - have for question in asked):
        cost = sum(seconds[name] or 0.0 for name in missing)
        if cost <= left:
            done = tuple(question for question in asked if question.cells <= have | missing)
            yield Pick(tuple(cell.name for cell in order if cell.name in missing), cost, done)


def _questions(
    paper: Paper, claim: Claim, index: Mapping[tuple[str, str, str, str], list[PlannedValue]]
) -> Iterator[Question]:
    test = claim.test
    own = [index.get((paper.paper, test.table, test.row, column), []) for column in test.columns]
    if not all(own):
        return
    named = sorted({value.variant for values in own for value in values if value.variant is not None})
    for variant in named or [None]:
        cells = _cells(paper, claim, index, own, variant)
        if cells:
            yield Question(paper.paper, claim.id, variant, frozenset(cells))


def _cells(
    paper: Paper, claim: Claim, index: Mapping, own: Sequence[list[PlannedValue]], variant: str | None
) -> set[str]:
    """Return the names of the cells that a claim compares, none where the benchmark leaves one out."""
    test, table = claim.test, paper.table(claim.test.table)
    rivals = test.than or tuple(row for row in table.row_ids if row != test.row)
    needed: set[str] = set()
    for column, values in zip(test.columns, own, strict=True):
        pairs = []
        for rival in rivals:
            if table.value(rival, column).kind not in ("number", "unprinted"):
                continue
            others = index.get((paper.paper, test.table, rival, column))
            if not others or others[0].reason == NOT_IN_BENCHMARK:
                return set()
            if others[0].cell is not None:  # a method that is not defined there is left out of the claim
                pairs.append(others[0].cell)
        ours = next((value for value in values if value.variant == variant), values[0]).cell
        if pairs and ours is None:
            return set()
        for cell in (*pairs, ours) if pairs else ():
            needed |= {cell.name, *(parent.name for _, parent in cell.parents)}
    return needed
