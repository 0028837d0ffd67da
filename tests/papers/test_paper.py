"""The papers' data: that it is what the papers print, and that a mistake in it is found and named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from counterpoise.errors import UserError
from counterpoise.papers.paper import PrintedValue, load_paper, paper_names, printed_values

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TITLES = {
    "table1": "Table 1.",
    "table2": "Table 2.",
    "table3": "Table 3.",
    "table4": "Table 4.",
    "table5": "Table 5.",
    "table7": "Table 7.",
    "table8": "Table 8.",
    "table9": "Table 9.",
}


@pytest.fixture
def mmpareto():
    return load_paper(CONFIGS, "mmpareto")


@pytest.fixture
def configs(tmp_path):
    shutil.copytree(CONFIGS / "papers", tmp_path / "papers")
    return tmp_path


def edit(path: Path, change) -> None:
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, allow_unicode=True))


def marked_rows(text: str, caption: str) -> list[list[str]]:
    """Return the tab-separated lines of a table of the marked-up paper, label first, from its caption on."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(caption))
    head = next(index for index in range(start, len(lines)) if "\t" in lines[index])
    rows = []
    for line in lines[head:]:
        if not line.strip():
            break
        rows.append([cell.strip().replace("\\*", "*") for cell in line.split("\t")])
    entry = re.compile(r"(<[bu]>)?(/|#?\d[\d.e-]*s?)(</[bu]>)?( ?\(↓\))?")
    return [row for row in rows if any(entry.fullmatch(cell) for cell in row[1:])]


def as_marked(value: PrintedValue) -> str:
    text = value.printed
    if value.bold:
        text = f"<b>{text}</b>"
    if value.underline:
        text = f"<u>{text}</u>"
    return f"{text}(↓)" if value.drop else text


@pytest.mark.parametrize("name", TITLES)
def test_every_entry_and_mark_is_what_the_paper_prints(name, mmpareto, shared):
    printed = marked_rows((shared / "papers/mmpareto.md").read_text(), TITLES[name])
    table = mmpareto.table(name)
    ours = [[row.title, *(as_marked(table.value(row.id, c)) for c in table.column_ids)] for row in table.rows]
    assert ours == [[row[0], *(cell.replace(" (↓)", "(↓)") for cell in row[1:])] for row in printed]


def test_every_number_agrees_with_the_second_text_of_the_paper(mmpareto, shared):
    lines = (shared / "papers/mmpareto_plain.txt").read_text().splitlines()
    cells = [line.strip("|").split("|") for line in lines]
    printed = [[cell.strip().removesuffix("()").strip() for cell in line] for line in cells]
    missing = []
    for table in (table for table in mmpareto.tables.values() if not table.unprinted):
        for row in table.rows:
            ours = [row.title, *(table.value(row.id, column).printed for column in table.column_ids)]
            if not any(line[: len(ours)] == ours for line in printed):
                missing.append(f"{table.table}: {ours}")
    assert missing == []


@pytest.mark.parametrize("paper", ["mmpareto", "mlb"])
def test_every_quote_is_in_the_paper(paper, shared):
    text = normal(plain_text(shared, paper))
    data = load_paper(CONFIGS, paper)
    quotes = [claim.quote for claim in (*data.claims, *data.left_out)]
    quotes += [count.quote for facts in data.datasets.values() for count in facts.counts]
    assert [quote for quote in quotes if normal(quote) not in text] == []


@pytest.mark.parametrize("paper", ["mmpareto", "mlb"])
def test_captions_are_the_papers_with_what_their_stars_mean(paper, shared):
    captions = re.findall(r"^(Table|Figure) (\d+)[.:] (.*)$", plain_text(shared, paper), re.MULTILINE)
    printed = {f"{kind.lower()}{number}": sentences(text) for kind, number, text in captions}
    tables = load_paper(CONFIGS, paper).tables.values()
    compared = [table for table in tables if table.table in printed]
    assert {table.table for table in tables if not table.unprinted} <= {table.table for table in compared}
    for table in compared:
        stars = f" indicates that {table.star_means}" if table.star_means else ""
        assert printed[table.table] <= sentences(table.caption + stars), table.table


