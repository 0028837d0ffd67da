"""What an explanation needs of the planner: a number's flips, and the results of their cells."""

from __future__ import annotations

from pathlib import Path

from counterpoise.errors import UserError, suggest
from counterpoise.planning.plan import Plan
from counterpoise.results.explained import Flip, Question, explanations_folder, read_explanations
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


def collect_written_flips(plan: Plan, root: Path) -> Results:
    """Return the results of the cells of all flips that written explanations of a benchmark name.

    A cell that the plan does not have any more, because configuration or source changed since, is left out.

    Raises:
        UserError: an explanation is torn, or a run's files do not fit its record.
    """
    written = read_explanations(explanations_folder(root, plan.benchmark.name), plan.benchmark.name).values()
    named = set().union(*(explanation.flipped_cells for explanation in written))
    return collect(plan, root, cells=[plan.cell(name) for name in sorted(named) if name in plan.flipped])
