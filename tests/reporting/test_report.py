"""The report is a folder of offline pages whose links resolve, down to each number's origin."""

from __future__ import annotations

import gzip
import re
import urllib.parse
from pathlib import Path

import pytest
from html_page import Element, parse
from reported import Reported

from counterpoise.judging.compare import judge
from counterpoise.papers.paper import load_paper
from counterpoise.reporting.outcome import numbers_of, table_headline, table_summary
from counterpoise.reporting.pages.cell import cell_page, page_name, values_by_cell
from counterpoise.reporting.write import write_derived
from counterpoise.results.layout import FigureSeries, LayoutFigure
from counterpoise.results.table import write_results

EVIL = "<script>alert('x')</script>"
SECTIONS = ("index", "tables", "numbers", "claims", "cells", "audit", "environment")


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Reported:
    """Finished runs, one that failed, and markup wherever a name can be."""
    names = [EVIL, "class 1", "class 2", "class 3"]
    made = Reported(tmp_path_factory.mktemp("reported"), title=f"Made-up {EVIL}", class_names=names)
    made.finish()
    made.fail(made.cells[1], 2, f"a reason {EVIL}")
    return made


@pytest.fixture(scope="module")
def folder(reported, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("derived")
    assert reported.write(folder) == []
    return folder / "report"


def pages(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.html"))}


def cell_file(folder: Path, cell) -> Path:
    return folder / f"{page_name(cell.name)}.html"


def links(root: Element) -> list[str]:
    found = [e.get(name) for e in root for name in ("href", "src") if name in e.attributes]
    return [urllib.parse.unquote(link) for link in found if not link.startswith("data:")]


def test_there_is_a_page_for_each_section_table_and_cell(folder, reported):
    names = set(pages(folder))
    assert {f"{name}.html" for name in SECTIONS} <= names
    assert "tables/made.table0.html" in names
    assert {f"{page_name(cell.name)}.html" for cell in reported.cells} <= names


def test_a_benchmark_without_figures_has_no_empty_page_of_them(folder):
    assert "figures.html" not in pages(folder)
    assert "Figures" not in parse(pages(folder)["index.html"]).all("nav")[0].text


def test_every_link_leads_to_a_file_of_the_derived_folder_but_for_the_papers(folder):
    external = set()
    for name, text in pages(folder).items():
        root = parse(text)
        ids = {element.get("id") for element in root}
        for link in links(root):
            path, _, fragment = link.partition("#")
            if link.startswith("https://"):
                external.add(link)
            elif path:
                target = (folder / name).parent.joinpath(path).resolve()
                assert target.is_file(), f"{name}: {link}"
                assert folder.parent in target.parents
                if fragment and "=" not in fragment:
                    assert fragment in {element.get("id") for element in parse(target.read_text())}, f"{name}: {link}"
            else:
                assert fragment in ids
    assert external == {e.get("href") for e in parse(pages(folder)["index.html"]).all("a") if e.get("rel")}


def test_no_page_may_ask_for_anything_from_the_network(folder):
    for text in pages(folder).values():
        policy = next(e.get("content") for e in parse(text).all("meta") if e.get("http-equiv"))
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "*" not in policy
    for file in ("static/report.css", "static/report.js"):
        assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttp", (folder / file).read_text())


def test_a_paper_with_an_address_that_is_no_page_is_named_without_a_link(reported, tmp_path):
    paper = reported.paper.model_copy(update={"url": "javascript:alert(1)"})
    write_derived(tmp_path, reported.results, [judge(paper, reported.results)])
    text = (tmp_path / "report/index.html").read_text()
    assert "javascript:" not in text
    assert paper.title in text


def test_ids_are_unique_on_every_page(folder):
    for name, text in pages(folder).items():
        names = [element.get("id") for element in parse(text) if element.get("id")]
        assert len(names) == len(set(names)), name


def test_every_number_has_an_address_of_its_own(folder):
    page = parse(pages(folder)["numbers.html"])
    rows = page.all("tbody")[0].all("tr")
    assert all(row.get("id") for row in rows)
    assert {f"#{row.get('id')}" for row in rows} <= {link.get("href") for link in page.all("a")}


def test_the_first_page_answers_with_what_was_compared(folder):
    page = parse(pages(folder)["index.html"])
    (answer,) = (p.text for p in page.all("p") if p.get("class") == "answer")
    assert answer.startswith("1 of 8 compared numbers deviates taken one by one, none after correction")
    assert "8 of 16 numbers compared" in page.text
    assert "8 ran on stand-ins" in page.text


def test_each_table_has_a_tile_with_its_counts_and_a_picture(folder):
    page = parse(pages(folder)["index.html"])
    (tile,) = (li for li in page.all("li") if li.get("class") == "tile")
    assert sum(int(b.text) for b in tile.all("b")) == 16
    assert "8 differences ours − printed" in next(desc.text for desc in tile.all("desc"))


def test_what_was_not_run_is_folded_away_with_its_reason(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.79, 0.80, 0.795])
    write_derived(tmp_path, study.results, [study.compare()])
    page = parse((tmp_path / "report/index.html").read_text())
    (folded,) = (part for part in page.all("details") if "not run, and why" in part.text)
    assert "open" not in folded.attributes
    assert "Table 1: 58 numbers, not in this benchmark" in folded.text
    numbers = parse((tmp_path / "report/numbers.html").read_text())
    assert [row.all("th")[0].text.split()[0] for row in numbers.all("tbody")[0].all("tr")] == ["PCGrad", "PCGrad"]
    (rest,) = (table for table in numbers.all("table") if table.get("id") == "not-run-mmpareto-table")
    assert "GradNorm" in rest.text
    shown = [row for table in numbers.all("table") for part in table.all("tbody") for row in part.all("tr")]
    assert len(shown) == len(study.compare().rows), "every entry of the paper stands somewhere on the page"


def test_what_was_not_run_adds_up_to_the_same_number_wherever_it_is_counted(make_study, tmp_path):
    """The paper's file has tables without a printed number, and a row may run in several variants: neither counts."""
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, variants={"mmpareto": ["published", "released"]})
    study.runs("pcgrad", [0.79, 0.80, 0.795])
    comparison = study.compare()
    assert any(table.unprinted for table in comparison.paper.tables.values())
    count = numbers_of(comparison.rows).count("not run")
    write_derived(tmp_path, study.results, [comparison])
    (folded,) = (
        part
        for part in parse((tmp_path / "report/index.html").read_text()).all("details")
        if "not run, and why" in part.text
    )
    assert folded.all("summary")[0].text == f"{count} printed numbers of MMPareto not run, and why"
    listed = [int(number) for number in re.findall(r": (\d+) numbers?,", folded.text)]
    assert sum(listed) == count
    in_table = sum(int(n) for n in re.findall(r"Table 3: (\d+) numbers?,", folded.text))
    assert in_table == numbers_of(comparison.rows_of("table3")).count("not run")
    assert not re.search("Gradients|Conflicts|Times", folded.text)
    (link,) = folded.all("a")
    numbers = parse((tmp_path / "report/numbers.html").read_text())
    (rest,) = (part for part in numbers.all("details") if part.get("id") == link.get("href").partition("#")[2])
    assert rest.all("summary")[0].text == f"{count} printed numbers of MMPareto not run"
    assert len([row for part in rest.all("tbody") for row in part.all("tr")]) == count