def test_the_counts_that_the_papers_state_of_their_data_are_there(mmpareto):
    def stated(paper, dataset):
        return {count.what: count.stated for count in paper.datasets[dataset].counts}

    mlb = load_paper(CONFIGS, "mlb")
    assert stated(mmpareto, "cmu_mosi") == {"videos": 93, "utterances": 2199}
    assert stated(mlb, "crema_d_vavl") == {"actors": 91, "emotions": 6}
    assert stated(mlb, "ucf101") == {"categories": 101, "action categories": 51}


def sentences(text: str) -> set[str]:
    return {sentence.strip(" .") for sentence in re.sub(r"[\[\]]", "", text).split(". ")}


def plain_text(shared: Path, paper: str) -> str:
    """Return a paper's marked-up text without emphasis and with the words of its links alone."""
    text = (shared / f"papers/{paper}.md").read_text()
    text = re.sub(r"\[+([^\]\[]*)\]+\([^()]*(?:\([^()]*\)[^()]*)*\)", r"\1", text)
    return text.replace("\\*", "*").replace("*", "")


def normal(text: str) -> str:
    return re.sub(r"[\s-]+", " ", text.replace("’", "'"))


def test_known_numbers_are_where_they_belong(mmpareto):
    numbers = {row[:4]: row.value for row in printed_values(mmpareto)}
    assert numbers["table1", "MMPareto", "crema_d", "accuracy"] == "75.13"
    assert numbers["table1", "Video-only", "kinetics_sounds", "accuracy_visual"] == "49.20"
    assert numbers["table2", "OGM-GE", "crema_d_scratch", "macro_f1"] == "39.34"
    assert numbers["table3", "Conventional Pareto", "cg_mnist", "accuracy"] == "62.00"
    assert numbers["table4", "MMPareto", "nyuv2", "absolute_error"] == "0.6216"
    assert numbers["table5", "MetaBalance", "multi_mnist", "accuracy_right"] == "79.53"
    assert numbers["table7", "PMR", "cmu_mosi", "macro_f1"] == "75.06"
    assert numbers["table8", "MMPareto", "kinetics_sounds", "seconds_per_iteration_mean"] == "0.16"
    assert numbers["table9", "MMPareto", "crema_d", "iterations_to_stationarity_visual"] == "1709"


def test_each_printed_number_has_a_name_of_its_own(mmpareto):
    names = [row[:4] for row in printed_values(mmpareto)]
    assert len(names) == len(set(names)) == 226 + 4, "of tables and of Figure 1d"


def test_what_is_no_number_is_not_among_the_numbers(mmpareto):
    table = mmpareto.table("table7")
    assert table.value("Greedy", "cmu_mosi.accuracy").kind == "not_defined"
    assert mmpareto.table("table1").value("Audio-only", "crema_d.accuracy").kind == "not_applicable"
    assert not [row for row in printed_values(mmpareto) if row.table == "table7" and row.method == "Greedy"]


def test_a_figure_without_numbers_has_unprinted_entries():
    paper = load_paper(CONFIGS, "mlb")
    assert paper.table("figure5").value("MLB", "crema_d_conformer_late.ece").kind == "unprinted"
    assert {number.table for number in printed_values(paper)} == {"figure3"}, "the gains of the abstract alone"


def test_numbers_of_figures_are_among_the_printed_ones():
    numbers = printed_values(load_paper(CONFIGS, "mlb"))
    assert [number.value for number in numbers] == ["1.9", "12.4", "2.8", "14.1", "2.7", "7.7", "6.1"]
    assert numbers[1][:5] == ("figure3", "CREMA-D, ResNet", "", "largest_gain", "12.4")


