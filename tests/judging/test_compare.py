"""The comparison as a whole: its file, its counts, its exit code."""

from __future__ import annotations

import csv
import io

import pytest
from made_results import CONFIGS, load_once

from counterpoise.errors import UserError
from counterpoise.judging.compare import judge
from counterpoise.results.table import read_results, write_results

HEADER = (
    "paper,table,row,column,dataset,metric,printed,mean,std,n,median,iqm,collapsed,comparability,margin,delta,low,high,"
    "equal_low,equal_high,p_value,p_corrected,counted,verdict,reason"
)


@pytest.fixture
def stand_in(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"}, variants={"mmpareto": ["published", "released"]})
    for cell in study.cells:
        for seed in study.layout.seeds:
            study.run(cell, seed, {"joint": 0.80 + 0.01 * seed + 0.001 * len(cell.method)})
    return study


def lines(comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(comparison.csv())))


def line(comparison, row: str, column: str) -> dict[str, str]:
    return next(found for found in lines(comparison) if (found["row"], found["column"]) == (row, column))


def test_the_file_has_exactly_the_declared_columns(stand_in):
    assert stand_in.compare().csv().splitlines()[0] == HEADER


def test_every_printed_entry_is_there_with_a_verdict_and_a_reason(stand_in):
    found = lines(stand_in.compare())
    paper = stand_in.paper
    entries = sum(len(table.rows) * len(table.columns) for table in paper.tables.values())
    assert len(found) == entries + len(paper.table("table3").columns)  # one row runs in two variants
    assert all(row["verdict"] and row["reason"] for row in found)


def test_ours_is_in_printed_units_over_the_finished_seeds(stand_in):
    found = line(stand_in.compare(), "PCGrad", "cg_mnist.accuracy")
    assert (found["printed"], found["mean"], found["std"], found["n"]) == ("79.35", "81.6", "1", "3")
    assert (found["dataset"], found["verdict"], found["delta"]) == ("cg_digits", "stand-in", "")
    assert float(found["low"]) < 81.6 < float(found["high"])


def test_variants_of_a_row_are_adjacent_lines(stand_in):
    rows = list(dict.fromkeys(found["row"] for found in lines(stand_in.compare()) if found["table"] == "table3"))
    assert rows[-2:] == ["MMPareto (published)", "MMPareto (released)"]


def test_what_does_not_run_names_the_reason(stand_in):
    comparison = stand_in.compare()
    assert line(comparison, "PCGrad", "modelnet40.accuracy")["verdict"] == "not run"
    assert line(comparison, "AGM", "crema_d.accuracy")["reason"] == "not in this benchmark"
    assert line(comparison, "Greedy", "cmu_mosi.accuracy")["verdict"] == "not defined"


def test_delta_is_ours_minus_printed(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.60, 0.61, 0.605])
    found = line(study.compare(), "PCGrad", "cg_mnist.accuracy")
    assert (found["verdict"], found["delta"]) == ("deviates", "-18.85")


def test_nothing_run_is_exit_code_five_and_all_not_run(make_study):
    comparison = make_study("table3", {"cg_mnist": "cg_mnist"}).compare()
    assert comparison.exit_code == 5
    assert comparison.number_counts["not run"] + comparison.number_counts["not defined"] == sum(
        not row.entry.table.unprinted for row in comparison.rows
    )


def test_a_deviation_is_exit_code_three(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.60, 0.61, 0.605])
    assert study.compare().exit_code == 3


