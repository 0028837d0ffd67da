"""A table has the paper's layout and our marked numbers, and says what it rests on, in every format."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import pytest
from html_page import parse

from counterpoise.errors import UserError
from counterpoise.reporting.tables.formats import as_html, as_latex, as_markdown, as_table_csv, table_text
from counterpoise.reporting.tables.marks import mark_best
from counterpoise.reporting.tables.view import view_table
from counterpoise.results.layout import LayoutTable, LayoutValue

LEVELS = {
    "joint": 0.60,
    "uniform": 0.70,
    "conventional_pareto": 0.62,
    "gradnorm": 0.71,
    "pcgrad": 0.75,
    "metabalance": 0.74,
    "mmpareto": 0.80,
}


@pytest.fixture
def study(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"}, variants={"mmpareto": ["published", "released"]})
    for cell in study.cells:
        level = LEVELS[cell.method] + (0.05 if cell.variant == "released" else 0.0)
        for seed in study.layout.seeds:
            study.run(cell, seed, {"joint": level + 0.01 * seed})
    return study


def view(study, table: str = "table3"):
    """Lay a table out; one that the study does not run has no cells."""
    if not any(place.table == table for place in study.layout.tables):
        tables = (*study.layout.tables, LayoutTable(paper=study.paper.paper, table=table))
        study.layout = study.layout.model_copy(update={"tables": tables})
    return view_table(study.results, study.compare(), table)


def cell(view, line: str, column: str):
    position = [shown.id for shown in view.columns].index(column)
    return next(found for found in view.lines if found.id == line).cells[position]


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_rows_are_the_papers_in_its_order_with_variants_adjacent(study):
    rows = study.paper.table("table3").row_ids
    assert [line.id for line in view(study).lines] == [*rows[:-1], "MMPareto (published)", "MMPareto (released)"]


def test_the_papers_columns_come_in_its_order_with_ours_behind_each_group(study):
    columns = [column.id for column in view(study).columns]
    assert columns == [
        "cg_mnist.accuracy",
        "cg_mnist.macro_f1",
        "cg_mnist.ece",
        "modelnet40.accuracy",
        "modelnet40.macro_f1",
        "kinetics_sounds.accuracy",
        "kinetics_sounds.macro_f1",
    ]
    assert [column.ours_only for column in view(study).columns].count(True) == 1


def test_tasks_get_their_own_columns_of_ours(make_study):
    study = make_study("table5", {"multi_mnist": "multi_digits"})
    columns = [column.id for column in view(study, "table5").columns]
    assert columns[2:] == [
        "multi_mnist.macro_f1_left",
        "multi_mnist.ece_left",
        "multi_mnist.macro_f1_right",
        "multi_mnist.ece_right",
    ]
    for row, planned in enumerate(study.cells):
        study.run(planned, 0, {"left": 0.9 + 0.001 * row, "right": 0.8})
    shown = view(study, "table5")
    assert cell(shown, "MMPareto", "multi_mnist.ece_right").mean == pytest.approx(80.0)
    assert cell(shown, "MMPareto", "multi_mnist.macro_f1_left").mean == pytest.approx(90.5)


def test_a_probe_of_all_rows_stands_in_columns_of_its_own(make_study):
    study, plain = (make_study("table1", {"crema_d": "crema_d"}) for _ in range(2))
    tables = tuple(place.model_copy(update={"probe": "all"}) for place in study.layout.tables)
    study.layout = study.layout.model_copy(update={"tables": tables})
    own = {"joint": 0.7, "audio": 0.6, "visual": 0.5}
    study.run(study.cell("uniform"), 0, own | {"probe:audio": 0.65, "probe:visual": 0.55})
    study.run(study.cell("joint"), 0, {"joint": 0.7, "probe:audio": 0.58, "probe:visual": 0.35})
    shown = view(study, "table1")
    assert [c.id for c in shown.columns if c.id.endswith("_probe")] == [
        "crema_d.accuracy_audio_probe",
        "crema_d.accuracy_visual_probe",
    ]
    assert cell(shown, "Uniform baseline", "crema_d.accuracy_audio").mean == pytest.approx(60.0)
    assert cell(shown, "Uniform baseline", "crema_d.accuracy_audio_probe").mean == pytest.approx(65.0)
    starred = [cell(shown, "One joint loss", f"crema_d.accuracy_visual{end}").mean for end in ("", "_probe")]
    assert starred == pytest.approx([35.0, 35.0])
    assert any("like for like across rows" in note for note in shown.notes)
    assert not any(column.id.endswith("_probe") for column in view(plain, "table1").columns)


def test_best_and_runner_up_are_marked_per_column(study):
    shown = view(study)
    assert cell(shown, "MMPareto (released)", "cg_mnist.accuracy").mark == "best"
    assert cell(shown, "MMPareto (published)", "cg_mnist.accuracy").mark == "runner-up"
    assert cell(shown, "PCGrad", "cg_mnist.accuracy").mark == ""


def test_the_lowest_calibration_error_is_best(study):
    shown = view(study)
    assert cell(shown, "One joint loss", "cg_mnist.ece").mark == "best"
    assert cell(shown, "Conventional Pareto", "cg_mnist.ece").mark == "runner-up"


def test_rows_that_tie_at_the_precision_shown_share_the_mark(study):
    study.runs("pcgrad", [0.850001, 0.860001, 0.870001])
    shown = view(study)
    marks = [cell(shown, line, "cg_mnist.accuracy").mark for line in ("PCGrad", "MMPareto (released)")]
    assert marks == ["best", "best"]
    assert cell(shown, "MMPareto (published)", "cg_mnist.accuracy").mark == "runner-up"


def test_a_diverged_row_is_never_best_and_says_so(study):
    study.diverge("mmpareto", 1, variant="released")
    found = cell(view(study), "MMPareto (released)", "cg_mnist.accuracy")
    assert (found.mark, found.n) == ("", 2)
    assert "diverged" in found.ours


def test_markdown_shows_mean_spread_marks_and_the_printed_number(study):
    rows = markdown_rows(as_markdown(view(study)))
    assert rows[2][:2] == ["One joint loss", "61.00 ± 1.00 [60.50]"]
    assert rows[-1][1] == "**86.00 ± 1.00** [81.88]"
    assert rows[-2][1] == "<u>81.00 ± 1.00</u> [81.88]"


@pytest.mark.parametrize("table", ["table1", "table3", "table4", "table7", "table8", "table9"])
def test_no_entry_is_blank_even_where_nothing_runs(study, table):
    rows = markdown_rows(as_markdown(view(study, table)))
    assert all(entry for row in rows for entry in row)


def test_what_does_not_run_says_so_beside_the_printed_number(study):
    rows = markdown_rows(as_markdown(view(study)))
    assert rows[2][4] == "not run [87.88]"


def test_fewer_seeds_than_planned_show_their_number(study):
    study.fail("pcgrad", 2, "boom", status="missing")
    assert cell(view(study), "PCGrad", "cg_mnist.accuracy").ours.endswith("(n = 2)")


def test_every_format_says_what_the_numbers_rest_on(study):
    shown = view(study)
    for text in (as_markdown(shown), as_latex(shown), as_html(shown)):
        for word in ("n = 3", "standard deviation", "selection: last", "protocol", "Stand-in", "15 equal-width"):
            assert word in text


def test_the_sampling_error_of_the_test_set_is_beside_the_spread_over_seeds(study):
    note = next(note for note in view(study).notes if note.startswith("Binomial"))
    low, high = 100 * (0.86 * 0.14 / 1000) ** 0.5, 100 * (0.61 * 0.39 / 1000) ** 0.5
    assert f"Colored-and-gray-MNIST (N = 1,000) {low:.2f} to {high:.2f}" in note


def test_a_table_without_stand_ins_has_no_notice_of_one(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    assert "tand-in" not in as_markdown(view(study))


def test_csv_has_full_numbers_in_the_papers_row_order(study):
    records = list(csv.DictReader(io.StringIO(as_table_csv(view(study)))))
    assert records[0]["row"] == "One joint loss"
    assert float(records[0]["cg_mnist.accuracy.mean"]) == pytest.approx(61.0)
    assert records[0]["cg_mnist.accuracy.printed"] == "60.50"
    assert records[0]["cg_mnist.accuracy.verdict"] == "stand-in"
    assert records[0]["modelnet40.accuracy.mean"] == ""
    assert records[0]["modelnet40.accuracy.verdict"] == "not run"


def test_latex_rows_have_as_many_entries_as_the_table_has_columns(study):
    for table in study.paper.tables:
        text = as_latex(view(study, table))
        columns = len(re.search(r"begin\{tabular\}\{(lc*)\}", text)[1])
        body = [line for line in text.splitlines() if line.endswith(r" \\")]
        for line in body:
            spanned = sum(int(span) - 1 for span in re.findall(r"multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + spanned == columns
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_escapes_what_latex_would_read_as_code(study):
    text = as_latex(view(study, "table1"))
    assert r"Unimodal pre-trained \&" in text  # and the rest of the title in the row's second line
    assert "made\\_up" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(study, tmp_path):
    parts = [as_latex(view(study, table)) for table in study.paper.tables]
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "all.tex").write_text(head + "\n\\clearpage\n".join(parts) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_a_table_with_spreads_and_our_own_columns_stays_on_a_page_of_two_columns(tmp_path, make_study):
    study = make_study("table5", {"multi_mnist": "multi_mnist"})
    for method in ("uniform", "pcgrad", "gradnorm"):
        study.runs(method, [0.79, 0.80, 0.795])
    study.fail("pcgrad", 2, "boom")
    head = "\\documentclass[twocolumn]{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "one.tex").write_text(head + as_latex(view(study, "table5")) + "\\end{document}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "one.tex"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Overfull" not in done.stdout


def test_latex_with_spreads_has_the_printed_number_below_ours(study):
    study.fail("pcgrad", 2, "boom")
    text = as_latex(view(study))
    rows = text.splitlines()
    place = next(place for place, row in enumerate(rows) if row.strip().startswith("PCGrad"))
    assert re.search(r"& [\d.]+ \$\\pm\$ [\d.]+ ", rows[place])
    assert re.search(r"& n = 2 & .*& \[[\d.]+\]", rows[place + 1])
    assert re.search(r"& others failed &", rows[place + 2])
    assert re.search(r"& \[[\d.]+\] & ", rows[place + 3])
    plain = as_latex(view(study).in_style("paper"))
    assert not [row for row in plain.splitlines() if re.match(r" *& *[(\[]", row)]


def test_html_is_well_formed_and_asks_for_nothing_from_elsewhere(study):
    text = as_html(view(study))
    assert not [element for element in parse(text) if {"src", "href"} & set(element.attributes)]
    assert "url(" not in text
    assert "@import" not in text


def test_html_rows_and_columns_are_headers_for_a_screen_reader(study):
    root = parse(as_html(view(study)))
    scopes = [header.get("scope") for header in root.all("th")]
    assert scopes.count("row") == 8
    assert scopes.count("col") == 8
    assert root.all("caption")


def test_html_escapes_names_that_look_like_markup(study):
    data = {k: d.model_copy(update={"title": "<script>alert(1)</script>"}) for k, d in study.layout.data.items()}
    study.layout = study.layout.model_copy(update={"data": data})
    text = as_html(view(study))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_method_that_the_paper_lacks_gets_a_row_at_the_end(study):
    added = study.cell("pcgrad").model_copy(update={"method": "mine", "key": "0123456789ab"})
    values = [
        LayoutValue(
            paper="mmpareto",
            table="table3",
            row="My method",
            variant=None,
            column=column.id,
            cell=added.name if column.group == "cg_mnist" else None,
            output="joint" if column.group == "cg_mnist" else "",
            reason="" if column.group == "cg_mnist" else "not in this benchmark",
            stand_in=column.group == "cg_mnist",
        )
        for column in study.paper.table("table3").columns
    ]
    cells = {**study.layout.cells, added.name: added}
    study.layout = study.layout.model_copy(update={"cells": cells, "values": (*study.layout.values, *values)})
    for seed in study.layout.seeds:
        study.run(added, seed, {"joint": 0.95})
    shown = view(study)
    assert shown.lines[-1].added
    assert cell(shown, "My method", "cg_mnist.accuracy").mark == "best"
    assert cell(shown, "My method", "modelnet40.accuracy").ours == "not run"
    assert "not in the paper" in as_markdown(shown)


def test_a_figure_without_numbers_shows_ours_alone(make_study):
    study = make_study("figure5", {"crema_d_conformer_late": "crema_d_vavl"}, paper="mlb")
    study.runs("mlb", [0.05, 0.06, 0.055])
    rows = markdown_rows(as_markdown(view(study, "figure5")))
    assert rows[-1][:2] == ["MLB", "5.50 ± 0.50"]


def test_an_unknown_table_is_named_with_the_nearest(study):
    with pytest.raises(UserError, match=r"'tabel3'.*did you mean 'table3'"):
        view_table(study.results, study.compare(), "tabel3")


def test_a_table_whose_runs_are_not_all_there_says_so_first_in_every_format(study):
    assert "Partial" not in as_markdown(view(study))
    study.fail("pcgrad", 2, "boom")
    shown = view(study)
    assert shown.notes[0] == "Partial: 23 of the 24 runs behind this table have finished."
    assert "over n = 2 to 3 of 3 seeds" in shown.notes[1]
    for text in (as_markdown(shown), as_latex(shown), as_html(shown)):
        assert "23 of the 24 runs" in text


def test_runs_that_were_interrupted_are_named_apart_from_those_that_failed(study):
    study.fail("pcgrad", 1, "boom")
    study.fail("pcgrad", 2, "in epoch 3 of 6", status="interrupted")
    notes = view(study).notes
    assert "Failed: PCGrad, seed 1: failed (boom)." in notes
    assert "Interrupted: PCGrad, seed 2 (in epoch 3 of 6)." in notes


def test_groups_that_do_not_run_for_one_reason_are_named_together(study):
    (note,) = (note for note in view(study).notes if note.startswith("Not run"))
    assert note == "Not run: ModelNet40, Kinetics Sounds (not in this benchmark)."


def test_every_place_that_was_not_run_has_its_reason_in_the_notes(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.79, 0.80, 0.795])
    study.runs("gradnorm", [0.79, 0.80, 0.795], outputs=["gray"])
    others = (
        "One joint loss, Uniform baseline, Conventional Pareto (Sener & Koltun, 2018), MetaBalance (He et al., 2022), "
        "MMPareto on Colored-and-gray-MNIST (no seed has finished)"
    )
    shown = view(study)
    (note,) = (note for note in shown.notes if note.startswith("Not run"))
    assert others in note
    assert "GradNorm (Chen et al., 2018) on Colored-and-gray-MNIST (the runs have no output 'joint')" in note
    assert "ModelNet40, Kinetics Sounds (not in this benchmark)" in note
    (row,) = (line for line in shown.lines if line.id.startswith("GradNorm"))
    own = [cell.ours for column, cell in zip(shown.columns, row.cells, strict=True) if column.ours_only and cell.cell]
    assert own
    assert set(own) == {"-"}, "without a joint prediction a metric of ours is not defined, which is not 'not run'"
    value = study.layout.values[0]
    added = value.model_copy(update={"row": "Mine", "cell": None, "reason": "method 'mine' is not available"})
    study.layout = study.layout.model_copy(update={"values": (*study.layout.values, added)})
    (note,) = (note for note in view(study).notes if note.startswith("Not run"))
    assert "Mine (not in the paper) on Colored-and-gray-MNIST (method 'mine' is not available)" in note


def test_margins_name_their_columns_where_a_metric_has_several_and_those_that_run_alone(make_study, study):
    def margins(study, table="table3"):
        return next((note for note in view(study, table).notes if note.startswith("Verdicts: ")), "")

    assert "margin 2 for accuracy, 2 for macro F1 in printed" in margins(study), "other columns do not run"
    both = make_study("table3", {"cg_mnist": "cg_mnist", "modelnet40": "modelnet40"})
    columns = "2 for CG-MNIST Acc, 1.035 for ModelNet40 Acc, 2 for CG-MNIST macro F1, 1.07 for ModelNet40 macro F1"
    assert f"margin {columns} in printed" in margins(both)


def test_seeds_that_failed_for_one_reason_are_named_together(study):
    for seed in (0, 2):
        study.fail("pcgrad", seed, "boom")
    study.fail("pcgrad", 1, "another")
    (note,) = (note for note in view(study).notes if note.startswith("Failed"))
    assert note == "Failed: PCGrad, seeds 0, 2: failed (boom); PCGrad, seed 1: failed (another)."


def test_in_the_papers_style_a_table_has_its_columns_and_digits_alone(study):
    shown = view(study).in_style("paper")
    assert [column.id for column in shown.columns] == study.paper.table("table3").column_ids
    rows = markdown_rows(as_markdown(shown))
    assert rows[2][:4] == ["One joint loss", "61.00", "61.00", "–"]
    assert rows[-1][1] == "**86.00**"
    html = parse(as_html(shown)).all("tbody")[0].text
    assert "reproduced" not in html
    assert "[" not in html


def test_latex_in_the_papers_style_is_a_plain_table_to_paste(study):
    text = table_text(view(study).in_style("paper"), "tex", caption="Ours.", label="tab:ours")
    assert "\\caption{Ours.}" in text
    assert "\\label{tab:ours}" in text
    assert "resizebox" not in text
    assert "$\\pm$" not in text
    body = text[text.index("\\begin{tab") :]
    assert "Stand-in" not in body
    assert "% Stand-in" in text


def test_notes_in_the_papers_style_speak_of_nothing_that_it_leaves_out(study):
    full, short = view(study), view(study).in_style("paper")
    gone = ("±", "[ ]", "'ours'", "'probe'", "Verdicts: ")
    assert [word in " ".join(full.notes) for word in gone] == [True, True, True, False, True]
    for text in (as_markdown(short), as_latex(short), as_html(short)):
        assert not [word for word in gone if word in text]
        assert "Stand-in: " in text
        assert "(not in this benchmark)" in text


def test_latex_has_a_caption_and_a_label_of_its_own(study):
    text = as_latex(view(study))
    assert "\\label{tab:mmpareto-table3}" in text
    assert "run again with the benchmark made\\_up" in text, "whatever came out"
    assert "resizebox" not in text


def test_a_format_that_is_not_there_is_refused_and_so_is_a_caption_where_none_goes(study):
    with pytest.raises(UserError, match=r"'text'.*md, csv, tex, html"):
        table_text(view(study), "text")
    with pytest.raises(UserError, match="'md' has neither caption"):
        table_text(view(study), "md", caption="mine")


def test_a_lone_mean_is_no_competition():
    assert mark_best([None, 3.0], "higher", 2) == ["", ""]
    assert mark_best([1.0, 3.0, None, 2.0], "lower", 2) == ["best", "", "", "runner-up"]
    assert mark_best([1.001, 1.002, 0.5], "higher", 2) == ["best", "best", "runner-up"]
