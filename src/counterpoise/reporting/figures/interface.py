"""What a kind of figure is, and what all kinds share when they read results.

A kind is one file in ``kinds``: a class declared with :func:`counterpoise.declare.figure_kind` whose settings a
paper gives in its ``figures.yaml``. It is found by its name, there or through an entry point of the group
``counterpoise.figure_kinds``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Picture

from counterpoise.errors import UserError
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.run_files import read_run_file
from counterpoise.results.series import LARGEST
from counterpoise.results.table import Results, RunEntry

Numbers = dict[tuple[str, str], Mapping[int, float]]
"""(series, quantity) -> value by seed: what a figure says in numbers."""


class FigureKind:
    """Turns results into rows, rows into a picture, and says in numbers what a paper prints beside it."""

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        """Return one row per thing that is drawn; runs that did not complete give none.

        Columns ``method`` and ``seed`` say what a row is of, where it is of runs.

        Raises:
            UserError: a file of a run lacks what the figure needs.
        """
        raise NotImplementedError

    def numbers(self, frame: pd.DataFrame, results: Results, place: LayoutFigure, paper: Paper) -> Numbers:
        """Return the quantities of the drawn ``frame`` that a paper may print."""
        return {}

    def without_rows(self) -> set[str]:
        """Return the labels of series that others are drawn against and that have no rows of their own."""
        return set()

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        """Draw the rows into an empty picture; title and the text below it are added by the caller."""
        raise NotImplementedError


def by_seed(values: pd.Series) -> dict[int, float]:
    """Return a series that is indexed by seed as a plain mapping."""
    return {int(seed): float(value) for seed, value in values.items()}


def completed_runs(results: Results, place: LayoutFigure) -> Iterator[tuple[str, RunEntry]]:
    """Yield (label, run) of every run of a figure's series that completed."""
    for series in place.series:
        for run in results.runs_of[series.cell] if series.cell is not None else ():
            if run.status == "completed":
                yield series.label, run


def run_tables(results: Results, place: LayoutFigure, name: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame, str]]:
    """Yield ``<name>.csv``, or ``<name>.csv.gz``, of every completed run of a figure's series that has it.

    Each comes with the run as values for columns ``method`` and ``seed``, and with its name for errors.
    """
    for label, run in completed_runs(results, place):
        content = read_run_file(results.runs_folder / run.folder, f"{name}.csv", largest=LARGEST)
        if content is not None:
            where = f"{run.folder}/{name}.csv"
            try:
                yield {"method": label, "seed": run.seed}, pd.read_csv(io.BytesIO(content)), where
            except ValueError as error:  # a parser error is a ValueError
                raise UserError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error


def stacked(frames: Sequence[pd.DataFrame], *columns: str) -> pd.DataFrame:
    """Return rows of several runs in one frame with these columns."""
    return pd.concat(frames)[list(columns)] if frames else pd.DataFrame(columns=list(columns))


def columns_of(table: pd.DataFrame, names: tuple[str, ...], where: str) -> pd.DataFrame:
    """Return some columns of a run's file; UserError where one is not there."""
    for name in names:
        if name not in table.columns:
            raise UserError(f"{where}: has no column '{name}'; it has {', '.join(table.columns)}")
    return table.loc[:, list(names)]
