"""Each verdict is given where its rule says so, and the odd cases have a defined treatment."""

from __future__ import annotations

import re

import pytest

from counterpoise.judging.verdicts import Rule, Verdict, judge_number
from counterpoise.papers.paper import UNPRINTED, PrintedValue
from counterpoise.results.seeds import SeedValues

RULE = Rule(margin=2.0)
PRINTED = PrintedValue(printed="71.10")


def seeds(*values: float, **more: object) -> SeedValues:
    return SeedValues(finished=dict(enumerate(values)), **more)


def test_a_mean_shown_to_be_within_the_margin_is_reproduced():
    found = judge_number(PRINTED, seeds(71.0, 71.4, 70.9, 71.3), RULE)
    assert found.verdict is Verdict.REPRODUCED
    assert found.delta == pytest.approx(0.05)
    assert found.low < 71.10 < found.high


def test_a_small_sure_difference_within_the_margin_is_still_reproduced_and_says_so():
    found = judge_number(PRINTED, seeds(72.00, 72.01, 72.02), RULE)
    assert found.verdict is Verdict.REPRODUCED
    assert not found.low < 71.10 < found.high
    assert "outside the prediction interval" in found.reason


def test_inside_the_interval_but_not_shown_equivalent_is_consistent_with_its_power():
    found = judge_number(PRINTED, seeds(69.0, 72.0, 73.5), RULE)
    assert found.verdict is Verdict.CONSISTENT
    said = re.fullmatch(r"finds gaps from (\d+) on; (\d+) to (\d+) seeds would show equivalence", found.reason)
    gap, least, most = map(int, said.groups())
    assert gap > 2
    assert 3 < least < most


def test_outside_the_interval_and_not_equivalent_deviates_by_its_size():
    found = judge_number(PRINTED, seeds(60.0, 61.0, 60.4), RULE)
    assert found.verdict is Verdict.DEVIATES
    assert found.delta == pytest.approx(60.4667 - 71.10, abs=1e-3)
    assert "below the paper" in found.reason


@pytest.mark.parametrize("value", [71.1, 20.0])
def test_a_metric_of_the_machine_is_shown_and_not_judged(value):
    found = judge_number(PRINTED, seeds(value, value + 0.1, value - 0.1), Rule(margin=None))
    assert found.verdict is Verdict.NOT_JUDGED
    assert found.delta == pytest.approx(value - 71.1)


def test_a_printed_mean_of_more_runs_has_a_narrower_interval():
    ours = seeds(69.0, 72.0, 73.5)
    single, triple = (
        judge_number(PRINTED, ours, Rule(margin=2.0, printed_runs=1)),
        judge_number(PRINTED, ours, Rule(margin=2.0, printed_runs=3)),
    )
    assert triple.high - triple.low < single.high - single.low


def test_the_interval_of_a_share_ends_where_shares_do():
    found = judge_number(PRINTED, seeds(60.0, 80.0, 95.0), Rule(margin=2.0, highest=100.0))
    assert (found.verdict, found.high) == (Verdict.CONSISTENT, 100.0)
    assert judge_number(PRINTED, seeds(1.0, 5.0, 9.0), Rule(margin=2.0)).low == 0.0


def test_one_seed_decides_nothing():
    found = judge_number(PRINTED, seeds(71.1), RULE)
    assert (found.verdict, found.n, found.std, found.low) == (Verdict.UNDECIDED, 1, None, None)
    assert found.delta == pytest.approx(0.0)
    assert "one seed" in found.reason


@pytest.mark.parametrize("value", [71.1, 50.0])
def test_seeds_that_all_agree_show_no_spread_and_decide_nothing(value):
    found = judge_number(PRINTED, seeds(value, value, value), RULE)
    assert (found.verdict, found.std) == (Verdict.UNDECIDED, 0.0)