def test_a_printed_number_has_its_unit_and_the_marks_of_the_typesetter(mmpareto):
    numbers = {row[:4]: (row.unit, row.marks) for row in printed_values(mmpareto)}
    assert numbers["table1", "MMPareto", "crema_d", "accuracy"] == ("percent", "bold")
    assert numbers["table1", "OGM", "crema_d", "accuracy"] == ("percent", "drop star")
    assert numbers["table1", "Uniform baseline", "crema_d", "accuracy_audio"] == ("percent", "underline")
    assert numbers["table8", "MMPareto", "cg_mnist", "seconds_per_iteration_variance"] == ("seconds_squared", "")
    marks = [mark for _, marks in numbers.values() for mark in marks.split()]
    assert (marks.count("drop"), marks.count("star")) == (30, 34)


def test_probed_rows_measure_unimodal_columns_on_the_probe(mmpareto):
    table = mmpareto.table("table1")
    assert table.output("OGM", "crema_d.accuracy_audio") == "probe:audio"
    assert table.output("OGM", "crema_d.accuracy") == "joint"
    assert table.output("MMPareto", "crema_d.accuracy_audio") == "audio"
    assert mmpareto.table("table7").row("OGM").star
    assert not mmpareto.table("table7").row("OGM").probe


def test_errors_are_better_when_lower(mmpareto):
    better = {column.metric: column.better for column in mmpareto.table("table4").columns}
    assert better["miou"] == better["pixel_accuracy"] == "higher"
    assert better["absolute_error"] == better["relative_error"] == "lower"


def test_a_column_of_variances_is_another_measure_than_that_of_means(mmpareto):
    names = [column.measure for column in mmpareto.table("table8").columns]
    assert names == ["seconds_per_iteration", "seconds_per_iteration_variance"]


def test_rows_of_datasets_name_their_column_group(mmpareto):
    assert mmpareto.table("table8").group("CG-MNIST", "seconds_per_iteration_mean").dataset == "cg_mnist"
    assert mmpareto.table("table2").group("AGM", "crema_d_pretrained.accuracy").id == "crema_d_pretrained"


@pytest.mark.parametrize(
    ("text", "value", "decimals"),
    [("75.13", 75.13, 2), ("0.6216", 0.6216, 4), ("0.11s", 0.11, 2), ("#3098", 3098.0, 0), ("1e-5", 1e-5, 5)],
)
def test_printed_text_gives_value_and_decimals(text, value, decimals):
    printed = PrintedValue(printed=text)
    assert (printed.value, printed.decimals, printed.kind) == (value, decimals, "number")


def test_an_unknown_paper_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"'mmparetto'.*did you mean 'mmpareto'"):
        load_paper(CONFIGS, "mmparetto")


def fails(configs: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_paper(configs, "mmpareto")
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_is_named_with_file_and_nearest_key(configs):
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["rows"][0].update(metod="joint"))
    fails(configs, "table3.yaml", "metod", "did you mean 'method'")


def test_an_unknown_metric_is_refused(configs):
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["columns"][0].update(metric="acuracy"))
    fails(configs, "table3.yaml", "columns.0.metric", "did you mean 'accuracy'")


def test_a_missing_value_is_refused(configs):
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["rows"][0]["values"].pop("cg_mnist.accuracy"))
    fails(configs, "table3.yaml", "One joint loss", "cg_mnist.accuracy")


def test_text_that_is_no_number_is_refused(configs):
    edit(
        configs / "papers/mmpareto/table3.yaml",
        lambda data: data["rows"][0]["values"].update({"cg_mnist.accuracy": "60,50"}),
    )
    fails(configs, "table3.yaml", "60,50")


def test_a_value_in_an_unknown_column_is_refused(configs):
    edit(
        configs / "papers/mmpareto/table3.yaml",
        lambda data: data["rows"][0]["values"].update({"cg_mnist.acuracy": "60.50"}),
    )
    fails(configs, "table3.yaml", "did you mean 'cg_mnist.accuracy'")


def test_two_rows_of_one_name_are_refused(configs):
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["rows"].append(data["rows"][0]))
    fails(configs, "table3.yaml", "One joint loss", "twice")


