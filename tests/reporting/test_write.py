"""Everything derived is written below one folder, and what cannot be made is named and prevents nothing."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from reported import Reported

from counterpoise.errors import UserError
from counterpoise.reporting.tables.formats import as_markdown
from counterpoise.reporting.tables.view import view_table
from counterpoise.reporting.write import write_derived


@pytest.fixture
def reported(tmp_path) -> Reported:
    made = Reported(tmp_path / "made")
    made.finish()
    return made


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_tables_comparison_report_and_summary_have_their_places(reported, tmp_path):
    reported.write(tmp_path / "derived")
    there = names(tmp_path / "derived")
    assert {f"tables/made/table0.{form}" for form in ("md", "csv", "tex", "html")} <= there
    assert {f"comparison/made{end}.csv" for end in ("", ".claims", ".rankings", ".seeds")} <= there
    assert {"report/index.html", "summary.json"} <= there


def test_the_tables_are_those_of_the_comparison(reported, tmp_path):
    reported.write(tmp_path / "derived")
    shown = view_table(reported.results, reported.comparison, "table0")
    assert (tmp_path / "derived/tables/made/table0.md").read_text() == as_markdown(shown)


def test_writing_twice_gives_the_same_bytes(reported, tmp_path):
    for folder in ("one", "other"):
        reported.write(tmp_path / folder)
    assert names(tmp_path / "one") == names(tmp_path / "other")
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name


def test_the_summary_counts_and_says_what_came_out(reported, tmp_path):
    reported.write(tmp_path / "derived")
    summary = json.loads((tmp_path / "derived/summary.json").read_text())
    assert (summary["benchmark"], summary["partial"]) == ("reported", False)
    assert summary["runs"] == {"planned": 24, "finished": 24, "states": {"completed": 24}}
    paper = summary["papers"]["made"]
    assert paper["answer"].startswith("Made: ")
    assert "8 of 16 numbers compared" in paper["answer"]
    assert sum(paper["numbers"].values()) == 16
    assert summary["problems"] == []


def test_a_benchmark_whose_runs_are_not_all_there_is_partial(reported, tmp_path):
    reported.fail(reported.cells[0], 1, "boom")
    reported.write(tmp_path / "derived")
    summary = json.loads((tmp_path / "derived/summary.json").read_text())
    assert summary["partial"] is True
    assert summary["runs"]["states"] == {"completed": 23, "failed": 1}
    assert "23 of the 24 runs" in (tmp_path / "derived/tables/made/table0.md").read_text()


def test_a_page_that_cannot_be_made_says_so_and_the_others_are_there(reported, tmp_path, monkeypatch):
    from counterpoise.reporting.pages import site

    original = site._page

    def broken(content, page):
        if page.template == "claims.html.j2":
            raise ValueError("something odd")
        return original(content, page)

    monkeypatch.setattr(site, "_page", broken)
    (problem,) = reported.write(tmp_path / "derived")
    assert problem == "report/claims.html: cannot be made: ValueError: something odd"
    assert "something odd" in (tmp_path / "derived/report/claims.html").read_text()
    assert "Numbers" in (tmp_path / "derived/report/numbers.html").read_text()
    assert json.loads((tmp_path / "derived/summary.json").read_text())["problems"] == [problem]


def test_a_full_disk_is_named(reported, tmp_path, monkeypatch):
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        reported.write(tmp_path / "derived")


def test_results_of_one_paper_do_not_ask_for_another(make_study, tmp_path):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    assert write_derived(tmp_path, study.results, [study.compare()]) == []
