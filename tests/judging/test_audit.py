"""The audit's arithmetic is right, finds what is there in the papers, and finds nothing where all is well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from counterpoise.judging.audit import Check, audit_paper, best_size, chance, fit_size, is_fraction
from counterpoise.papers.paper import Paper, load_paper

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def paper() -> Paper:
    return load_paper(CONFIGS, "mmpareto")


def found(paper: Paper, check: Check, where: str) -> list:
    return [f for f in audit_paper(paper) if f.check is check and f.where.startswith(where)]


def changed(paper: Paper, table: str, row: str, column: str, **marks: object) -> Paper:
    """Return the paper with one printed entry changed."""
    old = paper.table(table)
    value = old.value(row, column).model_copy(update=marks)
    rows = tuple(
        line.model_copy(update={"values": {**line.values, column: value}}) if line.id == row else line
        for line in old.rows
    )
    return paper.model_copy(update={"tables": {**paper.tables, table: old.model_copy(update={"rows": rows})}})


@pytest.mark.parametrize("k", [0, 1, 417, 529, 559, 743, 744])
def test_every_rounded_share_of_the_test_set_is_a_fraction_of_it(k):
    assert is_fraction(float(f"{100 * k / 744:.2f}"), 744)


@pytest.mark.parametrize("percent", [72.01, 52.23, 69.19])
def test_what_lies_between_two_shares_is_no_fraction(percent):
    assert not is_fraction(percent, 744)


def test_chance_is_the_share_of_percentages_that_fit():
    grid = np.round(np.arange(0, 10001) / 100, 2)
    assert np.mean([is_fraction(value, 744) for value in grid]) == pytest.approx(chance(744), rel=0.02)
    assert chance(10000) == 1.0


def test_the_scan_finds_the_size_that_made_the_numbers():
    rng = np.random.default_rng(3)
    shares = np.round(100 * rng.integers(400, 1200, 25) / 1376, 2)
    best = best_size(shares)
    assert (best.size, best.hits) == (1376, 25)
    assert best.p_value < 1e-10


def test_arbitrary_percentages_fit_no_size_beyond_chance():
    rng = np.random.default_rng(4)
    p_values = [best_size(np.round(rng.uniform(30, 80, 25), 2)).p_value for _ in range(40)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_table_1_on_crema_d_fits_the_known_test_set_as_computed_by_hand(paper):
    finding = next(f for f in found(paper, Check.GRANULARITY, "Table 1, CREMA-D"))
    assert "21 of 29" in finding.finding
    assert finding.p_value == pytest.approx(5e-18, rel=0.2)
    for miss in ("72.01", "52.23", "69.19", "60.69", "66.32", "70.06", "60.38", "37.54"):
        assert miss in finding.evidence


def test_kinetics_sounds_does_not_fit_the_known_list_but_another_size(paper):
    fits = {f.finding.split("k/")[1].split(" ")[0]: f for f in found(paper, Check.GRANULARITY, "All tables, Kinetics")}
    assert fits["2,597"].p_value > 0.05
    assert fits["1,376"].p_value < 1e-15


def test_the_small_tables_fit_as_computed_by_hand(paper):
    assert "7 of 7" in found(paper, Check.GRANULARITY, "Table 3, ModelNet40")[0].finding
    assert "4 of 7" in found(paper, Check.GRANULARITY, "Table 7, CMU-MOSI")[0].finding


def test_leads_are_counted_in_test_examples(paper):
    assert "23 of 744" in found(paper, Check.RESOLUTION, "Table 1, CREMA-D Acc")[0].finding
    assert "17 of 1,376" in found(paper, Check.RESOLUTION, "Table 1, Kinetics Sounds Acc")[0].finding


def test_rows_with_the_same_number_are_named(paper):
    findings = {f.where: f.finding for f in found(paper, Check.DUPLICATES, "Table 2")}
    same = findings["Table 2, Kinetics Sounds from scratch Acc"]
    assert "Uniform baseline and Greedy" in same
    assert "macro F1" in same
    assert "One joint loss and Greedy" in findings["Table 2, CREMA-D with pretrain macro F1"]


def test_counts_that_differ_from_their_source_are_notable(paper):
    notable = [f.finding for f in found(paper, Check.COUNTS, "") if f.notable]
    assert notable == ["states 9,483 training samples, against 9,843"]


def test_marks_of_the_paper_are_where_the_numbers_put_them(paper):
    assert not [f for f in found(paper, Check.MARKS, "") if f.notable]


def test_a_bold_that_is_not_the_best_is_found(paper):
    wrong = changed(paper, "table3", "PCGrad", "cg_mnist.accuracy", bold=True)
    finding = next(f for f in found(wrong, Check.MARKS, "Table 3, CG-MNIST Acc") if f.notable)
    assert "MMPareto, PCGrad" in finding.finding


def test_an_underline_that_is_not_the_runner_up_is_found(paper):
    wrong = changed(paper, "table3", "PCGrad", "cg_mnist.accuracy", underline=False)
    assert any("runner-up" in f.finding for f in found(wrong, Check.MARKS, "Table 3, CG-MNIST Acc"))


def test_an_arrow_without_a_drop_is_found(paper):
    wrong = changed(paper, "table5", "MetaBalance", "multi_mnist.accuracy_left", drop=True)
    assert any("without a drop" in f.finding for f in found(wrong, Check.MARKS, "Table 5, Accuracy"))


def test_a_size_fits_all_or_none_of_its_own_numbers():
    assert fit_size([50.0, 25.0], 4).misses == ()
    assert fit_size([33.33, 66.67], 4).hits == 0


def test_a_paper_without_numbers_can_be_audited():
    findings = audit_paper(load_paper(CONFIGS, "mlb"))
    assert {f.check for f in findings} == {Check.COUNTS}


def test_misses_go_by_row(paper):
    (finding,) = found(paper, Check.ROWS, "")
    assert finding.finding.startswith("AGM: 1 of 11")
    assert "MMPareto 12 of 12" in finding.evidence
    assert "Uniform baseline 12 of 12" in finding.evidence
    assert finding.notable
    assert finding.p_value < 1e-3


def test_a_size_that_we_assume_gets_no_star(paper):
    assumed = [f for f in audit_paper(paper) if "size assumed" in f.evidence]
    assert assumed
    assert not any(f.notable for f in assumed)


def test_a_paper_that_averages_runs_is_not_blamed_for_fractions_of_their_examples(paper):
    """Means of three runs on 686 examples are k/2,058: fewer of them are k/686, and that is no finding."""
    rng = np.random.default_rng(0)
    made = paper.model_copy(update={"printed_runs": 3, "tables": {"table7": paper.table("table7")}})
    for row in paper.table("table7").row_ids:
        if paper.table("table7").value(row, "cmu_mosi.accuracy").kind == "number":
            k = int(rng.integers(1500, 1600))
            made = changed(made, "table7", row, "cmu_mosi.accuracy", printed=f"{100 * k / 2058:.2f}")
    assert not any(f.notable for f in found(made, Check.GRANULARITY, "Table 7"))


def test_rows_that_tie_in_two_columns_are_one_finding(paper):
    ties = [f for f in found(paper, Check.DUPLICATES, "Table 2, Kinetics Sounds from scratch") if "Greedy" in f.finding]
    assert len(ties) == 1
    assert "macro F1" in ties[0].finding
