"""A paper as data, read from ``configs/papers/<paper>/`` and checked as a whole.

``paper.yaml`` names the paper, its margins and its tables; each table has a file of its own; ``claims.yaml`` and
``figures.yaml`` have the rest. Which papers there are is which folders have a ``paper.yaml``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from counterpoise.errors import UserError, suggest
from counterpoise.metrics import METRICS
from counterpoise.papers.claims import Claim, ClaimsFile, ClaimTest, LeftOut
from counterpoise.papers.figures import Figure, FiguresFile
from counterpoise.papers.head import OWN, PaperHead
from counterpoise.papers.printed import UNPRINTED, PrintedValue
from counterpoise.papers.tables import Column, ColumnGroup, PaperTable, Row
from counterpoise.path_names import SafeName
from counterpoise.validation import load_model, load_yaml, validate

__all__ = [
    "UNPRINTED",
    "Claim",
    "ClaimTest",
    "Column",
    "ColumnGroup",
    "Figure",
    "LeftOut",
    "Paper",
    "PaperNumber",
    "PaperTable",
    "PrintedValue",
    "Row",
    "load_paper",
    "paper_names",
    "printed_values",
    "short_title",
]


class _PaperFile(PaperHead):
    tables: tuple[SafeName, ...]


class Paper(PaperHead):
    """A paper with its tables and figures, by name in the paper's order, and its claims.

    ``left_out`` are the sentences that no experiment could bear out.
    """

    tables: dict[str, PaperTable]
    claims: tuple[Claim, ...]
    left_out: tuple[LeftOut, ...] = ()
    figures: dict[str, Figure] = Field({})

    def table(self, name: str) -> PaperTable:
        """Return a table by its name; UserError with the nearest name where there is none."""
        if name not in self.tables:
            raise UserError(f"{self.paper}: there is no table '{name}'{suggest(name, self.tables)}")
        return self.tables[name]

    def figure(self, name: str) -> Figure:
        """Return a figure by its name; UserError with the nearest name where there is none."""
        if name not in self.figures:
            raise UserError(f"{self.paper}: there is no figure '{name}'{suggest(name, self.figures)}")
        return self.figures[name]


class PaperNumber(NamedTuple):
    """A printed number of a table or figure with the words that identify it; ``value`` keeps the printed digits.

    ``unit`` is that of a table's column, ``marks`` what the typesetter gave the number: ``bold``, ``underline``,
    ``drop`` for the paper's (↓), and ``star`` where its row has one.
    """

    table: str
    method: str
    dataset: str
    metric: str
    value: str
    unit: str = ""
    marks: str = ""


def paper_names(configs: Path) -> list[str]:
    """Return the names of all papers, sorted."""
    return sorted(path.parent.name for path in (Path(configs) / "papers").glob("*/paper.yaml"))


def load_paper(configs: Path, paper: str) -> Paper:
    """Read ``<configs>/papers/<paper>/`` and check it as a whole.

    Raises:
        UserError: something is unknown, missing, of a wrong type or points nowhere; names file and key.
    """
    head = _load_head(configs, paper)
    folder = Path(configs) / "papers" / paper
    path = folder / "paper.yaml"
    for name in head.margins:
        _check_metric(head, name, f"{path}: 'margins'")
    tables = {name: _load_table(folder / f"{name}.yaml", head, name) for name in head.tables}
    claims_path = folder / "claims.yaml"
    claims = load_model(ClaimsFile, claims_path, "claims")
    _same(claims_path, "paper", claims.paper, paper)
    figures = _load_figures(folder / "figures.yaml", paper)
    result = Paper(**{**dict(head), "tables": tables, **dict(claims), "figures": figures})
    _check_claims(result, claims_path)
    _check_figures(result, folder / "figures.yaml")
    return result


def short_title(configs: Path, paper: str) -> str:
    """Return what a paper is called in short, without reading its tables."""
    return _load_head(configs, paper).short_title


def _load_head(configs: Path, paper: str) -> _PaperFile:
    home = Path(configs) / "papers"
    if paper == OWN:
        raise UserError(f"{home / OWN}: a paper cannot be called '{OWN}': tables of one's own are")
    known = paper_names(configs)
    if paper not in known:
        raise UserError(f"{home}: there is no paper '{paper}'{suggest(paper, known)}")
    path = home / paper / "paper.yaml"
    head = load_model(_PaperFile, path, "paper")
    _same(path, "paper", head.paper, paper)
    return head


def printed_values(paper: Paper) -> list[PaperNumber]:
    """Return every printed number of a paper's tables and figures; entries that are no numbers are left out.

    The dataset of a table's number is the column group's id, which tells apart one dataset used in several settings
    (``crema_d_scratch``, ``crema_d_pretrained``). A figure's number has none; its method is the series, its metric
    the quantity. What was read off a drawing is not printed.
    """
    numbers = [
        PaperNumber(
            table=table.table,
            method=row.method_title or row.id,
            dataset=table.group(row.id, column.id).id,
            metric=column.id.rpartition(".")[2],
            value=table.value(row.id, column.id).number or "",
            unit=column.unit,
            marks=" ".join([*table.value(row.id, column.id).marks, *(["star"] if row.star else [])]),
        )
        for table in paper.tables.values()
        for row in table.rows
        for column in table.columns
        if table.value(row.id, column.id).kind == "number"
    ]
    return numbers + [
        PaperNumber(table=figure.name, method=found.series, dataset="", metric=found.quantity, value=found.value)
        for figure in paper.figures.values()
        for found in figure.printed
        if not found.about
    ]


def _load_table(path: Path, head: PaperHead, name: str) -> PaperTable:
    data = load_yaml(path, "paper table")
    given = data.get("columns") if isinstance(data, dict) else None
    columns = given if isinstance(given, list) else []
    for number, column in enumerate(columns):
        metric = column.get("metric") if isinstance(column, dict) else None
        if isinstance(metric, str):
            _check_metric(head, metric, f"{path}: 'columns.{number}.metric'")
            known = head.metrics.get(metric) or METRICS[metric]
            # What the metric says is the default; a column may say otherwise.
            columns[number] = {"title": known.title, "unit": known.unit, "better": known.better, **column}
    table = validate(PaperTable, data, str(path))
    _same(path, "paper", table.paper, head.paper)
    _same(path, "table", table.table, name)
    for group in table.groups:
        if group.setup is not None and group.setup not in head.setups:
            hint = suggest(group.setup, head.setups)
            raise UserError(f"{path}: the group '{group.id}': there is no setup '{group.setup}'{hint}")
    return table


def _check_metric(head: PaperHead, name: str, where: str) -> None:
    known = (*METRICS, *head.metrics)
    if name not in known:
        raise UserError(f"{where} is '{name}', which is no metric{suggest(name, known)}")


def _load_figures(path: Path, paper: str) -> dict[str, Figure]:
    """Read a paper's figures; a paper without the file has none."""
    if not path.is_file():
        return {}
    file = load_model(FiguresFile, path, "figures")
    _same(path, "paper", file.paper, paper)
    return {figure.name: figure for figure in file.figures}


def _same(path: Path, key: str, value: str, expected: str) -> None:
    if value != expected:
        raise UserError(f"{path}: '{key}' is '{value}', must be '{expected}' as in the file's place")


def _check_claims(paper: Paper, path: Path) -> None:
    for claim in paper.claims:
        try:
            for table, column, other in claim.test.places:
                for name in (column, other):
                    paper.table(table).column(name)
                for row in claim.test.rows:
                    paper.table(table).row(row)
            known = [row for table in claim.test.tables for row in paper.table(table).row_ids]
            for row in claim.test.than:
                if row not in known:
                    raise UserError(f"there is no row '{row}'{suggest(row, known)}")
        except UserError as error:
            raise UserError(f"{path}: the claim '{claim.id}': {error}") from error


def _check_figures(paper: Paper, path: Path) -> None:
    for figure in paper.figures.values():
        if figure.table and figure.table not in paper.tables:
            hint = suggest(figure.table, paper.tables)
            raise UserError(f"{path}: the figure '{figure.name}': there is no table '{figure.table}'{hint}")
