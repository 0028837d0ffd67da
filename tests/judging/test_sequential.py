"""Seeds are added only where they may still decide, and the looks together spend no more than α."""

from __future__ import annotations

import math

import pytest

from counterpoise.errors import UserError
from counterpoise.judging.claims import Answer
from counterpoise.judging.entries import collect
from counterpoise.judging.sequential import (
    Schedule,
    answer_in_looks,
    judge_in_looks,
    more_seeds,
    order_would_decide,
    would_decide,
)
from counterpoise.judging.verdicts import Rule, SeedValues, Verdict, judge
from counterpoise.papers.paper import PrintedValue
from counterpoise.results.results import read_results

SCHEDULE = Schedule((3, 5, 10))
PRINTED = PrintedValue(printed="71.10")
RULE = Rule(2.0)


def seeds(*values: float, **more: object) -> SeedValues:
    return SeedValues(dict(enumerate(values)), **more)


def test_the_levels_of_all_looks_add_up_to_alpha():
    assert sum(SCHEDULE.levels(0.05)) == pytest.approx(0.05)
    assert all(level > 0 for level in SCHEDULE.levels(0.05))


def test_one_look_spends_everything():
    assert Schedule((10,)).levels(0.05) == (pytest.approx(0.05),)


@pytest.mark.parametrize("looks", [(), (1, 3), (5, 3), (3, 3)])
def test_looks_must_rise_from_two(looks):
    with pytest.raises(UserError, match="seed looks"):
        Schedule(looks)


def test_a_number_decided_at_a_look_stays_decided_whatever_comes_after():
    early = seeds(71.0, 71.2, 71.1)
    later = seeds(71.0, 71.2, 71.1, 60.0, 90.0)
    assert judge_in_looks(PRINTED, early, RULE, SCHEDULE).verdict is Verdict.REPRODUCED
    assert judge_in_looks(PRINTED, later, RULE, SCHEDULE).verdict is Verdict.REPRODUCED
    assert judge(PRINTED, later, RULE).verdict is not Verdict.REPRODUCED


def test_a_look_is_stricter_than_a_single_test():
    ours = seeds(70.2, 72.0, 71.1)
    assert judge(PRINTED, ours, RULE).verdict is Verdict.REPRODUCED
    assert judge_in_looks(PRINTED, ours, RULE, SCHEDULE).verdict is Verdict.CONSISTENT


def test_seeds_between_two_looks_do_not_count_yet():
    ours = seeds(70.0, 71.0, 75.0, 71.0)
    assert judge_in_looks(PRINTED, ours, RULE, SCHEDULE).n == 3


def test_below_the_first_look_the_plain_verdict_stands():
    assert judge_in_looks(PRINTED, seeds(71.0), RULE, SCHEDULE).verdict is Verdict.UNDECIDED
    assert judge_in_looks(PRINTED, seeds(), RULE, SCHEDULE).verdict is Verdict.NOT_RUN


def test_diverged_seeds_count_as_seeds_of_a_look():
    ours = seeds(71.0, 71.2, diverged={2: "nan"})
    assert judge_in_looks(PRINTED, ours, RULE, SCHEDULE).verdict is Verdict.DIVERGED


def test_only_cells_of_something_undecided_get_seeds():
    now = {"a": 3, "b": 3, "c": 3}
    assert more_seeds(now, [("a",)], SCHEDULE) == {"a": 5, "b": 3, "c": 3}
    assert more_seeds(now, [("a", "b")], SCHEDULE) == {"a": 5, "b": 5, "c": 3}
    assert more_seeds(now, [], SCHEDULE) == now


def test_a_claim_waits_for_the_cell_that_has_fewest_seeds():
    assert more_seeds({"a": 5, "b": 3}, [("a", "b")], SCHEDULE) == {"a": 5, "b": 5}


def test_nothing_goes_beyond_the_cap():
    assert more_seeds({"a": 10}, [("a",)], SCHEDULE) == {"a": 10}


def test_a_number_is_hopeless_if_the_cap_would_not_decide_it_as_seen():
    assert not would_decide(71.1, 6.0, 71.1, RULE, SCHEDULE)
    assert would_decide(71.1, 0.5, 71.1, RULE, SCHEDULE)
    assert would_decide(60.0, 1.0, 71.1, RULE, SCHEDULE)


def test_an_order_is_hopeless_if_the_cap_would_not_show_it_as_seen():
    assert order_would_decide(2.0, 1.0, 0.05, SCHEDULE)
    assert not order_would_decide(0.1, 1.0, 0.05, SCHEDULE)


@pytest.fixture
def table3(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, list(range(10)))
    study.runs("uniform", [0.70 + 0.002 * math.sin(seed) for seed in range(10)])
    return study


def answer(study, name: str):
    paper = study.plan.papers["mmpareto"]
    entries = collect(study.plan, read_results(study.plan, study.root), paper)
    return next(found for found in answer_in_looks(paper, entries, SCHEDULE) if found.claim.id == name)


def test_a_claim_is_decided_at_the_first_look_that_shows_it(table3):
    table3.runs("conventional_pareto", [0.62 + 0.002 * math.sin(5 * seed) for seed in range(10)])
    found = answer(table3, "t3-cg-mnist-conventional-pareto-worse")
    assert (found.answer, found.n) == (Answer.SUPPORTED, 3)


def test_a_claim_that_no_look_shows_is_undecided_with_all_its_seeds(table3):
    table3.runs("conventional_pareto", [0.70 + 0.03 * math.sin(5 * seed + 1) for seed in range(10)])
    found = answer(table3, "t3-cg-mnist-conventional-pareto-worse")
    assert (found.answer, found.n) == (Answer.UNDECIDED, 10)


def test_a_claim_whose_other_row_has_not_run_is_not_run(table3):
    assert answer(table3, "t3-cg-mnist-conventional-pareto-worse").answer is Answer.NOT_RUN
