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


def level(values: np.ndarray, printed, **more):
    values = np.asarray(values)
    n = values.shape[-1]
    return statistics.level_test(values.mean(-1), values.std(-1, ddof=1), n, printed, **{"margin": 2.0, **more})


@pytest.mark.parametrize("target", [70.0, 71.5, 74.0])
def test_equivalence_is_statsmodels_tost(target):
    theirs = DescrStatsW(ACCURACIES).ttost_mean(target - 2.0, target + 2.0)[0]
    assert level(ACCURACIES, target).p_equal == pytest.approx(theirs, rel=1e-9)


def test_prediction_interval_holds_one_more_run_as_often_as_it_says():
    rng = np.random.default_rng(1)
    runs = rng.normal(70.0, 1.3, (20000, 4))
    found = level(runs[:, :3], runs[:, 3])
    inside = (runs[:, 3] > found.low) & (runs[:, 3] < found.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.006)
    assert np.array_equal(inside, found.p_outside > 0.05)


def test_prediction_interval_of_a_mean_of_runs_is_narrower():
    one, three = (level(ACCURACIES, 70.0, runs=runs) for runs in (1, 3))
    assert three.high - three.low < one.high - one.low


def test_two_test_sets_that_are_drawn_anew_are_in_the_interval():
    """Our test set and the paper's are two draws: each adds its own sampling error."""
    rng = np.random.default_rng(2)
    studies, error = 20000, 1.5
    ours = rng.normal(70.0, 0.5, (studies, 5)) + rng.normal(0.0, error, (studies, 1))
    printed = rng.normal(70.0, 0.5, studies) + rng.normal(0.0, error, studies)
    assert np.mean(level(ours, printed, test_error=error).p_outside < 0.05) == pytest.approx(0.05, abs=0.006)
    assert np.mean(level(ours, printed).p_outside < 0.05) > 0.3


def test_the_spread_pooled_over_rows_weighs_them_by_their_degrees_of_freedom():
    std, degrees = statistics.pooled_spread([1.0, 2.0], [2, 4])
    assert (std, degrees) == (pytest.approx(((1 + 3 * 4) / 4) ** 0.5), 4)
    assert statistics.pooled_spread([], []) == (0.0, 0)
    assert statistics.pooled_spread([1.0, None, 2.0, None], [2, 1, 4, 0]) == (std, degrees), "one run has no spread"


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
    assert statistics.holm_of_known([0.01, None, 0.04, 0.03, None, 0.005]) == pytest.approx(
        [0.03, None, 0.06, 0.06, None, 0.02]
    ), "what was not tested makes no other p-value larger"
    assert statistics.holm_of_known([None]) == [None]


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
    found = level(runs, printed).p_outside < 0.05
    assert np.mean(found) == pytest.approx(0.8, abs=0.015)


def test_seeds_for_equivalence_have_the_power_they_promise():
    n = statistics.seeds_to_show_equivalence(0.5, 1.0, 2.0, 0.05)
    rng = np.random.default_rng(4)
    for seeds, enough in ((n, True), (n - 1, False)):
        runs = rng.normal(0.5, 1.0, (20000, seeds))
        shown = level(runs, 0.0).p_equal < 0.05
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
    theirs = stats.kendalltau(printed, ours)
    assert statistics.kendall(printed, ours) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_the_p_value_of_a_ranking_is_exact():
    assert statistics.kendall(range(5), range(5))[1] == pytest.approx(2 / math.factorial(5))


def test_kendall_of_rows_that_all_tie_is_not_a_number():
    assert math.isnan(statistics.kendall([1, 2, 3], [5, 5, 5])[0])
