"""The statistics equal the libraries' and behave at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from counterpoise.judging import statistics

ACCURACIES = np.array([70.3, 71.9, 69.8, 70.9])


def summary(values: np.ndarray) -> tuple[float, float, int]:
    return values.mean(), values.std(ddof=1), len(values)


@pytest.mark.parametrize("target", [70.0, 71.5, 74.0])
def test_equivalence_is_statsmodels_tost(target):
    theirs = DescrStatsW(ACCURACIES).ttost_mean(target - 2.0, target + 2.0)[0]
    assert statistics.equivalence_p(*summary(ACCURACIES), target, 2.0) == pytest.approx(theirs, rel=1e-9)


def test_prediction_interval_holds_one_more_run_as_often_as_it_says():
    rng = np.random.default_rng(1)
    runs = rng.normal(70.0, 1.3, (20000, 4))
    low, high = statistics.prediction_interval(runs[:, :3].mean(1), runs[:, :3].std(1, ddof=1), 3)
    assert np.mean((runs[:, 3] > low) & (runs[:, 3] < high)) == pytest.approx(0.95, abs=0.006)


def test_prediction_interval_of_a_mean_of_runs_is_narrower():
    one = np.diff(statistics.prediction_interval(*summary(ACCURACIES), runs=1))
    three = np.diff(statistics.prediction_interval(*summary(ACCURACIES), runs=3))
    assert three < one


def test_paired_p_is_scipys_paired_t_test():
    ours, theirs = np.array([71.0, 72.5, 70.9]), np.array([70.2, 70.9, 70.8])
    above, below = statistics.paired_p(ours - theirs)
    assert above == pytest.approx(stats.ttest_rel(ours, theirs, alternative="greater").pvalue, rel=1e-9)
    assert below == pytest.approx(stats.ttest_rel(ours, theirs, alternative="less").pvalue, rel=1e-9)


def test_paired_p_takes_many_studies_at_once():
    differences = np.random.default_rng(2).normal(0.5, 1.0, (7, 5))
    above, _ = statistics.paired_p(differences, bound=0.2)
    assert above == pytest.approx([float(statistics.paired_p(row, 0.2)[0]) for row in differences])


def test_equal_differences_are_judged_by_signs_and_not_by_a_zero_spread():
    above, below = statistics.paired_p([0.5, 0.5, 0.5])
    assert (above, below) == (pytest.approx(1 / 8), 1.0)


def test_equal_differences_with_rounding_in_the_last_digit_are_still_equal():
    shares = (np.array([250, 251, 253]) - np.array([249, 250, 252])) / 300 * 100
    shifted = np.array([250, 251, 253]) / 300 * 100 - np.array([249, 250, 252]) / 300 * 100
    assert statistics.paired_p(shares)[0] == statistics.paired_p(shifted)[0] == pytest.approx(1 / 8)


def test_no_difference_at_all_is_evidence_for_neither_side():
    assert statistics.paired_p([0.0, 0.0, 0.0]) == (1.0, 1.0)


def test_a_diverged_run_counts_as_one_lost_pair():
    above, below = statistics.paired_p([math.inf, 0.4, 0.9])
    assert (above, below) == (pytest.approx(1 / 8), 1.0)
    assert statistics.paired_p([-math.inf, 0.4, 0.9])[0] == pytest.approx(0.5)


def test_holm_of_the_textbook_example():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]).size == 0


def test_holm_is_statsmodels_for_each_family():
    families = np.random.default_rng(6).uniform(0, 0.2, (5, 8))
    theirs = np.array([multipletests(family, method="holm")[1] for family in families.T]).T
    assert statistics.holm(families) == pytest.approx(theirs)


def test_detectable_difference_has_the_power_it_promises():
    std, n = 1.2, 4
    gap = statistics.detectable_difference(std, n, runs=1, alpha=0.05)
    rng = np.random.default_rng(3)
    runs = rng.normal(0.0, std, (20000, n))
    printed = rng.normal(gap, std, 20000)
    low, high = statistics.prediction_interval(runs.mean(1), runs.std(1, ddof=1), n)
    assert np.mean((printed < low) | (printed > high)) == pytest.approx(statistics.POWER, abs=0.01)


def test_seeds_for_equivalence_have_the_power_they_promise():
    n = statistics.seeds_to_show_equivalence(0.5, 1.0, 2.0, 0.05)
    rng = np.random.default_rng(4)
    for seeds, enough in ((n, True), (n - 1, False)):
        runs = rng.normal(0.5, 1.0, (20000, seeds))
        shown = statistics.equivalence_p(runs.mean(1), runs.std(1, ddof=1), seeds, 0.0, 2.0) < 0.05
        assert (shown.mean() > statistics.POWER - 0.01) == enough


def test_no_number_of_seeds_shows_equivalence_beyond_the_margin():
    assert statistics.seeds_to_show_equivalence(2.1, 0.1, 2.0, 0.05) is None


def test_no_number_of_our_seeds_makes_up_for_the_spread_of_one_printed_run():
    assert statistics.seeds_to_show_deviation(2.0, 1.0, 1, 0.05) is None
    assert statistics.seeds_to_show_deviation(5.0, 1.0, 1, 0.05) >= 2


def test_seeds_for_an_order_are_those_of_statsmodels():
    theirs = TTestPower().solve_power(effect_size=0.8, alpha=0.05, power=0.8, alternative="larger")
    assert statistics.seeds_to_show_order(0.8, 1.0, 0.05) == math.ceil(theirs)


def test_more_spread_needs_more_seeds():
    few, many = (statistics.seeds_to_show_order(1.0, std, 0.05) for std in (0.5, 3.0))
    assert few < many


def test_binomial_error_at_a_known_point():
    assert 100 * statistics.binomial_error(0.71, 744) == pytest.approx(1.66, abs=0.005)


@pytest.mark.parametrize("ours", [[1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 4, 3], [1, 1, 2, 2], [3, 3, 3, 1]])
def test_kendall_is_scipys_tau_b(ours):
    printed = [60.5, 75.7, 75.7, 81.9]
    assert statistics.kendall(printed, ours) == pytest.approx(stats.kendalltau(printed, ours).statistic)


def test_kendall_of_rows_that_all_tie_is_not_a_number():
    assert math.isnan(statistics.kendall([1, 2, 3], [5, 5, 5]))


def test_rankings_that_no_resample_changes_have_a_point_interval():
    runs = [[1.0, 1.1, 0.9], [5.0, 5.2, 4.9], [9.0, 9.1, 8.8]]
    assert statistics.kendall_interval([10, 20, 30], runs, np.random.default_rng(0)) == (1.0, 1.0, 1.0)


def test_the_bootstrap_is_the_same_for_the_same_generator():
    runs = np.random.default_rng(5).normal(0, 1, (6, 4))
    first, again = (statistics.kendall_interval(range(6), runs, np.random.default_rng(7)) for _ in range(2))
    assert first == again
    assert first[1] <= first[0] <= first[2]
