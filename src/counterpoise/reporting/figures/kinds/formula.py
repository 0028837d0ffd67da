"""A curve of a formula that the figure itself gives (MMPareto, Figure 3; MLB, Figure 2)."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray

from counterpoise.declare import figure_kind, setting
from counterpoise.errors import UserError
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind
from counterpoise.reporting.figures.style import line_style
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results

LONGEST = 500
"""Characters of a formula: it may come from a file that somebody else wrote."""


@figure_kind(name="formula", title="A formula")
class Formula(FigureKind):
    """One curve of the formula for each row of ``values``."""

    formula: str = setting("", doc="numbers, names, + - * / **, a if b > c else d, tanh, exp, log, sqrt, abs")
    variable: str = setting("x", doc="the name that runs along the axis")
    start: float = setting(0.0)
    stop: float = setting(1.0)
    points: int = setting(101, minimum=2, maximum=100_000)
    parameters: list[str] = setting([], doc="other names in the formula")
    values: list[list[float]] = setting([], doc="rows of their values, a curve each")
    marks: list[list[float]] = setting([], doc="points (x, y), each with a line to both axes")
    level: float | None = setting(None, doc="a horizontal line")
    x_title: str = setting("")
    y_title: str = setting("")

    def rows(self, results: Results, place: LayoutFigure, paper: Paper) -> pd.DataFrame:
        x = np.linspace(self.start, self.stop, self.points)
        curves = []
        for row in self.values or [[]]:
            if len(row) != len(self.parameters):
                raise UserError(f"values: {row} has {len(row)} numbers for {len(self.parameters)} parameters")
            named = dict(zip(self.parameters, map(np.float64, row), strict=True))
            y = np.broadcast_to(evaluate(self.formula, {self.variable: x, **named}), x.shape)
            curves.append(pd.DataFrame({**named, self.variable: x.round(9), "value": y}))
        return pd.concat(curves)

    def draw(self, picture: Picture, frame: pd.DataFrame, figure: Figure) -> None:
        axes = picture.subplots()
        curves = frame.groupby(self.parameters, sort=False) if self.parameters else [((), frame)]
        for place, (row, curve) in enumerate(curves):
            label = ", ".join(f"{_symbol(name)} = {value:g}" for name, value in zip(self.parameters, row, strict=True))
            axes.plot(curve[self.variable], curve["value"], label=label or None, **line_style(place))
        for x, y in self.marks:
            axes.axvline(x, color="grey", lw=0.8, ls="--")
            axes.axhline(y, color="grey", lw=0.8, ls="--")
            axes.annotate(f"{y:g} at {self.variable} = {x:g}", (x, y), (8, -14), textcoords="offset points", fontsize=8)
        if self.level is not None:
            axes.axhline(self.level, color="grey", lw=0.8)
        axes.set(xlabel=self.x_title or self.variable, ylabel=self.y_title or "value")
        if self.parameters:
            axes.legend()


def _symbol(name: str) -> str:
    """Return a parameter's name as mathematics: ``beta_max`` as a letter with an index."""
    letter, _, index = name.partition("_")
    greek = letter in ("alpha", "beta", "gamma", "delta", "epsilon", "lambda", "mu", "rho", "sigma", "tau")
    return f"${chr(92) if greek else ''}{letter}{'_{' + index + '}' if index else ''}$"


BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS = {"tanh": np.tanh, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs}


def evaluate(formula: str, names: Mapping[str, NDArray[np.float64] | np.float64]) -> NDArray[np.float64]:
    """Return the value of a formula: numbers, names, ``+ - * / **``, ``a if b > c else d``, and :data:`FUNCTIONS`.

    Everything is computed in float64, so that no formula takes long or much memory. Nothing is executed as Python.

    Raises:
        UserError: something else is in it, or a name is unknown.
    """
    if len(formula) > LONGEST:
        raise UserError(f"formula: has {len(formula)} characters; at most {LONGEST} are allowed")
    try:
        tree = ast.parse(formula, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"formula: '{formula}' cannot be read: {error}") from error
    with np.errstate(all="ignore"):
        return np.asarray(_value(tree, names), dtype=np.float64)


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return np.float64(number)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return BINARY[type(op)](_value(left, names), _value(right, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return COMPARISONS[type(op)](_value(left, names), _value(right, names))
        case ast.IfExp(test=test, body=body, orelse=other):
            return np.where(_value(test, names), _value(body, names), _value(other, names))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, names))
    known = ", ".join([*names, *FUNCTIONS])
    raise UserError(f"formula: '{ast.unparse(node)}' is not allowed; names and functions: {known}")
