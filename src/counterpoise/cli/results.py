"""Commands that show what came out: show, diff, report, table, trace, explain, audit, values.

Each brings ``results/<benchmark>/`` up to date first, or says that it is partial, and reads it.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.project import (
    DEFAULT_BENCHMARK,
    BenchmarkOption,
    JsonOption,
    RootOption,
    SetOption,
    find_root,
    other_benchmarks,
    packaged_project,
    project_or_packaged,
    request,
)
from counterpoise.errors import UserError, suggest

if TYPE_CHECKING:
    from counterpoise.papers.paper import Paper

PANEL = "Results"

app = typer.Typer()

RecordOption = Annotated[
    str | None, typer.Option("--record", "-r", help="a published record, by name or folder, in place of a benchmark")
]


@app.command(rich_help_panel=PANEL)
def show(
    record: RecordOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """What came out of a benchmark in a few sentences, and where its tables and report are."""
    from counterpoise.cli.closing import closing_lines
    from counterpoise.reporting.folding import print_lines

    if record is not None:
        from counterpoise.cli.records import record_folder

        folder = record_folder(record, root)
    else:
        from counterpoise.cli.derive import current_results
        from counterpoise.results.basis import results_folder

        asked = request(benchmark, settings, root)
        plan = asked.plan()
        current_results(plan, asked.root)
        folder = results_folder(asked.root, plan.benchmark.name)
    print_lines(closing_lines(folder))


@app.command(rich_help_panel=PANEL)
def diff(
    first: Annotated[str, typer.Argument(metavar="PAPER | A", help="a paper; or, with B, results")],
    second: Annotated[
        str | None, typer.Argument(metavar="[B]", help="results: a folder, a published record, or a Git revision")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A and B: any other number counts")] = False,
    as_json: JsonOption = False,
    record: RecordOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Compare results with a paper (one argument), or results B with results A (two).

    PAPER: exit code 0: something was compared and nothing deviates, 3: deviations, 4: refuted claims, 5: nothing was
    compared. A B: 0: nothing differs beyond seed noise, 3: a number does or is gone, 4: a claim has another verdict.
    """
    if second is not None:
        if record is not None:
            raise UserError("--record: belongs to a paper, as in 'diff mmpareto --record mosi'; A and B may be records")
        from counterpoise.judging.difference import difference
        from counterpoise.papers.paper import load_paper, paper_names
        from counterpoise.reporting.difference import print_difference
        from counterpoise.results.result_set import load_result_set

        home = find_root(root)
        a, b = load_result_set(first, home, like=second), load_result_set(second, home, like=first)
        changes = difference(a, b)
        configs = home / "configs"
        papers = {name: load_paper(configs, name) for name in paper_names(configs)}
        print_difference(changes, strict, papers=papers)
        raise typer.Exit(changes.exit_code(strict))
    if strict:
        raise UserError("--strict: belongs to two results, as in 'diff A B --strict'")
    from counterpoise.judging.compare import judge

    if record is not None:
        from counterpoise.cli.records import record_folder
        from counterpoise.publication.record import read_published

        published = read_published(record_folder(record, root))
        comparison = judge(_paper(published.folder, published.papers, first), published.results)
    else:
        from counterpoise.cli.derive import current_results

        asked = request(benchmark, settings, root)
        plan = asked.plan()
        paper = _paper(plan.path, plan.papers, first, lambda: other_benchmarks(asked.root, plan, first))
        comparison = judge(paper, current_results(plan, asked.root))
    if as_json:
        from counterpoise.files import json_text

        print(json_text(comparison.summary(), sort_keys=False), end="")
    else:
        from counterpoise.reporting.terminal import print_comparison

        print_comparison(comparison)
    raise typer.Exit(comparison.exit_code)


