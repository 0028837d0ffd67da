"""The report is one offline page whose links resolve, with every table, claim and origin."""

from __future__ import annotations

import json
import re

import pytest

from counterpoise.errors import UserError
from counterpoise.reporting.report import write_report


@pytest.fixture
def study(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"}, variants={"mmpareto": ["published", "released"]})
    for cell in study.plan.cells:
        for seed in study.plan.seeds:
            study.run(cell, seed, {"joint": 0.7 + 0.01 * seed + 0.001 * len(cell.name)})
    return study


def test_the_page_has_the_table_the_claims_and_each_cells_origin(study):
    text = write_report(study.plan, study.root).read_text()
    assert "Conventional Pareto" in text
    assert "t3-cg-mnist-best" in text
    for cell in study.plan.cells:
        assert cell.name in text
        assert str(cell.run_directory(0)) in text


def test_links_resolve_within_the_page_and_none_leads_elsewhere(study):
    text = write_report(study.plan, study.root).read_text()
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    names = re.findall(r'\bid="([^"]*)"', text)
    assert links
    assert all(link.startswith("#") and link[1:] in names for link in links)
    assert len(names) == len(set(names))
    assert "url(" not in text


def test_the_summary_counts_the_verdicts_of_each_paper(study):
    write_report(study.plan, study.root)
    summary = json.loads((study.root / "results/summary.json").read_text())
    assert summary["papers"]["mmpareto"]["numbers"]["stand_in"] == 16
    assert summary["benchmark"] == "made_up"


def test_the_report_of_a_plan_without_any_run_says_so(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    text = write_report(study.plan, study.root).read_text()
    assert "seeds 0, 1, 2 missing" in text
    assert "not run" in text


def test_the_page_is_the_same_bytes_for_the_same_results(study):
    first = write_report(study.plan, study.root).read_bytes()
    assert write_report(study.plan, study.root).read_bytes() == first


def test_a_truncated_record_is_named_and_the_old_page_stays(study):
    path = write_report(study.plan, study.root)
    before = path.read_bytes()
    broken = study.root / study.plan.cells[0].run_directory(1) / "record.json"
    broken.write_text('{"schema": 1')
    with pytest.raises(UserError, match=r"record\.json.*truncated"):
        write_report(study.plan, study.root)
    assert path.read_bytes() == before
