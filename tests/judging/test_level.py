"""A table's levels: the margin is no wider than what it must tell apart, and the word 'reproduced' is earned."""

from __future__ import annotations

import numpy as np
import pytest
from made_results import CONFIGS, load_once

from counterpoise.judging import statistics
from counterpoise.judging.level import shared_spreads
from counterpoise.judging.verdicts import Rule, Spread, Verdict, judge_number
from counterpoise.papers.paper import PrintedValue
from counterpoise.results.seeds import SeedValues


def as_printed(study, table: str, column: str, spread: float, n: int = 5) -> None:
    rng = np.random.default_rng(3)
    for row in study.paper.table(table).rows:
        level = study.paper.table(table).value(row.id, column).value
        if level is not None:
            study.runs(row.method, list((level + spread * rng.standard_normal(n)) / 100))


def test_a_margin_is_at_most_half_the_printed_range_of_its_column():
    paper = load_once(CONFIGS, "mmpareto")
    table = paper.table("table7")
    printed = [table.value(row, "cmu_mosi.accuracy").value for row in table.row_ids]
    printed = [value for value in printed if value is not None]
    assert table.margin("cmu_mosi.accuracy", paper) == pytest.approx((max(printed) - min(printed)) / 2)
    assert paper.table("table3").margin("cg_mnist.accuracy", paper) == 2.0


def test_where_most_wrong_pairings_pass_nothing_is_called_reproduced(make_study):
    study = make_study("table7", {"cmu_mosi": "cmu_mosi"}, range(10))
    study.metrics = ("accuracy",)
    for row in study.paper.table("table7").rows:  # every row the same: it passes wherever it passes
        study.runs(row.method, [0.7600 + 0.0002 * seed for seed in range(10)])
    found = study.compare()
    power = next(power for power in found.powers if power.column == "cmu_mosi.accuracy")
    assert power.share > 0.5
    verdicts = {row.verdict for row in found.rows_of("table7") if row.entry.column.id == "cmu_mosi.accuracy"}
    assert Verdict.WITHIN in verdicts
    assert Verdict.REPRODUCED not in verdicts
    assert any("wrong pairings" in row.number.reason for row in found.rows_of("table7"))


def test_where_wrong_pairings_fail_a_level_is_reproduced(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(5))
    study.metrics = ("accuracy",)
    as_printed(study, "table3", "cg_mnist.accuracy", 0.2)
    found = study.compare()
    power = next(power for power in found.powers if power.column == "cg_mnist.accuracy")
    assert power.share <= 0.5
    assert {row.verdict for row in found.rows if row.entry.column.id == "cg_mnist.accuracy"} >= {Verdict.REPRODUCED}


def test_a_printed_number_counts_once_whatever_variants_run(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, variants={"mmpareto": ["published", "released"]})
    for variant in ("published", "released"):
        study.runs("mmpareto", [0.30, 0.31, 0.305], variant=variant)
    found = study.compare()
    assert found.number_counts["deviates"] == 2  # accuracy and macro F1 of the first variant
    assert len(found.compared) == 2


def test_printed_rounding_counts():
    ours = SeedValues(finished={0: 0.1062, 1: 0.1064, 2: 0.1060})
    rounded = judge_number(PrintedValue(printed="0.11"), ours, Rule(margin=0.001))
    exact = judge_number(PrintedValue(printed="0.1100"), ours, Rule(margin=0.001))
    assert (rounded.verdict, exact.verdict) == (Verdict.CONSISTENT, Verdict.DEVIATES)


def test_a_printed_spread_takes_the_place_of_ours_for_the_papers_runs():
    ours = SeedValues(finished={0: 70.0, 1: 70.1, 2: 70.2})
    without = judge_number(PrintedValue(printed="72.00"), ours, Rule(margin=1.0, printed_runs=3))
    with_it = judge_number(PrintedValue(printed="72.00", spread=2.0), ours, Rule(margin=1.0, printed_runs=3))
    assert (without.verdict, with_it.verdict) == (Verdict.DEVIATES, Verdict.CONSISTENT)


@pytest.mark.parametrize("values", [(50.0,), (50.0, 50.0, 50.0)])
def test_seeds_without_a_spread_borrow_that_of_the_column(values):
    shared = Spread(std=1.0, degrees=12, source="spread pooled over the column's rows")
    ours = SeedValues(finished=dict(enumerate(values)))
    found = judge_number(PrintedValue(printed="71.10"), ours, Rule(margin=2.0, shared=shared))
    assert found.verdict is Verdict.DEVIATES
    assert "pooled" in found.reason


@pytest.mark.parametrize(("seeds", "degrees"), [(3, 2), (10, 4)])
def test_a_borrowed_spread_counts_as_that_of_one_lender_and_no_more_than_five_seeds(make_study, seeds, degrees):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(seeds))
    study.metrics = ("accuracy",)
    as_printed(study, "table3", "cg_mnist.accuracy", 0.2)
    study.runs("pcgrad", [0.79])
    (spread,) = shared_spreads([row.entry for row in study.compare().rows]).values()
    assert spread.degrees == degrees


def test_one_run_fifty_points_away_deviates_without_any_spread(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, [0])
    study.runs("pcgrad", [0.29])
    row = next(r for r in study.compare().rows if r.entry.label == "PCGrad" and r.number.n)
    assert row.verdict is Verdict.DEVIATES
    assert "assumed" in row.number.reason


def test_many_true_numbers_do_not_set_the_exit_code_by_chance(make_study):
    """One number in twenty is outside its 95 % interval: corrected over all, that is no deviation of the paper."""
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(5))
    study.metrics = ("accuracy",)
    as_printed(study, "table3", "cg_mnist.accuracy", 0.2)
    # 2.3 away with a spread of 0.7: just outside the interval, p about 0.03, above 2 points
    study.runs("pcgrad", [x / 100 for x in (79.35 - 2.4 + d for d in (-0.8, -0.4, 0.0, 0.4, 0.8))])
    found = study.compare()
    row = next(r for r in found.rows if r.entry.label == "PCGrad" and r.entry.column.id == "cg_mnist.accuracy")
    assert row.verdict is Verdict.DEVIATES
    assert row.number.p_value < 0.05 < row.number.p_corrected
    assert found.exit_code == 0
    assert found.false_expected == pytest.approx(0.05 * len(found.compared))


def test_collapsed_seeds_are_counted_apart_and_the_mean_stays_that_of_all():
    ours = SeedValues(finished={0: 70.0, 1: 70.3, 2: 70.1, 3: 58.0, 4: 70.2})
    found = judge_number(PrintedValue(printed="70.10"), ours, Rule(margin=2.0, range=100.0))
    assert found.collapsed == (3,)
    assert "1 of 5 seeds collapsed (seed 3: 58" in found.reason
    assert found.mean == pytest.approx(67.72)
    assert (found.median, found.iqm) == (70.1, pytest.approx(70.1))


def test_an_ordinary_spread_is_no_collapse():
    rng = np.random.default_rng(0)
    every = [statistics.collapsed(dict(enumerate(70 + 2 * rng.standard_normal(10))), "higher", 100) for _ in range(500)]
    assert sum(map(bool, every)) < 15


def test_the_curve_of_margins_never_loses_a_number_as_it_widens(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(5))
    as_printed(study, "table3", "cg_mnist.accuracy", 0.5)
    curve = [point for point in study.compare().curves if point.table == "table3"]
    within = [point.within for point in curve]
    assert within == sorted(within)
    assert within[0] < within[-1]
    assert {point.within + point.deviates + point.neither for point in curve} == {14}