def test_agreement_up_to_rounding_is_agreement():
    values = [100 * (0.1 + 0.2), 100 * 0.3, 30.0]
    assert judge_number(PRINTED, seeds(*values), RULE).std == 0.0


def test_missing_seeds_are_named_beside_the_verdict_of_the_others():
    found = judge_number(PRINTED, seeds(71.0, 71.4, 71.2, missing=(3, 4)), RULE)
    assert (found.verdict, found.n) == (Verdict.REPRODUCED, 3)
    assert "seeds 3, 4 missing" in found.reason


def test_no_finished_seed_is_not_run():
    found = judge_number(PRINTED, seeds(missing=(0, 1, 2)), RULE)
    assert (found.verdict, found.mean, found.n) == (Verdict.NOT_RUN, None, 0)
    assert found.reason


def test_a_metric_that_the_runs_lack_is_not_run():
    found = judge_number(PRINTED, seeds(absent="the runs have no output 'probe:audio'"), RULE)
    assert found.verdict is Verdict.NOT_RUN
    assert "probe:audio" in found.reason


@pytest.mark.parametrize("stand_in", [False, True])
def test_any_diverged_seed_makes_the_verdict_diverged_with_the_others_mean(stand_in):
    found = judge_number(PRINTED, seeds(71.0, 71.4, diverged={2: "loss is not finite"}), RULE, stand_in)
    assert (found.verdict, found.n) == (Verdict.DIVERGED, 2)
    assert found.mean == pytest.approx(71.2)
    assert "1 of 3 seeds diverged" in found.reason
    assert "loss is not finite" in found.reason


def test_seeds_that_failed_are_named_and_only_if_all_did_is_that_the_verdict():
    some = judge_number(PRINTED, seeds(71.0, 71.4, 71.2, missing=(3,), failed={3: "out of memory (8 GiB)"}), RULE)
    assert some.verdict is Verdict.REPRODUCED
    assert "seed 3 out of memory (8 GiB)" in some.reason
    none = judge_number(PRINTED, seeds(missing=(0, 1), failed={0: "failed (boom)"}), RULE)
    assert none.verdict is Verdict.FAILED
    assert "seed 0 failed (boom)" in none.reason
    assert "seed 1 missing" in none.reason


def test_if_all_seeds_diverge_there_is_no_mean():
    found = judge_number(PRINTED, SeedValues(diverged={0: "nan", 1: "nan"}), RULE)
    assert (found.verdict, found.mean, found.n) == (Verdict.DIVERGED, None, 0)


def test_a_stand_in_is_never_compared_with_the_paper():
    found = judge_number(PRINTED, seeds(71.0, 71.4, 70.9), RULE, stand_in=True)
    assert (found.verdict, found.delta) == (Verdict.STAND_IN, None)
    assert found.mean == pytest.approx(71.1)


@pytest.mark.parametrize("text", ["/", "-"])
def test_an_entry_that_the_paper_leaves_open_is_not_defined(text):
    assert judge_number(PrintedValue(printed=text), seeds(71.0, 71.4), RULE).verdict is Verdict.NOT_DEFINED


def test_a_bar_without_its_number_is_not_printed_and_keeps_our_mean():
    found = judge_number(UNPRINTED, seeds(71.0, 71.4), RULE)
    assert (found.verdict, found.delta) == (Verdict.NOT_PRINTED, None)
    assert found.mean == pytest.approx(71.2)


def test_every_verdict_comes_with_a_reason():
    cases = [
        judge_number(PRINTED, seeds(71.0, 71.4, 70.9), RULE),
        judge_number(PRINTED, seeds(60.0, 61.0, 60.4), RULE),
        judge_number(PRINTED, seeds(69.0, 72.0, 73.5), RULE),
        judge_number(PRINTED, seeds(), RULE),
        judge_number(PRINTED, seeds(71.0, 71.4), RULE, stand_in=True),
    ]
    assert all(case.reason for case in cases)
