"""The report is a folder of offline pages, or one file, whose links resolve, down to each number's origin."""

from __future__ import annotations

import base64
import dataclasses
import errno
import gzip
import hashlib
import json
import re
import urllib.parse
from pathlib import Path

import pytest
from html_page import parse
from reported import ReportedProject

from counterpoise.errors import UserError
from counterpoise.reporting.report import write_report, write_single_file

EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> ReportedProject:
    """A project with finished runs, one diverged run, one that failed, and markup wherever a name can be."""
    project = ReportedProject(tmp_path_factory.mktemp("reported"), repository, title=f"Made-up {EVIL}")
    plan = project.plan()
    project.finish(plan)
    project.prepare(project.root / plan.datasets[0].directory, [EVIL, "class 1", "class 2", "class 3"])
    project.fail(plan.cells[1], 2, f"a reason {EVIL}")
    return project


@pytest.fixture(scope="module")
def plan(project):
    return project.plan()


@pytest.fixture(scope="module")
def folder(project, plan) -> Path:
    return write_report(plan, project.root).parent


def pages(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.html"))}


def targets(text: str) -> list[str]:
    found = [e.get(name) for e in parse(text) for name in ("href", "src") if name in e.attributes]
    return [urllib.parse.unquote(link) for link in found]


def test_there_is_a_page_for_each_section_table_and_cell(folder, plan):
    names = set(pages(folder))
    sections = ("index", "tables", "numbers", "claims", "cells", "audit", "figures", "environment")
    assert {f"{name}.html" for name in sections} <= names
    assert "tables/made.table0.html" in names
    assert {f"cells/{cell.name.replace('/', '.')}.html" for cell in plan.cells} <= names


def test_every_link_leads_to_a_file_of_the_folder(folder):
    for name, text in pages(folder).items():
        for link in targets(text):
            path, _, fragment = link.partition("#")
            if link.startswith("data:"):
                assert link == "data:,"
            elif path:
                assert (folder / name).parent.joinpath(path).resolve().is_file(), f"{name}: {link}"
                assert folder in (folder / name).parent.joinpath(path).resolve().parents
            else:
                assert fragment in {element.get("id") for element in parse(text)}


def test_no_page_may_ask_for_anything_from_the_network(folder):
    for text in pages(folder).values():
        policy = next(e.get("content") for e in parse(text).all("meta") if e.get("http-equiv"))
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "*" not in policy
    for file in ("static/report.css", "static/report.js"):
        assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttp", (folder / file).read_text())


def test_ids_are_unique_on_every_page(folder):
    for name, text in pages(folder).items():
        names = [element.get("id") for element in parse(text) if element.get("id")]
        assert len(names) == len(set(names)), name


def test_a_cells_page_leads_to_the_origin_of_each_run(folder, plan):
    cell = plan.cells[0]
    text = parse((folder / f"cells/{cell.name.replace('/', '.')}.html").read_text()).text
    for wanted in (cell.name, cell.source, str(cell.data_directory), str(cell.run_directory(2))):
        assert wanted in text
    assert "counterpoise redo" in text
    assert "c0ffeec0ffee (with changes)" in text


def test_a_cells_page_has_curves_selections_confusion_calibration_and_diagnostics(folder, plan):
    page = parse((folder / f"cells/{plan.cells[0].name.replace('/', '.')}.html").read_text())
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


def test_optimism_is_what_choosing_on_the_test_set_gains(project, plan):
    from counterpoise.reporting.pages.cell import _selected
    from counterpoise.results.results import read_cell

    found = read_cell(plan, project.root, plan.cells[0])
    joint = next(_selected(found))
    last, best = joint.values["last"], joint.values["best_test"]
    assert joint.optimism.mean == pytest.approx(best.mean - last.mean)
    assert joint.optimism.n == 3


def test_without_diagnostics_the_page_says_so(folder, plan):
    text = (folder / f"cells/{plan.cells[3].name.replace('/', '.')}.html").read_text()
    assert "does not ask for diagnostics" in text


def test_metrics_from_before_confusion_counts_leave_a_note(project, plan, tmp_path):
    cell = plan.cells[2]
    paths = [project.root / cell.run_directory(seed) / plan.metrics_name for seed in plan.seeds]
    kept = [path.read_text() for path in paths]
    try:
        for path, text in zip(paths, kept, strict=True):
            metrics = json.loads(text) | {"schema": 1}
            for selection in metrics["selections"].values():
                del selection["details"]
            path.write_text(json.dumps(metrics))
        page = write_report(plan, project.root).parent / f"cells/{cell.name.replace('/', '.')}.html"
        assert "no confusion counts" in page.read_text()
    finally:
        for path, text in zip(paths, kept, strict=True):
            path.write_text(text)


def test_what_failed_is_named_with_its_reason_and_never_as_markup(folder, plan):
    every = pages(folder)
    index = parse(every["index.html"])
    assert "a reason <script>alert('x')</script>" in index.text
    for name, text in every.items():
        assert "<script>alert" not in text, name
        assert all(e.get("src").endswith("static/report.js") for e in parse(text).all("script"))
    cell = every[f"cells/{plan.cells[0].name.replace('/', '.')}.html"]
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in cell


def test_one_is_counted_in_the_singular(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"}, seeds=[0])
    study.runs("pcgrad", [0.7])
    text = write_report(study.plan, study.root).read_text()
    every = " ".join(pages(study.root / "results/report").values())
    assert "1 seed per cell" in text
    assert not re.search(r"(?<![\d,.])1 (seeds|runs|cells|findings|claims)\b", every)


def test_the_tables_are_beside_the_pages_as_csv_and_latex(folder, project, plan):
    from counterpoise.reporting.tables import write_table

    for path in write_table(plan, project.root, "made", "table0"):
        if path.suffix in (".csv", ".tex"):
            assert (folder / f"data/made.table0{path.suffix}").read_bytes() == path.read_bytes()


def test_the_manifest_has_every_file_with_its_digest(project, plan, folder):
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(listed) == there - {"manifest.json"}
    for name in ("index.html", "static/report.js"):
        assert listed[name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_pages_are_the_same_bytes_for_the_same_results(project, plan):
    first = pages(write_report(plan, project.root).parent)
    assert pages(write_report(plan, project.root).parent) == first


def test_a_page_of_a_cell_that_is_no_more_goes(project, plan, folder):
    old = folder / "cells/old.html"
    old.write_text("old")
    write_report(plan, project.root)
    assert not old.exists()


def test_a_truncated_record_is_named_and_the_old_report_stays(project, plan):
    path = write_report(plan, project.root)
    before = path.read_bytes()
    broken = project.root / plan.cells[0].run_directory(1) / "record.json"
    kept = broken.read_bytes()
    broken.write_text('{"schema": 1')
    try:
        with pytest.raises(UserError, match=r"record\.json.*truncated"):
            write_report(plan, project.root)
    finally:
        broken.write_bytes(kept)
    assert path.read_bytes() == before


def test_a_full_disk_is_named_and_the_old_report_stays(project, plan, monkeypatch):
    path = write_report(plan, project.root)
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_report(plan, project.root)
    assert path.read_bytes() == before


def test_the_summary_counts_the_verdicts_of_each_paper(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    for cell in study.plan.cells:
        study.run(cell, 0, {"joint": 0.7})
    write_report(study.plan, study.root)
    summary = json.loads((study.root / "results/summary.json").read_text())
    assert summary["papers"]["mmpareto"]["numbers"]["stand_in"] == 14
    assert summary["benchmark"] == "made_up"


def test_the_report_of_a_plan_without_any_run_says_so(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    text = write_report(study.plan, study.root).read_text()
    assert "0 of 21 finished" in text
    assert "seed 0 missing, seed 1 missing, seed 2 missing" in text


@pytest.fixture(scope="module")
def single(project, plan) -> str:
    return write_single_file(plan, project.root).read_text()


def stored(single: str) -> dict[str, dict[str, str]]:
    return json.loads(re.search(r'id="stored-pages">(.*?)</script>', single, re.S)[1].replace("<\\/", "</"))


def unpacked(page: dict[str, str]) -> str:
    return gzip.decompress(base64.b64decode(page["body"])).decode()


def test_the_single_file_holds_every_page_and_its_links_lead_to_them(single, folder):
    held = stored(single)
    assert {f"{name}.html" for name in held} == set(pages(folder))
    for page in held.values():
        for link in targets(unpacked(page)):
            assert link.startswith("data:") or link.removeprefix("#/").partition("?")[0] in held


def test_the_single_file_needs_no_other_and_runs_no_script_but_its_own(single):
    root = parse(single)
    assert not [e for e in root.all("link", "script", "img") if e.get("src") or e.get("rel") == "stylesheet"]
    policy = next(e.get("content") for e in root.all("meta") if e.get("http-equiv"))
    script = next(e for e in root.all("script") if not e.attributes)
    text = "".join(script.children)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_markup_in_names_stays_text_in_the_single_file(single):
    assert "<script>alert" not in single
    assert not [name for name, page in stored(single).items() if "<script>alert" in unpacked(page)]


def test_stand_ins_are_noted_by_the_name_of_the_data_that_ran(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    data = dataclasses.replace(study.plan.cells[0].data, title="Some digits")
    cells = {cell.name: dataclasses.replace(cell, data=data) for cell in study.plan.cells}
    values = [dataclasses.replace(v, cell=v.cell and cells[v.cell.name]) for v in study.plan.values]
    study.plan = dataclasses.replace(study.plan, cells=list(cells.values()), values=values)
    study.runs("pcgrad", [0.7, 0.71, 0.72])
    text = (write_report(study.plan, study.root).parent / "tables/mmpareto.table3.html").read_text()
    assert "Some digits, in the place of Colored-and-gray-MNIST (N = 1,000)" in text


def test_a_figure_of_a_paper_without_tables_is_called_by_the_papers_title(make_study, repository):
    from counterpoise.planning.plan import make_plan

    study = make_study("table3", {"cg_mnist": "cg_digits"})
    other = make_plan(repository, repository / "configs/benchmarks/mlb.yaml", {"scale": "tiny"})
    formula = other.figure("mlb", "figure2")
    study.plan = dataclasses.replace(study.plan, figures=[formula])
    assert "mlb" not in study.plan.papers
    page = parse((write_report(study.plan, study.root).parent / "figures.html").read_text())
    (heading,) = [h.text for h in page.all("h2")]
    assert "MLB" in heading
    assert "mlb" not in heading


def test_seeds_that_were_added_to_some_cells_are_given_as_a_range(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    given = {study.plan.cells[0].name: 3}
    benchmark = study.plan.benchmark.model_copy(update={"sequential": True, "seed_looks": [2, 3]})
    study.plan = dataclasses.replace(study.plan, benchmark=benchmark, allotted=given)
    text = parse(write_report(study.plan, study.root).read_text()).text
    assert "2 to 3 seeds per cell" in text
    assert "0 of 15 finished" in text