@app.command(rich_help_panel=PANEL)
def report(
    record: RecordOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Write results/<benchmark>/ from the runs that are finished: tables, comparison, figures and HTML report.

    With --record: the pages of a published record, from its data, in work/records/<name>/.
    """
    if record is not None:
        from counterpoise.cli.records import record_folder
        from counterpoise.publication.pages import write_pages

        print(write_pages(record_folder(record, root), (root or Path()) / "work/records"))
        return
    from counterpoise.cli.closing import closing_lines
    from counterpoise.cli.derive import write_benchmark
    from counterpoise.reporting.folding import print_lines
    from counterpoise.results.basis import results_folder

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    write_benchmark(plan, asked.root)
    print_lines(closing_lines(results_folder(asked.root, plan.benchmark.name)))


@app.command(rich_help_panel=PANEL)
def table(
    name: Annotated[str, typer.Argument(metavar="PAPER.TABLE", help="for example mmpareto.table3")],
    output_format: Annotated[str, typer.Option("--format", "-f", help="md, csv, tex or html")] = "md",
    style: Annotated[
        str, typer.Option("--style", help="full, or paper: the paper's columns and digits with our means alone")
    ] = "full",
    caption: Annotated[str, typer.Option("--caption", help="tex: a caption of your own, in LaTeX")] = "",
    label: Annotated[str, typer.Option("--label", help="tex: a label of your own")] = "",
    record: RecordOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Print a table as Markdown, CSV, LaTeX or HTML, to be pasted."""
    from counterpoise.judging.compare import judge
    from counterpoise.reporting.tables.formats import table_text
    from counterpoise.reporting.tables.view import view_table

    formats = ("md", "csv", "tex", "html")
    if output_format not in formats:
        raise UserError(f"--format {output_format}: unknown format{suggest(output_format, formats)}")
    if style not in ("full", "paper"):
        raise UserError(f"--style {style}: must be full or paper{suggest(style, ('full', 'paper'))}")
    paper, _, of_paper = name.partition(".")
    if record is not None:
        from counterpoise.cli.records import record_folder
        from counterpoise.publication.record import read_published

        published = read_published(record_folder(record, root))
        _check_table(published.folder, name, [f"{t.paper}.{t.table}" for t in published.results.layout.tables])
        results, papers = published.results, published.papers
    else:
        from counterpoise.cli.derive import current_results

        asked = request(benchmark, settings, root)
        plan = asked.plan()
        tables = [f"{paper}.{table}" for paper, table in plan.tables]
        _check_table(plan.path, name, tables, lambda: other_benchmarks(asked.root, plan, paper, of_paper))
        results, papers = current_results(plan, asked.root), plan.papers
    view = view_table(results, judge(papers[paper], results), of_paper)
    if style == "paper":
        view = view.in_style("paper")
    print(table_text(view, output_format, caption=caption, label=label), end="")


@app.command(rich_help_panel=PANEL)
def trace(
    name: Annotated[str, typer.Argument(help="paper.table.row.column; a variant as in row@released")],
    record: RecordOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Say what made a number: its runs, configuration, source, data, device and log, and how to redo it.

    For example mmpareto.table3.MMPareto.cg_mnist.accuracy.
    """
    from counterpoise.reporting.folding import print_lines
    from counterpoise.reporting.trace import trace_lines
    from counterpoise.results.names import find_values

    if record is not None:
        from counterpoise.cli.records import record_folder, redo_of_record
        from counterpoise.publication.record import read_published

        published = read_published(record_folder(record, root))
        runs = [run.model_copy(update={"redo": redo_of_record(record, run)}) for run in published.results.runs]
        results, papers = dataclasses.replace(published.results, runs=tuple(runs)), published.papers
    else:
        from counterpoise.cli.derive import current_results
        from counterpoise.runs.layout import layout_of

        asked = request(benchmark, settings, root)
        plan = asked.plan()
        try:
            find_values(layout_of(plan, asked.root), name)  # a wrong name is said before anything is written
        except UserError as error:
            paper, table = (*name.split("."), "")[:2]
            missing = table and (paper, table) not in plan.tables
            raise UserError(f"{error}{other_benchmarks(asked.root, plan, paper, table) if missing else ''}") from error
        results, papers = current_results(plan, asked.root), plan.papers
    for value in find_values(results.layout, name):
        print_lines(trace_lines(results, papers[value.paper], value))


@app.command(rich_help_panel=PANEL)
def explain(
    name: Annotated[str, typer.Argument(help="paper.table.row.column, as in 'counterpoise trace'")],
    planned: Annotated[bool, typer.Option("--plan", help="say what would run, and stop")] = False,
    write: Annotated[bool, typer.Option("--write", help="also write results/explain/<benchmark>/NAME.*")] = False,
    record: RecordOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Say what each registered factor, flipped by itself, does to a number, and what of its gap it recovers.

    From finished runs; 'counterpoise run results/explain/<benchmark>/NAME.md' does the missing ones.
    """
    from counterpoise.reporting.folding import print_lines
    from counterpoise.runs.explain import ask, collect_flips

    if record is not None:
        if planned or write:
            raise UserError("--record: a record is not planned or written; leave --plan and --write out")
        from counterpoise.cli.records import record_folder
        from counterpoise.publication.explanations import explanations_of
        from counterpoise.publication.record import read_published
        from counterpoise.reporting.explain import lines

        for explanation in explanations_of(read_published(record_folder(record, root)), name):
            print_lines(lines(explanation))
        return
    asked = request(benchmark, settings, root)
    plan = asked.plan()
    question = ask(plan, asked.root, name)
    if planned:
        from counterpoise.cli.overview import question_lines

        print_lines(question_lines(plan, asked.root, question))
        return
    from counterpoise.judging.explain import explain as find
    from counterpoise.reporting.explain import lines, write_explanation
    from counterpoise.results.explained import explanations_folder
    from counterpoise.runs.collect import collect

    results, flipped = collect(plan, asked.root), collect_flips(plan, asked.root, question)
    explanation = find(question, plan.papers[question.value.paper], results, flipped)
    print_lines(lines(explanation))
    if write:
        for path in write_explanation(explanations_folder(asked.root, plan.benchmark.name), explanation):
            print(path)


@app.command(rich_help_panel=PANEL)
def audit(paper: Annotated[str, typer.Argument(help="a paper of configs/papers")], root: RootOption = None) -> None:
    """Check a paper's printed numbers for internal consistency: test sizes, repeated values, counts, marks.

    In a project, results/audit/PAPER.md has it, too.
    """
    from counterpoise.judging.audit import audit_paper
    from counterpoise.papers.paper import load_paper
    from counterpoise.reporting.audit import as_markdown, audit_lines, write_audit
    from counterpoise.reporting.folding import print_lines

    home = project_or_packaged(root)
    loaded = load_paper(home / "configs", paper)
    if root is not None or home != packaged_project():  # what comes with the package is not written to
        write_audit(loaded, home)
    findings = audit_paper(loaded)
    if sys.stdout.isatty():
        print_lines(audit_lines(loaded, findings))
    else:
        print(as_markdown(loaded, findings), end="")


@app.command(rich_help_panel=PANEL)
def values(
    paper: Annotated[str, typer.Argument(help="a paper of configs/papers")],
    output_format: Annotated[str, typer.Option("--format", "-f", help="csv or table")] = "table",
    root: RootOption = None,
) -> None:
    """Print every number that a paper prints, as the configs have it."""
    from counterpoise.papers.paper import PaperNumber, load_paper, printed_values

    if output_format not in ("csv", "table"):
        raise UserError(f"--format {output_format}: unknown format{suggest(output_format, ('csv', 'table'))}")
    rows = printed_values(load_paper(project_or_packaged(root) / "configs", paper))
    if output_format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(PaperNumber._fields)
        writer.writerows(rows)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table()
    for name in PaperNumber._fields:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(str(value)) for value in row))  # as it stands: markup has brackets of its own
    Console().print(shown)


def _paper(where: Path, papers: Mapping[str, Paper], name: str, elsewhere: Callable[[], str] = str) -> Paper:
    if name not in papers:
        raise UserError(f"{where}: no table of paper '{name}' in it{suggest(name, papers)}{elsewhere()}")
    return papers[name]


def _check_table(where: Path, name: str, tables: Sequence[str], elsewhere: Callable[[], str] = str) -> None:
    if name not in tables:
        raise UserError(f"{where}: table '{name}' is not in it{suggest(name, tables)}{elsewhere()}")