def test_a_diverged_number_is_exit_code_three(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.diverge("pcgrad", 0)
    assert study.compare().exit_code == 3


def test_a_refuted_claim_is_exit_code_four(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, [0, 1, 2, 3, 4])
    study.runs("uniform", [0.600, 0.601, 0.602, 0.601, 0.600])
    study.runs("conventional_pareto", [0.70, 0.702, 0.701, 0.7, 0.703])
    assert study.compare().exit_code == 4


def test_nothing_that_happens_on_a_stand_in_changes_the_exit_code(stand_in):
    stand_in.runs("uniform", [0.600, 0.601, 0.602])
    stand_in.runs("conventional_pareto", [0.70, 0.702, 0.701])
    stand_in.diverge("pcgrad", 0)
    assert stand_in.compare().exit_code == 5  # as without runs: nothing is compared with the paper


def test_reproduced_and_consistent_numbers_are_exit_code_zero(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.metrics = ("accuracy",)
    study.runs("pcgrad", [0.793, 0.795, 0.792])
    study.runs("gradnorm", [0.74, 0.77, 0.78])
    comparison = study.compare()
    assert comparison.exit_code == 0
    assert comparison.number_counts["reproduced"] >= 1
    assert comparison.number_counts["consistent"] >= 1


def test_the_ranking_of_a_column_is_compared_with_the_printed_one(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    table = study.paper.table("table3")
    for row in table.rows:
        level = table.value(row.id, "cg_mnist.accuracy").value / 100
        study.runs(row.method, [level, level + 0.001, level - 0.001])
    ranking = next(r for r in study.compare().rankings if r.column == "cg_mnist.accuracy")
    assert (ranking.tau, ranking.rows, ranking.n, ranking.stand_in) == (1.0, 7, 3, False)
    assert ranking.p_value < 0.001  # exact: one of 7! orders, twice
    assert (ranking.best, ranking.p_best) == ("MMPareto", 1.0)
    assert ranking.improvement > 0.95


def test_a_ranking_of_one_seed_is_tested_by_its_order_alone(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, [0])
    for method in ("joint", "uniform", "pcgrad"):
        study.runs(method, [0.5 + 0.01 * len(method)])
    ranking = study.compare().rankings[0]
    assert ranking.tau is not None
    assert ranking.p_value > 0.3  # three rows can be in six orders: none of them is surprising


def test_judging_gives_the_same_texts_each_time_and_a_summary(stand_in):
    found = stand_in.compare()
    assert found.texts() == stand_in.compare().texts()
    parts = ("", ".claims", ".rankings", ".seeds", ".gains", ".columns", ".margins", ".pairs")
    assert set(found.texts()) == {f"mmpareto{part}.csv" for part in parts}
    summary = found.summary()
    assert summary["numbers"]["stand_in"] == 14
    assert (summary["benchmark"], summary["seeds"], summary["exit_code"]) == ("made_up", [0, 1, 2], 5)


def test_results_of_another_engine_that_were_written_and_read_are_judged_alike(stand_in, tmp_path):
    assert not any(run.record for run in stand_in.results.runs)
    write_results(stand_in.results, tmp_path)
    again = judge(stand_in.paper, read_results(tmp_path))
    assert again.texts() == stand_in.compare().texts()
    assert again.summary() == stand_in.compare().summary()


def test_each_number_of_a_table_has_one_row_with_its_cell(stand_in):
    rows = stand_in.compare().rows_of("table3")
    places = [(row.entry.row, row.entry.variant, row.entry.column.id) for row in rows]
    assert len(places) == len(set(places))
    assert {row.entry.cell is None for row in rows if row.entry.column.group == "cg_mnist"} == {False}
    assert {row.entry.cell for row in rows if row.entry.column.group != "cg_mnist"} == {None}


def test_a_failed_run_is_named_with_its_reason(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.fail("pcgrad", 0, "8 GiB", status="out_of_memory")
    found = line(study.compare(), "PCGrad", "cg_mnist.accuracy")
    assert found["verdict"] == "failed"
    assert found["reason"] == "seed 0 out of memory (8 GiB); seeds 1, 2 missing"


def test_an_output_that_the_runs_lack_is_named(make_study):
    study = make_study("table1", {"crema_d": "crema_d"})
    study.runs("agm", [0.7, 0.71, 0.72])
    found = line(study.compare(), "AGM", "crema_d.accuracy_audio")
    assert (found["verdict"], found["n"]) == ("not run", "0")
    assert "no output 'probe:audio'" in found["reason"]  # a row with a star: measured on a probe


def test_sampling_error_is_that_of_one_run_on_the_test_set(stand_in):
    found = next(
        row
        for row in stand_in.compare().rows
        if row.entry.label == "PCGrad" and row.entry.column.id == "cg_mnist.accuracy"
    )
    assert found.sampling_error == pytest.approx(100 * (0.816 * 0.184 / 1000) ** 0.5)


def test_a_paper_outside_the_benchmark_is_named(stand_in):
    with pytest.raises(UserError, match="'mlb'"):
        judge(load_once(CONFIGS, "mlb"), stand_in.results)
