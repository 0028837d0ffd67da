"""Write a paper's table with our numbers as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

from pathlib import Path

from tabulate import tabulate

from counterpoise.errors import UserError, suggest
from counterpoise.files import write_text
from counterpoise.judging.compare import as_csv
from counterpoise.planning.plan import Plan
from counterpoise.reporting.layout import TableCell, TableColumn, TableView, lay_out
from counterpoise.reporting.templating import environment, own_title
from counterpoise.results.results import read_results

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "−": r"$-$",
    "α": r"$\alpha$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "–": "--",
    "—": "---",
}


def write_table(plan: Plan, root: Path, paper: str, table: str) -> list[Path]:
    """Write ``results/tables/<paper>/<table>.{md,csv,tex,html}`` under ``root`` and return the paths.

    Raises:
        UserError: there is no such paper or table in the benchmark, or a result file is broken or foreign.
    """
    texts = table_texts(view_table(plan, Path(root), paper, table))
    home = Path(root) / "results" / "tables" / paper
    for suffix, text in texts.items():
        write_text(home / f"{table}{suffix}", text)
    return [home / f"{table}{suffix}" for suffix in texts]


def table_texts(view: TableView) -> dict[str, str]:
    """Return the text of a table in every format, by the suffix of its file."""
    return {".md": as_markdown(view), ".csv": as_table_csv(view), ".tex": as_latex(view), ".html": as_html(view)}


def view_table(plan: Plan, root: Path, paper: str, table: str) -> TableView:
    """Read the runs that a table needs and lay it out."""
    if paper not in plan.papers:
        raise UserError(f"{plan.path}: no table of paper '{paper}' in this benchmark{suggest(paper, plan.papers)}")
    source = plan.papers[paper]
    cells = {
        value.cell.name: value.cell
        for value in plan.values
        if (value.paper, value.table) == (paper, table) and value.cell is not None
    }
    return lay_out(plan, read_results(plan, root, cells.values()), source, source.table(table))


def as_markdown(view: TableView) -> str:
    """Return a pipe table with a title above and the notes below."""
    titles = [view.table.row_header, *(_flat_title(column) for column in view.columns)]
    rows = [[_line_title(line.title, line.added), *map(_markdown_cell, line.cells)] for line in view.lines]
    body = tabulate(rows, [_escape_pipe(title) for title in titles], tablefmt="pipe", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in view.notes)
    return f"# {view.title}\n\n{body}\n\n{notes}\n"


def as_table_csv(view: TableView) -> str:
    """Return one line per row in the paper's order; per column mean, std, n, printed number and verdict."""
    parts = ("mean", "std", "n", "printed", "verdict")
    names = [f"{column.id}.{part}" for column in view.columns for part in parts]
    records = []
    for line in view.lines:
        record = {"row": line.id}
        for column, cell in zip(view.columns, line.cells, strict=True):
            printed = cell.paper.rstrip("↓")
            values = (_number(cell.mean), _number(cell.std), str(cell.n), printed, str(cell.verdict))
            record.update({f"{column.id}.{part}": value for part, value in zip(parts, values, strict=True)})
        records.append(record)
    return as_csv(("row", *names), records)


def as_latex(view: TableView) -> str:
    """Return a ``table`` environment; the document needs the packages booktabs and graphicx."""
    titles = [_latex(view.table.row_header), *(_latex(own_title(column)) for column in view.columns)]
    rows = [[_latex(_line_title(line.title, line.added)), *map(_latex_cell, line.cells)] for line in view.lines]
    lines = [
        "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{_latex(view.title)}.}}",
        "  \\resizebox{\\linewidth}{!}{%",
        f"  \\begin{{tabular}}{{l{'c' * len(view.columns)}}}",
        "    \\toprule",
        *(line for level in view.header() for line in _latex_header(level)),
        f"    {' & '.join(titles)} \\\\",
        "    \\midrule",
        *(f"    {' & '.join(row)} \\\\" for row in rows),
        "    \\bottomrule",
        "  \\end{tabular}}",
        "  \\par\\smallskip\\raggedright\\footnotesize",
        *(f"  {_latex(note)}\\par" for note in view.notes),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def as_html(view: TableView) -> str:
    """Return a page of its own, without any link to elsewhere."""
    return environment().get_template("table_page.html.j2").render(view=view)


def _flat_title(column: TableColumn) -> str:
    return " ".join([*column.heading, own_title(column)])


def _line_title(title: str, added: bool) -> str:
    return f"{title} (not in the paper)" if added else title


def _markdown_cell(cell: TableCell) -> str:
    text = {"best": f"**{cell.ours}**", "runner-up": f"<u>{cell.ours}</u>"}.get(cell.mark, cell.ours)
    return _escape_pipe(f"{text} [{cell.paper}]" if cell.paper else text)


def _latex_cell(cell: TableCell) -> str:
    ours = _latex(cell.ours)
    text = {"best": f"\\textbf{{{ours}}}", "runner-up": f"\\underline{{{ours}}}"}.get(cell.mark, ours)
    return f"{text} {{[}}{_latex(cell.paper)}{{]}}" if cell.paper else text


def _latex_header(level: list[tuple[str, int]]) -> list[str]:
    cells = [""]
    rules = []
    at = 2
    for text, span in level:
        cells.append(f"\\multicolumn{{{span}}}{{c}}{{{_latex(text)}}}")
        if text:
            rules.append(f"\\cmidrule(lr){{{at}-{at + span - 1}}}")
        at += span
    return ["    " + " & ".join(cells) + r" \\", "    " + " ".join(rules)]


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _escape_pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