def test_claims_that_were_not_run_are_folded_away_behind_the_rankings(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    for method, level in {"uniform": 0.74, "joint": 0.60, "conventional_pareto": 0.62, "pcgrad": 0.79}.items():
        study.runs(method, [level, level + 0.01, level + 0.004])
    comparison = study.compare()
    write_derived(tmp_path, study.results, [comparison])
    text = (tmp_path / "report/claims.html").read_text()
    page = parse(text)
    (folded,) = (part for part in page.all("details") if part.get("id") == "not-run")
    assert "open" not in folded.attributes
    count = sum(claim.answer == "not run" for claim in comparison.claims)
    assert folded.all("summary")[0].text == f"{count} claims not run, each variant of a row counted by itself"
    assert len(folded.all("tbody")[0].all("tr")) == count
    (tested,) = (table for table in page.all("table") if table.get("id") == "claims-table")
    assert len(tested.all("tbody")[0].all("tr")) == len(comparison.claims) - count
    assert text.index('id="claims-table"') < text.index('id="rankings-mmpareto"') < text.index('id="not-run"')


def test_a_partial_benchmark_says_so_on_every_page_and_a_whole_one_on_none(folder, reported, tmp_path):
    for name, text in pages(folder).items():
        assert "Partial: 23 of 24 runs have finished (1 failed)." in parse(text).all("main")[0].text, name
    whole = Reported(tmp_path)
    whole.finish()
    whole.write(tmp_path / "derived")
    assert not [name for name, text in pages(tmp_path / "derived").items() if "Partial" in text]


def test_a_cells_page_leads_to_the_origin_of_each_run(folder, reported):
    cell = reported.cells[0]
    text = parse(cell_file(folder, cell).read_text()).text
    for wanted in (cell.name, cell.source, cell.data, f"{cell.name}/seed-2", f"logs/train/{cell.name}/seed-2.log"):
        assert wanted in text
    assert f"counterpoise redo {cell.name} --seed 1" in text
    assert "c0ffeec0ffee (with changes)" in text


def test_the_overview_accounts_for_every_run_whatever_number_of_commits_it_was_trained_at(tmp_path):
    made = Reported(tmp_path)
    made.finish()
    for number, record in enumerate(made.records.values()):
        record["attempts"][-1]["git"] = {"commit": f"{number % 5}" * 40, "dirty": False}
    made.write(tmp_path / "derived")
    text = parse((tmp_path / "derived/report/index.html").read_text()).all("main")[0].text
    at_commits = [int(count) for count in re.findall(r"(\d+) runs? at commit", text)]
    (others,) = re.findall(r"(\d+) runs? of 2 other commits", text)
    assert len(at_commits) == 3
    assert sum(at_commits) + int(others) == len(made.records)


def test_every_process_that_trained_a_run_is_named(folder, reported):
    text = parse((folder / "environment.html").read_text()).text
    assert text.count("Trained from") == 3 * len(reported.cells) - 1  # one run failed
    assert text.count("Resumed 2026-01-02T03:04:05+00:00, in epoch 4, on here") == len(reported.cells) - 1


def test_a_cells_page_has_curves_selections_confusion_calibration_and_diagnostics(folder, reported):
    page = parse(cell_file(folder, reported.cells[0]).read_text())
    titles = [title.text for title in page.all("title")]
    for wanted in (
        "Test accuracy by epoch",
        "Reliability diagram of joint",
        "Cosine between objectives' gradients by step",
    ):
        assert wanted in titles
    header = next(table for table in page.all("table") if "Optimism" in table.text)
    assert [th.text for th in header.all("th")][:6] == ["Output", "Metric", "last", "best_val", "best_test", "Optimism"]
    confusion = next(table for table in page.all("table") if table.get("class") == "confusion")
    counts = [int(td.text) for td in confusion.all("td")]
    assert sum(counts) == 3 * 500


def test_optimism_is_what_choosing_on_the_test_set_gains(reported):
    results, cell = reported.results, reported.cells[0]
    page = cell_page(results, cell, values_by_cell(results)[cell.key], (), ())
    joint = page.selected[0]
    assert joint.output == "joint"
    assert joint.optimism.mean == pytest.approx(0.4)  # points: see Reported.run
    assert joint.optimism.n == 3


def test_without_diagnostics_the_page_says_so(folder, reported):
    assert "does not ask for diagnostics" in cell_file(folder, reported.cells[3]).read_text()


def test_series_of_a_published_record_are_read_gzipped(tmp_path):
    packed, plain = Reported(tmp_path / "packed"), Reported(tmp_path / "plain")
    packed.finish(packed=True)
    plain.finish()
    for made in (packed, plain):
        made.write(made.root / "derived")
    assert (packed.made.runs_folder / packed.cells[0].name / "seed-0/history.csv.gz").is_file()
    assert pages(packed.root / "derived/report") == pages(plain.root / "derived/report")


@pytest.mark.parametrize(
    "content",
    [b"epoch,train_loss.joint\n0,none\n", b"", b"epoch,train_loss.joint\n0\n"],
    ids=["words", "empty", "short row"],
)
def test_a_broken_series_is_named_on_its_page_and_prevents_nothing(tmp_path, content):
    made = Reported(tmp_path)
    made.finish()
    broken = made.made.runs_folder / made.cells[0].name / "seed-1/history.csv"
    broken.write_bytes(content)
    (problem,) = made.write(tmp_path / "derived")
    assert str(broken) in problem
    page = cell_file(tmp_path / "derived/report", made.cells[0]).read_text()
    assert str(broken) in page
    assert "Test accuracy by epoch" in page
    assert str(broken) in (tmp_path / "derived/report/index.html").read_text()


def test_a_gzipped_series_that_unpacks_to_gigabytes_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("counterpoise.results.series.LARGEST", 100_000)
    made = Reported(tmp_path)
    made.finish()
    path = made.made.runs_folder / made.cells[0].name / "seed-1/history.csv"
    path.unlink()
    path.with_name("history.csv.gz").write_bytes(gzip.compress(b"epoch\n" + b"0\n" * 1_000_000))
    (problem,) = made.write(tmp_path / "derived")
    assert "history.csv.gz" in problem


def test_what_failed_is_named_with_its_reason_and_never_as_markup(folder, reported):
    every = pages(folder)
    assert "a reason <script>alert('x')</script>" in parse(every["index.html"]).text
    for name, text in every.items():
        assert "<script>alert" not in text, name
        assert all(e.get("src").endswith("static/report.js") for e in parse(text).all("script"))
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in cell_file(folder, reported.cells[0]).read_text()


def test_one_is_counted_in_the_singular(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_digits"}, seeds=[0])
    study.runs("pcgrad", [0.7])
    write_derived(tmp_path, study.results, [study.compare()])
    every = " ".join(pages(tmp_path / "report").values())
    assert "1 seed per cell" in every
    assert not re.search(r"(?<![\d,.])1 (seeds|runs|cells|findings|claims|numbers)\b", every)


def test_the_pages_are_the_same_bytes_for_the_same_results(reported, folder, tmp_path):
    reported.write(tmp_path)
    assert pages(tmp_path / "report") == pages(folder)


def test_the_report_of_a_benchmark_without_any_run_says_so(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    write_derived(tmp_path, study.results, [study.compare()])
    every = {name: parse(text).text for name, text in pages(tmp_path / "report").items()}
    assert "Not answered here: nothing was compared." in every["index.html"]
    assert "0 of 21 runs have finished (21 missing)" in every["index.html"]
    assert "seed 0 missing, seed 1 missing, seed 2 missing" in every["index.html"]
    assert "No printed number was tried" in every["numbers.html"]


def test_stand_ins_are_noted_by_the_name_of_the_data_that_ran(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    data = {key: part.model_copy(update={"title": "Some digits"}) for key, part in study.layout.data.items()}
    study.layout = study.layout.model_copy(update={"data": data})
    study.runs("pcgrad", [0.7, 0.71, 0.72])
    write_derived(tmp_path, study.results, [study.compare()])
    text = (tmp_path / "report/tables/mmpareto.table3.html").read_text()
    assert "Some digits, in the place of Colored-and-gray-MNIST (N = 1,000)" in text


def test_figures_are_shown_by_their_papers_title_and_one_that_cannot_be_drawn_is_named(
    make_study, repository, tmp_path
):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    missing = FigureSeries(label="MMPareto", cell=None, reason="not in this benchmark")
    figures = (
        LayoutFigure(paper="mlb", figure="figure2"),
        LayoutFigure(paper="mmpareto", figure="figure1a", series=(missing,)),
    )
    study.layout = study.layout.model_copy(update={"figures": figures})
    papers = {"mlb": load_paper(repository / "configs", "mlb")}
    (problem,) = write_derived(tmp_path, study.results, [study.compare()], papers=papers)
    assert problem.startswith("figure mmpareto/figure1a: ")
    page = parse((tmp_path / "report/figures.html").read_text())
    first, second = (heading.text for heading in page.all("h2"))
    assert first.startswith("Figure 2 of MLB: ")
    assert second.startswith("Figure 1a of MMPareto: ")
    assert [image.get("src") for image in page.all("img")] == ["../figures/mlb/figure2.svg"]
    assert "Not drawn: MMPareto is not drawn: not in this benchmark" in page.text
    assert problem in parse((tmp_path / "report/index.html").read_text()).text


def test_numbers_that_are_not_comparable_have_run_and_the_first_page_says_so(make_study, tmp_path):
    study = make_study("table7", {"cmu_mosi": "cmu_mosi"}, range(3), {"mmpareto": ["published", "released"]})
    study.n_test = 752
    for method in ("joint", "uniform"):
        study.runs(method, [0.75, 0.76, 0.755])
    write_results(study.results, tmp_path)
    assert write_derived(tmp_path, study.results, [study.compare()], papers={"mmpareto": study.paper}) == []
    page = (tmp_path / "report/index.html").read_text()
    counts = re.search(r'(?s)<ul class="counts">(.*?)</ul>', page)[1]
    assert "<b>4</b>" in counts, "two rows in two columns"
    assert "not comparable" in counts
    assert "nothing has run" not in counts


def test_a_tile_has_the_headline_of_its_table_and_the_table_page_all_of_it(folder, reported):
    (tile,) = [e for e in parse(pages(folder)["index.html"]) if e.get("class") == "tile"]
    comparison = judge(reported.paper, reported.results)
    headline, summary = table_headline(comparison, "table0"), table_summary(comparison, "table0")
    assert headline in tile.text
    assert summary not in tile.text
    assert summary in parse(pages(folder)["tables/made.table0.html"]).text


def test_the_declared_margins_are_marked_in_the_curve_of_verdicts_by_margin(folder, reported):
    rows = judge(reported.paper, reported.results).rows_of("table0")
    declared = {row.number.margin for row in rows if row.number.n and row.number.margin is not None}
    figures = [e for e in parse(pages(folder)["tables/made.table0.html"]) if e.tag == "figure"]
    (curve,) = [figure for figure in figures if "Verdicts by margin" in figure.text]
    marks = [path for path in curve.all("path") if path.get("class") == "ideal"]
    assert len(marks) == len(declared) > 0


def test_a_table_without_printed_numbers_says_how_much_was_measured(make_study, tmp_path):
    study = make_study("figure1c", {"kinetics_sounds": "kinetics_sounds"})
    study.runs("uniform", [0.29, 0.30, 0.295], outputs=["joint", "visual"])
    write_derived(tmp_path, study.results, [study.compare()])
    said = "2 of 8 values measured; the paper prints no number beside them."
    for page in ("index", "tables", "tables/mmpareto.figure1c"):
        text = parse((tmp_path / f"report/{page}.html").read_text()).text
        assert said in text, page
    tiles = parse((tmp_path / "report/index.html").read_text()).all("li")
    (tile,) = (tile for tile in tiles if tile.get("class") == "tile" and "Figure 1c" in tile.text and said in tile.text)
    assert "nothing has run" not in tile.text
    assert "0 of 0 numbers" not in parse((tmp_path / "report/tables/mmpareto.figure1c.html").read_text()).text
