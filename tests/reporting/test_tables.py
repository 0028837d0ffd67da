"""A table has the paper's layout and our marked numbers, and says what it rests on, in every format."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from counterpoise.errors import UserError
from counterpoise.planning.plan import PlannedValue
from counterpoise.reporting.tables import as_html, as_latex, as_markdown, as_table_csv, view_table, write_table

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
    for cell in study.plan.cells:
        level = LEVELS[cell.method] + (0.05 if cell.variant == "released" else 0.0)
        for seed in study.plan.seeds:
            study.run(cell, seed, {"joint": level + 0.01 * seed})
    return study


def view(study, table: str = "table3"):
    paper = next(iter(study.plan.papers))
    return view_table(study.plan, study.root, paper, table)


def cell(view, line: str, column: str):
    position = [shown.id for shown in view.columns].index(column)
    return next(found for found in view.lines if found.id == line).cells[position]


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_rows_are_the_papers_in_its_order_with_variants_adjacent(study):
    rows = study.plan.papers["mmpareto"].table("table3").row_ids
    assert [line.id for line in view(study).lines] == [*rows[:-1], "MMPareto [published]", "MMPareto [released]"]


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
    for row, planned in enumerate(study.plan.cells):
        study.run(planned, 0, {"left": 0.9 + 0.001 * row, "right": 0.8})
    shown = view(study, "table5")
    assert cell(shown, "MMPareto", "multi_mnist.ece_right").mean == pytest.approx(80.0)
    assert cell(shown, "MMPareto", "multi_mnist.macro_f1_left").mean == pytest.approx(90.5)


def test_a_probe_of_all_rows_stands_in_columns_of_its_own(make_study):
    plain = make_study("table1", {"crema_d": "crema_d"})
    tables = [run.model_copy(update={"probe": "all"}) for run in plain.plan.benchmark.tables]
    benchmark = plain.plan.benchmark.model_copy(update={"tables": tables})
    study = dataclasses.replace(plain, plan=dataclasses.replace(plain.plan, benchmark=benchmark))
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
    assert cell(shown, "MMPareto [released]", "cg_mnist.accuracy").mark == "best"
    assert cell(shown, "MMPareto [published]", "cg_mnist.accuracy").mark == "runner-up"
    assert cell(shown, "PCGrad", "cg_mnist.accuracy").mark == ""


def test_the_lowest_calibration_error_is_best(study):
    shown = view(study)
    assert cell(shown, "One joint loss", "cg_mnist.ece").mark == "best"
    assert cell(shown, "Conventional Pareto", "cg_mnist.ece").mark == "runner-up"


def test_rows_that_tie_at_the_precision_shown_share_the_mark(study):
    study.runs("pcgrad", [0.850001, 0.860001, 0.870001])
    shown = view(study)
    marks = [cell(shown, line, "cg_mnist.accuracy").mark for line in ("PCGrad", "MMPareto [released]")]
    assert marks == ["best", "best"]
    assert cell(shown, "MMPareto [published]", "cg_mnist.accuracy").mark == "runner-up"


def test_a_diverged_row_is_never_best_and_says_so(study):
    study.diverge("mmpareto", 1, variant="released")
    found = cell(view(study), "MMPareto [released]", "cg_mnist.accuracy")
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
    (study.root / study.cell("pcgrad").run_directory(2) / study.plan.metrics_name).unlink()
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
    for table in study.plan.papers["mmpareto"].tables:
        text = as_latex(view(study, table))
        columns = len(re.search(r"begin\{tabular\}\{(l c*|lc*)\}", text)[1])
        body = [line for line in text.splitlines() if line.endswith(r" \\")]
        for line in body:
            spanned = sum(int(span) - 1 for span in re.findall(r"multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + spanned == columns
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_escapes_what_latex_would_read_as_code(study):
    text = as_latex(view(study, "table1"))
    assert r"Unimodal pre-trained \& fine-tune" in text
    assert "made\\_up" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(study, tmp_path):
    parts = [as_latex(view(study, table)) for table in study.plan.papers["mmpareto"].tables]
    head = "\\documentclass{article}\\usepackage{booktabs}\\usepackage{graphicx}\\begin{document}\n"
    (tmp_path / "all.tex").write_text(head + "\n\\clearpage\n".join(parts) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


class Page(HTMLParser):
    """Collects a page's tags, and checks that they close in order."""

    VOID = ("meta", "br", "link", "img", "hr", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_well_formed_and_asks_for_nothing_from_elsewhere(study):
    text = as_html(view(study))
    tags = Page(text).tags
    assert not [tag for tag, attributes in tags if {"src", "href"} & set(attributes)]
    assert "url(" not in text
    assert "@import" not in text


def test_html_rows_and_columns_are_headers_for_a_screen_reader(study):
    tags = Page(as_html(view(study))).tags
    scopes = [attributes.get("scope") for tag, attributes in tags if tag == "th"]
    assert scopes.count("row") == 8
    assert scopes.count("col") == 8
    assert "caption" in [tag for tag, _ in tags]


def test_html_escapes_names_that_look_like_markup(study):
    data = dataclasses.replace(study.plan.cells[0].data, title="<script>alert(1)</script>")
    cells = {planned.name: dataclasses.replace(planned, data=data) for planned in study.plan.cells}
    values = [dataclasses.replace(v, cell=v.cell and cells[v.cell.name]) for v in study.plan.values]
    study.plan = dataclasses.replace(study.plan, cells=list(cells.values()), values=values)
    text = as_html(view(study))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_method_that_the_paper_lacks_gets_a_row_at_the_end(study):
    planned = study.cell("pcgrad")
    added = dataclasses.replace(planned, method="mine", key="0123456789ab")
    for seed in study.plan.seeds:
        study.run(added, seed, {"joint": 0.95})
    table = study.plan.papers["mmpareto"].table("table3")
    values = [
        PlannedValue("mmpareto", "table3", "My method", None, column.id, added, "", True)
        if column.group == "cg_mnist"
        else PlannedValue("mmpareto", "table3", "My method", None, column.id, None, "not in this benchmark")
        for column in table.columns
    ]
    study.plan = dataclasses.replace(study.plan, cells=[*study.plan.cells, added], values=[*study.plan.values, *values])
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


def test_writing_twice_gives_the_same_bytes_in_the_papers_folder(study):
    first = {path: path.read_bytes() for path in write_table(study.plan, study.root, "mmpareto", "table3")}
    assert [path.relative_to(study.root).as_posix() for path in first] == [
        f"results/tables/mmpareto/table3{suffix}" for suffix in (".md", ".csv", ".tex", ".html")
    ]
    write_table(study.plan, study.root, "mmpareto", "table3")
    assert all(path.read_bytes() == data for path, data in first.items())


def test_an_unknown_table_or_paper_is_named_with_the_nearest(study):
    with pytest.raises(UserError, match=r"'tabel3'.*did you mean 'table3'"):
        write_table(study.plan, study.root, "mmpareto", "tabel3")
    with pytest.raises(UserError, match=r"'mmparetto'.*did you mean 'mmpareto'"):
        write_table(study.plan, study.root, "mmparetto", "table3")


def test_a_broken_run_stops_the_table_and_leaves_the_old_one(study):
    paths = write_table(study.plan, study.root, "mmpareto", "table3")
    before = paths[0].read_bytes()
    (study.root / study.cell("pcgrad").run_directory(0) / study.plan.metrics_name).write_text("{")
    with pytest.raises(UserError, match=r"seed-0.metrics"):
        write_table(study.plan, study.root, "mmpareto", "table3")
    assert paths[0].read_bytes() == before