def test_a_negative_margin_is_refused(configs):
    edit(configs / "papers/mmpareto/paper.yaml", lambda data: data["margins"].update(accuracy=-1.0))
    fails(configs, "paper.yaml", "accuracy")


def test_an_unprinted_table_has_no_values_but_places_where_there_is_none(configs):
    path = configs / "papers/mmpareto/figure1c.yaml"
    edit(path, lambda data: data["rows"][0]["values"].update({"kinetics_sounds.accuracy": "64.61"}))
    fails(configs, "figure1c.yaml", "Single multimodal loss", "64.61", "unprinted")


def test_a_table_in_the_wrong_file_is_refused(configs):
    shutil.copy(configs / "papers/mmpareto/table4.yaml", configs / "papers/mmpareto/table3.yaml")
    fails(configs, "table3.yaml", "'table'", "table4")


def test_a_column_has_the_unit_and_direction_of_its_metric(mmpareto):
    columns = {column.metric: column for table in mmpareto.tables.values() for column in table.columns}
    assert (columns["accuracy"].unit, columns["accuracy"].better, columns["accuracy"].scale) == (
        "percent",
        "higher",
        100,
    )
    assert (columns["relative_error"].unit, columns["relative_error"].better) == ("ratio", "lower")
    assert (columns["iterations_to_stationarity"].unit, columns["iterations_to_stationarity"].scale) == (
        "iterations",
        1,
    )


def test_a_metric_that_the_paper_declares_gives_its_columns_their_unit_and_direction(configs):
    own = {"weighted_f1": {"title": "Weighted F1", "unit": "ratio", "better": "lower"}}
    edit(configs / "papers/mmpareto/paper.yaml", lambda data: data.update(metrics=own))
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["columns"][0].update(metric="weighted_f1"))
    column = load_paper(configs, "mmpareto").table("table3").columns[0]
    assert (column.metric, column.unit, column.better, column.scale) == ("weighted_f1", "ratio", "lower", 1.0)


def test_a_column_may_say_otherwise_than_its_metric(configs):
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["columns"][0].update(better="lower"))
    assert load_paper(configs, "mmpareto").table("table3").columns[0].better == "lower"


def test_an_unknown_unit_is_refused(configs):
    edit(configs / "papers/mmpareto/table3.yaml", lambda data: data["columns"][0].update(unit="percents"))
    fails(configs, "table3.yaml", "columns.0.unit", "did you mean 'percent'")


def test_a_margin_of_an_unknown_metric_is_refused(configs):
    edit(configs / "papers/mmpareto/paper.yaml", lambda data: data["margins"].update(acuracy=1.0))
    fails(configs, "paper.yaml", "margins", "did you mean 'accuracy'")


def test_drops_are_marked_against_a_row_of_the_table(mmpareto, configs):
    assert {name for name, table in mmpareto.tables.items() if table.drops_against} == {"table1", "table5"}
    for name in ("table1", "table5"):
        table = mmpareto.table(name)
        for row in table.rows:
            for column, value in row.values.items():
                below = table.value(table.drops_against, column).value
                if value.drop:
                    assert value.value < below, (name, row.id, column)
    edit(configs / "papers/mmpareto/table5.yaml", lambda data: data.update(drops_against="Uniform"))
    fails(configs, "table5.yaml", "drops_against", "Uniform baseline")


def test_a_drop_without_the_row_that_it_is_against_is_refused(configs):
    edit(configs / "papers/mmpareto/table5.yaml", lambda data: data.pop("drops_against"))
    fails(configs, "table5.yaml", "Conv Pareto", "drops_against")


def test_the_papers_are_those_that_have_a_folder(configs):
    assert paper_names(configs) == ["mlb", "mmpareto"]
    shutil.copytree(configs / "papers/mlb", configs / "papers/third")
    (configs / "papers/notes").mkdir()
    assert paper_names(configs) == ["mlb", "mmpareto", "third"]
