"""Whatever a reader is told names tables and columns as the paper does; their ids are for commands, files and links."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from html_page import Element, parse

from counterpoise.judging.audit import audit_paper
from counterpoise.judging.compare import Comparison
from counterpoise.judging.difference import difference
from counterpoise.publication.readme import paper_facts
from counterpoise.reporting.difference import print_difference
from counterpoise.reporting.outcome import table_summary
from counterpoise.reporting.terminal import make_console, print_comparison
from counterpoise.reporting.trace import trace_lines
from counterpoise.reporting.write import write_derived
from counterpoise.results.names import find_values
from counterpoise.results.result_set import load_result_set

ID = re.compile(r"\b(?:crema_d|kinetics_sounds)\.[a-z]\w*|\btable\d\b")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Table 1 with runs of every row, an added one among them."""
    from made_results import MadeResults

    groups = {"crema_d": "crema_d", "kinetics_sounds": "kinetics_sounds"}
    study = MadeResults("mmpareto", {"table1": groups}, range(4))
    rng = np.random.default_rng(3)
    for number, cell in enumerate(study.cells):
        for seed in range(4):
            shares = 0.5 + 0.02 * number + 0.01 * rng.standard_normal(3)
            study.run(cell, seed, dict(zip(("joint", "audio", "visual"), shares, strict=True)))
    places = [v for v in study.layout.values if v.row == "MMPareto"]
    added = tuple(v.model_copy(update={"row": "Mine"}) for v in places)
    study.layout = study.layout.model_copy(update={"values": (*study.layout.values, *added)})
    return study


@pytest.fixture(scope="module")
def comparison(study) -> Comparison:
    return study.compare()


@pytest.fixture(scope="module")
def folder(study, comparison, tmp_path_factory):
    folder = tmp_path_factory.mktemp("titles")
    assert write_derived(folder, study.results, [comparison]) == []
    return folder


def shown(element: Element) -> str:
    """What a page shows, its pieces of code left out."""
    parts = [
        child if isinstance(child, str) else shown(child)
        for child in element.children
        if isinstance(child, str) or child.tag not in ("code", "pre", "script", "style")
    ]
    return " ".join(" ".join(parts).split())


def ids(text: str) -> set[str]:
    return set(ID.findall(text))


def test_the_terminal_does(comparison):
    buffer = io.StringIO()
    print_comparison(comparison, make_console(buffer))
    assert "Table 1, CREMA-D Acc audio" in buffer.getvalue()
    assert ids(buffer.getvalue()) == set()


def test_a_tables_summary_does(comparison):
    said = table_summary(comparison, "table1")
    assert "Pattern: CREMA-D Acc " in said
    assert ids(said) == set()


def test_the_reasons_of_claims_and_what_they_compare_do(comparison):
    for claim in comparison.claims:
        assert ids(claim.reason) == set()
        assert [contrast.name for contrast in claim.contrasts if ids(contrast.name)] == []


def test_the_audit_does(comparison):
    for finding in audit_paper(comparison.paper):
        assert ids(f"{finding.where}; {finding.finding}; {finding.evidence}") == set()


def test_every_page_of_the_report_does(folder):
    pages = {path.relative_to(folder).as_posix(): path for path in (folder / "report").rglob("*.html")}
    found = {name: ids(shown(parse(path.read_text()).all("body")[0])) for name, path in pages.items()}
    assert {name: names for name, names in found.items() if names} == {}


def test_the_readme_of_a_record_does(study, comparison):
    facts = paper_facts(study.results, comparison)
    columns = [(found.table, found.column) for found in (*facts.spreads, *facts.optimism)]
    assert ("Table 1", "CREMA-D Acc audio") in columns
    assert ids(str([*columns, facts.sentences, facts.stand_ins])) == set()


def test_a_comparison_of_two_results_does_where_the_paper_is_known(folder, study, tmp_path):
    study.run(study.cell("mmpareto"), 0, {"joint": 0.1, "audio": 0.1, "visual": 0.1})
    other = tmp_path / "other"
    assert write_derived(other, study.results, [study.compare()]) == []
    found = difference(load_result_set(str(folder), tmp_path), load_result_set(str(other), tmp_path))
    for papers, expected in (({"mmpareto": study.paper}, "Table 1 of MMPareto, CREMA-D Acc audio"), ({}, "table1")):
        buffer = io.StringIO()
        print_difference(found, console=make_console(buffer), papers=papers)
        assert expected in buffer.getvalue()
        assert bool(ids(buffer.getvalue())) is (not papers)


def test_a_trace_says_in_words_which_number_it_is_of(study):
    (value,) = find_values(study.layout, "mmpareto.table1.MMPareto.crema_d.accuracy_visual")
    assert "  number     Table 1 of MMPareto, MMPareto, CREMA-D Acc video" in trace_lines(
        study.results, study.paper, value
    )
