"""Write the figures of a benchmark: what is drawn as CSV, and pictures of it as SVG and PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Picture

from counterpoise import files
from counterpoise.components import component
from counterpoise.errors import UserError
from counterpoise.papers.figures import Figure, FigureNumber
from counterpoise.papers.paper import Paper
from counterpoise.reporting.figures.interface import FigureKind, Numbers
from counterpoise.reporting.figures.style import STYLE, spread
from counterpoise.results.layout import LayoutFigure
from counterpoise.results.table import Results


def draw_figures(results: Results, papers: Mapping[str, Paper], folder: Path) -> list[str]:
    """Write ``figures/<paper>/<figure>`` as ``.csv``, ``.svg``, ``.png`` and ``.txt`` (the caption) below ``folder``.

    A figure that cannot be drawn leaves no file and does not keep the others from being drawn.

    Args:
        papers: every paper that a figure of the layout belongs to, by name.

    Returns:
        One line for each figure that could not be drawn, with the reason.
    """
    problems = []
    for place in results.layout.figures:
        try:
            if place.paper not in papers:
                raise UserError(f"there is no paper '{place.paper}'")
            paper = papers[place.paper]
            drawn = DrawnFigure(results, paper, place, paper.figure(place.figure))
            drawn.write(Path(folder) / "figures" / place.paper / place.figure)
        except Exception as error:  # whatever is wrong with one figure, the others are drawn
            problems.append(f"figure {place.id}: {_reason(error)}")
    return problems


def draw_tables(results: Results, papers: Mapping[str, Paper], folder: Path) -> list[str]:
    """Draw ``tables/<paper>/<table>`` as ``.svg`` and ``.png`` below ``folder``: every seed, our mean, what is printed.

    Returns:
        One line for each table that could not be drawn. One without a number of ours has no picture and no line.
    """
    problems = []
    for table in results.layout.tables:
        figure = Figure(
            paper=table.paper,
            name=table.table,
            title=papers[table.paper].table(table.table).title,
            kind="dots",
            table=table.table,
        )
        paper = papers[table.paper].model_copy(update={"figures": {figure.name: figure}})
        place = LayoutFigure(paper=table.paper, figure=table.table)
        try:
            drawn = DrawnFigure(results, paper, place, figure)
            with mpl.rc_context(STYLE):
                save(drawn.picture(), Path(folder) / "tables" / table.paper / table.table, dpi=150)
        except NothingToDraw:
            continue
        except Exception as error:  # as for figures: one picture does not keep the others from being drawn
            problems.append(f"picture of table {table.paper}.{table.table}: {_reason(error)}")
    return problems


class NothingToDraw(UserError):
    """No finished run gives anything to draw."""


class DrawnFigure:
    """A figure with its rows.

    Raises:
        UserError: its kind or a setting is unknown, a run's file lacks something, or there is nothing to draw.
    """

    def __init__(self, results: Results, paper: Paper, place: LayoutFigure, figure: Figure) -> None:
        self.results, self.paper, self.place, self.figure = results, paper, place, figure
        self.kind = load_kind(figure)
        self.frame = self.kind.rows(results, place, paper)
        if self.frame.empty:
            raise NothingToDraw("no finished run gives anything to draw")

    def write(self, base: Path) -> None:
        """Write the rows as ``<base>.csv``, pictures of them as ``.svg`` and ``.png``, and the caption as ``.txt``."""
        files.write_text(base.with_name(f"{base.name}.csv"), self.frame.to_csv(index=False, float_format="%.12g"))
        files.write_text(base.with_name(f"{base.name}.txt"), f"{self.caption()}\n")
        with mpl.rc_context(STYLE):
            save(self.picture(), base, dpi=200)

    def picture(self) -> Picture:
        """Return the picture, with its title above and :meth:`caption` below."""
        picture = Picture(figsize=(6.4, 4.0), layout="constrained")
        self.kind.draw(picture, self.frame, self.figure)
        if picture.legends:
            # A legend stands above the axes: a title of the picture's own would lie on it.
            picture.legends[0].set_title(self.figure.title, {"size": 10})
        else:
            picture.suptitle(self.figure.title, fontsize=10)
        # A line holds about 15 characters of this size per inch.
        width = int(15 * picture.get_figwidth())
        lines = [line for text in self.caption().splitlines() for line in textwrap.wrap(text, width)]
        picture.supxlabel("\n".join(lines), fontsize=7.5)
        return picture

    def caption(self) -> str:
        """Return the lines under the figure: what ran, what the figure chooses, and the paper's own numbers."""
        what = "; ".join(self._what_ran())
        chosen = "; ".join(self.figure.chosen(self._settings()))
        numbers = "; ".join(self._numbers())
        said = f"In numbers{' [as printed]' if self._is_comparable() else ''}: {numbers}." if numbers else ""
        lines = [what, f"Chosen here: {chosen}." if chosen else "", said]
        return "\n".join(line for line in lines if line)

    def _what_ran(self) -> Iterator[str]:
        place, layout = self.place, self.results.layout
        cells = [layout.cells[series.cell] for series in place.series if series.cell is not None]
        if cells:
            yield f"{cells[0].dataset}, {cells[0].model}, {cells[0].protocol}"
        if "seed" in self.frame:
            drawn = [set(part) for _, part in self.frame.groupby("method", sort=False)["seed"]]
            together = sorted(set().union(*drawn))
            yield f"seeds {', '.join(map(str, together))}"
            planned = set(layout.seeds)
            for label, part in self.frame.groupby("method", sort=False)["seed"]:
                if set(part) != planned:
                    yield f"{label}: {part.nunique()} of {len(planned)} seeds"
        if not self._is_comparable():
            yield "stand-in data: not comparable with the paper"
        seen = set(self.frame.get("method", ())) | self.kind.without_rows()
        for series in place.series:
            if series.cell is None:
                yield f"{series.label}: {series.reason}"
            elif series.label not in seen:
                yield f"{series.label}: no finished run"
        if place.note:
            yield place.note

    def _is_comparable(self) -> bool:
        """Whether nothing that is drawn is of a stand-in: neither the figure's runs nor its table's values."""
        drawn = self.results.layout.values_of(self.figure.paper, self.figure.table) if self.figure.table else []
        return not self.place.stand_in and not any(value.stand_in for value in drawn if value.cell is not None)

    def _settings(self) -> dict[str, Any]:
        settings = component("figure_kind", self.figure.kind).resolve(self.figure.settings, self.figure.name)
        measure = self.figure.measure
        if measure is not None:
            settings |= component("measurement", measure.name).resolve(measure.settings, self.figure.name)
        return settings

    def _numbers(self) -> Iterator[str]:
        """Our mean of each number that the paper prints, and the printed one where the two may be compared."""
        if self.figure.printed:
            ours = self.kind.numbers(self.frame, self.results, self.place, self.paper)
            for number in self.figure.printed:
                yield _number_line(number, ours, self._is_comparable())


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def load_kind(figure: Figure) -> FigureKind:
    """Return the kind of a figure with the figure's settings; UserError where one of them is unknown."""
    where = f"figure {figure.paper}.{figure.name}"
    kind = component("figure_kind", figure.kind, f"{where}: kind")
    return kind.load()(**kind.resolve(figure.settings, f"{where}: settings"))


def save(picture: Picture, base: Path, dpi: int) -> None:
    """Write a picture as ``<base>.svg`` and ``<base>.png``; equal pictures give equal bytes."""
    for suffix in (".svg", ".png"):
        image = io.BytesIO()
        dated = {"Date": None} if suffix == ".svg" else {}
        picture.savefig(image, format=suffix[1:], dpi=dpi, bbox_inches="tight", metadata=dated)
        files.write_bytes(base.with_name(f"{base.name}{suffix}"), image.getvalue())


def _number_line(number: FigureNumber, ours: Numbers, comparable: bool) -> str:
    """Return ``series, quantity: ours [printed]``."""
    values = list(ours.get((number.series, number.quantity), {}).values())
    mean = f"{sum(values) / len(values):.4g}" if values else "–"
    if len(values) > 1:
        mean += f" ± {spread(values):.2g}"
    printed = f" [{'about ' if number.about else ''}{number.value}]" if comparable else ""
    return f"{number.series}, {number.quantity.replace('_', ' ')}: {mean}{printed}"
