"""Two sets of results differ where more than the seeds says so: in numbers, in ranks, in claims."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from counterpoise.judging.difference import Change, difference
from counterpoise.results.result_set import Number, ResultSet
from counterpoise.results.seeds import SeedValues

RNG = np.random.default_rng(7)


def number(values, *, seeds=None, better="higher", dataset="cg_mnist", verdict="consistent", diverged=()):
    seeds = range(len(values)) if seeds is None else seeds
    finished = dict(zip(seeds, map(float, values), strict=True))
    own = SeedValues(finished=finished, diverged=dict.fromkeys(diverged, "diverged"))
    return Number(dataset=dataset, verdict=verdict, stand_in=False, better=better, seeds=own)


def results(rows: dict[str, Number], claims: dict[str, str] | None = None) -> ResultSet:
    numbers = {("paper", "table3", row, "cg_mnist.accuracy"): found for row, found in rows.items()}
    verdicts = {("paper", name, "A"): word for name, word in (claims or {}).items()}
    return ResultSet(name="made", numbers=numbers, claims=verdicts)


def change_of(a: Number | None, b: Number | None):
    one = results({} if a is None else {"A": a})
    other = results({} if b is None else {"A": b})
    (found,) = difference(one, other).numbers
    return found


BASE = (70.0, 71.0, 69.5, 70.4, 70.9)


def test_the_same_results_differ_in_nothing():
    one = results({"A": number(BASE), "B": number((1.0, 2.0))}, {"c": "supported"})
    found = difference(one, one)
    assert {change.change for change in found.numbers} == {Change.SAME}
    assert (found.claims, [r.swapped for r in found.rankings]) == ([], [()])
    assert (found.exit_code(), found.exit_code(strict=True)) == (0, 0)


def test_a_shift_larger_than_its_spread_over_paired_seeds_is_beyond_noise():
    shifted = np.add(BASE, (1.0, 1.1, 0.9, 1.05, 1.0))
    found = change_of(number(BASE), number(shifted))
    test = stats.ttest_rel(shifted, BASE)
    interval = test.confidence_interval(0.95)
    assert found.change is Change.BEYOND
    assert found.pairs == 5
    assert found.p_value == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_pairing_finds_what_the_spread_between_seeds_would_hide():
    spread = np.array([60.0, 75.0, 68.0, 81.0, 55.0])
    shifted = np.add(spread, (1.0, 1.1, 0.9, 1.05, 1.0))
    paired = change_of(number(spread), number(shifted))
    apart = change_of(number(spread), number(shifted, seeds=range(5, 10)))
    assert (paired.change, apart.change) == (Change.BEYOND, Change.WITHIN)


def test_without_common_seeds_the_test_is_welchs():
    other = (73.0, 75.0, 74.1)
    found = change_of(number(BASE), number(other, seeds=(7, 8, 9)))
    test = stats.ttest_ind(other, BASE, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (found.pairs, found.p_value) == (0, pytest.approx(test.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_a_difference_within_the_noise_does_not_fail_but_strictly_does():
    one = results({"A": number(BASE)})
    other = results({"A": number(np.add(BASE, (0.5, -0.5, 0.2, -0.3, 0.15)))})
    found = difference(one, other)
    assert found.numbers[0].change is Change.WITHIN
    assert (found.exit_code(), found.exit_code(strict=True)) == (0, 3)


def test_only_common_seeds_are_paired():
    found = change_of(number(BASE), number((*BASE, 99.0, 98.0)))
    assert (found.change, found.difference, found.pairs) == (Change.WITHIN, 0.0, 5)


def test_many_numbers_of_the_same_distribution_seldom_give_a_false_alarm():
    alarms = 0
    for _ in range(100):
        rows = {f"{row}": (RNG.normal(70, 1, 5), RNG.normal(70, 1, 5)) for row in range(30)}
        one = results({row: number(values) for row, (values, _) in rows.items()})
        other = results({row: number(values) for row, (_, values) in rows.items()})
        alarms += difference(one, other).exit_code() != 0
    assert alarms <= 10  # 5 % are expected; more than 10 of 100 happen once in a hundred


def test_one_seed_and_equal_differences_are_undecided():
    assert change_of(number((70.0,)), number((75.0,))).change is Change.UNDECIDED
    same_shift = change_of(number(BASE), number(np.add(BASE, 1.0)))
    assert (same_shift.change, same_shift.difference) == (Change.UNDECIDED, pytest.approx(1.0))


def test_other_data_are_not_compared():
    found = change_of(number(BASE), number(np.add(BASE, 30.0), dataset="cg_digits"))
    assert (found.change, found.difference) == (Change.OTHER_DATA, None)


def test_a_number_that_is_gone_fails_and_a_new_one_does_not():
    both = results({"A": number(BASE), "B": number(BASE)})
    one = results({"A": number(BASE), "B": number((), verdict="not run")})
    lost, new = difference(both, one), difference(one, both)
    assert [change.change for change in lost.numbers] == [Change.SAME, Change.GONE]
    assert [change.change for change in new.numbers] == [Change.SAME, Change.ADDED]
    assert (lost.exit_code(), new.exit_code()) == (3, 0)


def test_diverged_runs_are_judged_by_signs_whichever_way_the_column_runs():
    fine = number(range(8), better="lower")
    worse = number((), better="lower", diverged=range(8))
    found = change_of(fine, worse)
    assert found.change is Change.BEYOND
    assert found.p_value == pytest.approx(2 * 0.5**8)


def test_the_order_of_a_column_and_its_best_row_are_compared():
    one = results({"A": number((80.0, 81.0)), "B": number((70.0, 71.0)), "C": number((60.0, 61.0))})
    other = results({"A": number((69.0, 70.5)), "B": number((70.0, 71.0)), "C": number((60.0, 61.0))})
    (ranking,) = difference(one, other).rankings
    assert (ranking.best, ranking.swapped) == (("A", "B"), (("A", "B"),))
    assert ranking.tau == pytest.approx(1 / 3)


def test_the_lowest_is_best_where_lower_is_better():
    rows = {"A": number((1.0, 2.0), better="lower"), "B": number((3.0, 4.0), better="lower")}
    (ranking,) = difference(results(rows), results(rows)).rankings
    assert ranking.best == ("A", "A")


def test_a_claim_that_had_an_answer_and_has_another_is_exit_code_four():
    one = results({"A": number(BASE)}, {"c": "supported", "d": "not run", "e": "undecided"})
    other = results({"A": number(BASE)}, {"c": "undecided", "d": "refuted", "e": "undecided"})
    found = difference(one, other)
    assert [(change.a, change.b) for change in found.claims] == [("supported", "undecided"), ("not run", "refuted")]
    assert found.exit_code() == 4
    only_new = difference(results({}, {"d": "not run"}), results({}, {"d": "refuted"}))
    assert (len(only_new.claims), only_new.exit_code()) == (1, 0)


def test_a_claim_that_is_not_run_any_more_is_exit_code_four():
    assert difference(results({}, {"c": "refuted"}), results({}, {"c": "not run"})).exit_code() == 4
