"""What is shown of a table of one's own: which row is best and by what right, and no word of a paper."""

from __future__ import annotations

import io

import numpy as np
import pytest
from html_page import parse
from own_tables import finish, own_study
from rich.console import Console

from counterpoise.reporting.outcome import sentence, table_headline, table_summary
from counterpoise.reporting.tables.formats import as_latex, as_markdown, as_table_csv
from counterpoise.reporting.tables.view import view_table
from counterpoise.reporting.terminal import print_comparison
from counterpoise.reporting.write import write_derived

LEVELS = {"joint": 0.70, "uniform": 0.705, "mmpareto": 0.80}


@pytest.fixture(scope="module")
def study():
    return finish(own_study(), LEVELS)


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    assert write_derived(folder, study.results, [study.compare()]) == []
    return folder


def test_the_sentence_says_which_row_is_best_and_that_no_paper_was_compared(study):
    said = sentence(study.compare())
    assert said.startswith("Own tables: 3 methods on 2 datasets; nothing of a paper was compared.")
    assert "My data accuracy: MMPareto is best, better than both others (P(best) 1.00, 5 seeds)" in said


def test_a_tile_says_which_row_is_best_and_no_more(study):
    said = table_headline(study.compare(), "methods")
    assert said.startswith("My data accuracy: MMPareto is best. ")
    assert "P(best)" not in said
    close = finish(own_study(), {"joint": 0.70, "uniform": 0.701}, spread=0.02).compare()
    assert "has the best mean" in table_headline(close, "methods")
    assert "is best" not in table_headline(close, "methods")


def test_a_row_that_is_not_told_apart_is_not_called_best():
    said = table_summary(finish(own_study(), {"joint": 0.70, "uniform": 0.701}, spread=0.02).compare(), "methods")
    assert "has the best mean, not shown to be better than the other (P(best)" in said
    assert "is best" not in said


def test_where_nothing_is_better_no_sentence_reads_as_if_something_were():
    levels = {"joint": 0.70, "uniform": 0.701, "mmpareto": 0.702}
    study = finish(own_study(), levels, spread=0.02)
    rng = np.random.default_rng(0)
    for cell in study.cells:
        for seed in study.layout.seeds:
            study.correct[cell.name, seed, study.layout.selection, "joint"] = rng.random(1000) < 0.7
    comparison = study.compare()
    assert any(pair.new_examples for pair in comparison.pairs), "new examples were asked about"
    said = table_summary(comparison, "methods")
    assert "has the best mean, not shown to be better than any of the 2 others (P(best)" in said
    assert "none" not in said
    assert "too" not in said


def test_without_runs_it_says_so():
    comparison = own_study().compare()
    assert sentence(comparison).startswith("Own tables: No run has finished; nothing of a paper was compared.")
    assert "fewer than two rows have run" in table_summary(comparison, "methods")


def test_the_table_has_rows_columns_and_verdicts_in_its_notes_and_no_printed_number(study):
    view = view_table(study.results, study.compare(), "methods")
    text = as_markdown(view)
    assert text.startswith("# Methods on my data\n")
    assert "| MMPareto " in text
    assert "MMPareto is best, better than both others" in text
    assert "after Holm over the table" in text
    assert "the paper" not in text
    assert "(ours)" not in text
    assert "not in the paper" not in as_latex(view)
    assert "tab:own-methods" in as_latex(view)
    assert as_table_csv(view).splitlines()[0].startswith("row,mine.accuracy.mean,mine.accuracy.std")


def test_the_terminal_shows_values_pairs_and_the_exit_code(study):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_comparison(study.compare(), console)
    said = console.file.getvalue()
    assert "3 methods on 2 datasets; nothing of a paper was compared." in said
    assert "exit code 5: nothing was compared with a paper" in said
    assert said.count("against") == 2 * 2
    assert max(map(len, said.splitlines())) <= 80


def test_the_report_has_no_page_that_is_about_papers(folder):
    report = folder / "report"
    names = {path.stem for path in report.glob("*.html")}
    assert names >= {"index", "tables", "cells", "environment"}
    assert not names & {"numbers", "claims", "audit"}
    index = parse((report / "index.html").read_text())
    assert "reproduce" not in index.text
    assert "nothing of a paper was compared" in index.text
    for page in report.rglob("*.html"):
        for link in parse(page.read_text()).all("a"):
            path = (link.get("href") or "").partition("#")[0]
            assert not path or (page.parent / path).resolve().is_file(), f"{page.name}: {path}"


def test_its_page_has_every_two_rows_side_by_side(folder, study):
    page = parse((folder / "report/tables/own.methods.html").read_text())
    (table,) = [found for found in page.all("table") if found.get("id") == "pairs"]
    rows = table.all("tbody")[0].all("tr")
    assert len(rows) == len(study.compare().pairs) == 6
    # found by either row in either place
    assert {(row.get("data-a"), row.get("data-a-or")) for row in rows} == {
        (row.get("data-b-or"), row.get("data-b")) for row in rows
    }
    assert "better" in rows[-1].text
    assert (folder / "comparison/own.pairs.csv").read_text().count("\n") == 7


def test_a_row_that_a_benchmark_adds_is_in_the_plots_and_notes_of_the_papers_table(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(5))
    rng = np.random.default_rng(1)
    for method, level in {"uniform": 0.75, "joint": 0.60, "mmpareto": 0.80}.items():
        study.runs(method, list(level + 0.002 * rng.standard_normal(5)))
    value = next(v for v in study.layout.values if (v.row, v.column) == ("MMPareto", "cg_mnist.accuracy"))
    added = value.model_copy(update={"row": "Mine"})
    study.layout = study.layout.model_copy(update={"values": (*study.layout.values, added)})
    comparison = study.compare()
    notes = view_table(study.results, comparison, "table3").notes
    (note,) = [note for note in notes if note.startswith("Mine (not in the paper): ")]
    assert "better than 2 and not told apart from 1 of 3 rows" in note
    write_derived(tmp_path, study.results, [comparison])
    page = parse((tmp_path / "report/tables/mmpareto.table3.html").read_text())
    (plot,) = (picture for picture in page.all("svg") if "Mine" in picture.text)
    intervals = [path for path in plot.all("path") if path.get("class") == "interval"]
    assert len(intervals) == 4, "every row shows where one more run would be expected, the added one, too"


def test_a_best_mean_that_several_rows_have_is_said_to_be_shared():
    said = table_summary(finish(own_study(), {"joint": 0.7, "uniform": 0.7, "mmpareto": 0.6}, 0.0).compare(), "methods")
    assert "One joint loss shares the best mean with 1 other row, not shown to be better than any" in said
    assert "has the best mean" not in said.split(". ")[0]
