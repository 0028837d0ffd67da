"""A table as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tabulate import tabulate

from counterpoise.errors import UserError, suggest
from counterpoise.reporting.tables.view import TableCell, TableView
from counterpoise.reporting.templating import environment
from counterpoise.results.rows import as_csv, field_text

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
    "≤": r"$\leq$",
    "Δ": r"$\Delta$",
    "τ": r"$\tau$",
    "…": r"\dots{}",
    "–": "--",
    "—": "---",
}
MARKS = "Bold is the best of ours in a column, underlined the runner-up."
WIDE = 6
"""More columns than this, or a third of it with spreads, do not fit half a page: ``table*`` spans both halves."""
HEADING = 12
"""Where a column's heading is broken beside spreads, in characters: about the width of a mean with its spread."""
TITLE = 24
"""Where a row's title is broken beside spreads, in characters."""


def as_markdown(view: TableView) -> str:
    """Return a pipe table with a title above and the notes below."""
    titles = [view.table.row_header, *(column.flat_title for column in view.columns)]
    rows = [[line.own_title, *(_markdown_cell(view, cell) for cell in line.cells)] for line in view.lines]
    cells = [[text.replace("|", "\\|") for text in row] for row in [titles, *rows]]
    body = tabulate(cells[1:], cells[0], tablefmt="pipe", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in (*view.notes, MARKS))
    return f"# {view.title}\n\n{body}\n\n{notes}\n"


def as_table_csv(view: TableView) -> str:
    """Return one line per row in the paper's order; per column mean, std, n, printed number and verdict."""
    parts = ("mean", "std", "n", "printed", "verdict")
    names = [f"{column.id}.{part}" for column in view.columns for part in parts]
    records = []
    for line in view.lines:
        record = {"row": line.id}
        for column, cell in zip(view.columns, line.cells, strict=True):
            values = (
                field_text(cell.mean),
                field_text(cell.std),
                str(cell.n),
                cell.paper.rstrip("↓"),
                str(cell.verdict),
            )
            record.update({f"{column.id}.{part}": value for part, value in zip(parts, values, strict=True)})
        records.append(record)
    return as_csv(("row", *names), records)


def as_latex(view: TableView, caption: str = "", label: str = "") -> str:
    """Return a ``table`` environment (``table*`` for a wide table) that needs the package booktabs alone.

    Args:
        caption: LaTeX of one's own; default: what the table is, with the benchmark's name.
        label: default ``tab:<paper>-<table>``.

    The notes come below the table; in the style ``paper``, where they would be in the way, as comments. In the style
    ``full`` an entry has up to three lines, ours, the number of seeds where some are missing, and the printed number,
    and titles are broken: in one line they run off the page.
    """
    full = view.style == "full"
    wide = len(view.columns) > (WIDE // 3 if full else WIDE)
    environment_name = "table*" if wide else "table"
    headings = [map(_latex, textwrap.wrap(c.own_title, HEADING) if full else [c.own_title]) for c in view.columns]
    lines = [
        "% Needs \\usepackage{booktabs}.",
        *(f"% {note}" for note in (*view.notes, MARKS) if not full),
        f"\\begin{{{environment_name}}}",
        "  \\centering",
        f"  \\caption{{{caption or _caption(view)}}}",
        f"  \\label{{{label or f'tab:{view.paper.paper}-{view.table.table}'}}}",
        *(["  \\footnotesize" if full else "  \\small", "  \\setlength{\\tabcolsep}{4pt}"] if wide else []),
        f"  \\begin{{tabular}}{{l{'c' * len(view.columns)}}}",
        "    \\toprule",
        *(line for level in view.header() for line in _latex_header(level)),
        *_latex_rows([_latex(view.table.row_header)], headings),
        "    \\midrule",
        *(
            row
            for line in view.lines
            for row in _latex_rows(
                [_latex(part) for part in (textwrap.wrap(line.own_title, TITLE) if full else [line.own_title])],
                _latex_cells(view, line.cells),
            )
        ),
        "    \\bottomrule",
        "  \\end{tabular}",
    ]
    if full:
        lines.append("  \\par\\smallskip\\raggedright\\footnotesize")
        lines += [f"  {_latex(note)}\\par" for note in (*view.notes, MARKS)]
    return "\n".join([*lines, f"\\end{{{environment_name}}}"]) + "\n"


def as_html(view: TableView) -> str:
    """Return a page of its own, without any link to elsewhere."""
    return environment().get_template("table_page.html.j2").render(view=view)


FORMATS: Mapping[str, Callable[[TableView], str]] = {
    "md": as_markdown,
    "csv": as_table_csv,
    "tex": as_latex,
    "html": as_html,
}
"""Writers by the suffix of the file that each fills."""


def table_text(view: TableView, form: str, *, caption: str = "", label: str = "") -> str:
    """Return a table in one format, by name; caption and label are LaTeX's.

    Raises:
        UserError: there is no such format, or it has no caption.
    """
    if form not in FORMATS:
        raise UserError(f"there is no format '{form}'; must be one of {', '.join(FORMATS)}{suggest(form, FORMATS)}")
    if form == "tex":
        return as_latex(view, caption, label)
    if caption or label:
        raise UserError(f"the format '{form}' has neither caption nor label of one's own; only 'tex' has")
    return FORMATS[form](view)


def _caption(view: TableView) -> str:
    if view.paper.is_own:
        return _latex(f"{view.title}, benchmark {view.benchmark}.")
    return _latex(f"{view.table.title}: {view.name}, run again with the benchmark {view.benchmark}.")


def cell_text(view: TableView, cell: TableCell) -> str:
    """Return our part of a cell in the view's style."""
    return cell.as_printed if view.style == "paper" else cell.ours


def _markdown_cell(view: TableView, cell: TableCell) -> str:
    ours = cell_text(view, cell)
    text = {"best": f"**{ours}**", "runner-up": f"<u>{ours}</u>"}.get(cell.mark, ours)
    return f"{text} [{cell.paper}]" if cell.paper and view.style == "full" else text


def _latex_cells(view: TableView, cells: Sequence[TableCell]) -> Iterator[list[str]]:
    """Yield the lines of each entry of a row."""
    for cell in cells:
        number, _, seeds = cell_text(view, cell).partition("(")  # "86.25 ± 0.10 (n = 2, others failed)"
        ours = _latex(number.strip())
        marked = {"best": f"\\textbf{{{ours}}}", "runner-up": f"\\underline{{{ours}}}"}.get(cell.mark, ours)
        below = seeds.rstrip(")").split(", ") if seeds else []
        below += [f"[{cell.paper}]"] if cell.paper and view.style == "full" else []
        yield [marked, *map(_latex, below)]


def _latex_rows(title: Iterable[str], entries: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield rows of a ``tabular`` for one row of the table, whose title and entries may have several lines each."""
    # A column's entry is a list of its lines: transposed, the first lines of all columns, the second ones, ...
    for lines in itertools.zip_longest(title, *entries, fillvalue=""):
        yield f"    {' & '.join(lines)} \\\\"


def _latex_header(level: list[tuple[str, int]]) -> list[str]:
    cells = [""]
    rules = []
    at = 2  # the first column has the rows' titles
    for text, span in level:
        cells.append(f"\\multicolumn{{{span}}}{{c}}{{{_latex(text)}}}")
        if text:
            rules.append(f"\\cmidrule(lr){{{at}-{at + span - 1}}}")
        at += span
    return ["    " + " & ".join(cells) + r" \\", "    " + " ".join(rules)]


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
