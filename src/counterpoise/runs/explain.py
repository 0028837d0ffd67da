"""What an explanation needs of the planner: a number's flips, and the results of their cells."""

from __future__ import annotations

from pathlib import Path

from counterpoise.errors import UserError, suggest
from counterpoise.planning.plan import Plan
from counterpoise.results.explained import Flip, Question
from counterpoise.results.names import find_values, value_name
from counterpoise.results.table import Results
from counterpoise.runs.collect import collect
from counterpoise.runs.layout import layout_of


def ask(plan: Plan, root: Path, name: str) -> Question:
    """Return the question that a number's name asks (see :func:`counterpoise.results.names.find_values`).

    Raises:
        UserError: there is no such number, it is several (one per variant), or nothing runs for it.
    """
    values = find_values(layout_of(plan, root), name)
    if len(values) > 1:
        names = [value_name(value) for value in values]
        raise UserError(f"{name}: is run in several variants: say which{suggest(names[0], names)}")
    (value,) = values
    if value.cell is None:
        raise UserError(f"{name}: nothing runs for it here, so nothing can be flipped: {value.reason}")
    # Results know cells by their names; all else is the planner's.
    flips = [
        Flip(**{**vars(flip), "cell": None if flip.cell is None else flip.cell.name})
        for flip in plan.flips(plan.cell(value.cell))
    ]
    return Question(value=value, cell=value.cell, flips=tuple(flips))


def collect_flips(plan: Plan, root: Path, question: Question) -> Results:
    """Return the results of the cells of a question's flips, with the plan's seeds: effects are paired over them.

    Raises:
        UserError: a run's files do not fit its record.
    """
    names = dict.fromkeys(flip.cell for flip in question.flips if flip.cell is not None)
    return collect(plan, root, cells=[plan.cell(name) for name in names])
