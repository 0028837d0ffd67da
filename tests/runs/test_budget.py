"""A budget goes to the cells that decide the most claims, and what it says is decided can be decided."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import UserError
from counterpoise.judging.claims import Answer
from counterpoise.runs.budget import Question, choose, parse_budget, questions

NAMES = "abcdefg"
OUTPUTS = ("joint", "audio", "visual", "probe:audio", "probe:visual")
ORDER = [SimpleNamespace(name=name) for name in NAMES]


def question(cells: str, claim: str = "") -> Question:
    return Question("paper", claim or cells, None, frozenset(cells))


def chosen(asked: list[Question], costs: dict[str, float | None], budget: float):
    return choose(asked, dict.fromkeys(NAMES, 1.0) | costs, ORDER, budget)


@pytest.mark.parametrize(("text", "seconds"), [("40h", 144000), ("90min", 5400), ("2.5 d", 216000)])
def test_budgets_have_a_unit(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["40", "h", "-1h", "1e3h", "40 hours"])
def test_a_budget_without_a_known_unit_is_refused(text):
    with pytest.raises(UserError, match="40h"):
        parse_budget(text)


def test_the_most_claims_an_hour_come_first():
    found = chosen([question("ab"), question("c")], {"a": 10.0, "b": 10.0, "c": 1.0}, 100)
    assert [pick.cells for pick in found.picks] == [("c",), ("a", "b")]
    assert found.seconds == 21


def test_cells_that_several_claims_share_are_paid_once():
    asked = [question("de", "one"), question("abc", "x"), question("abc", "y"), question("ab", "z")]
    found = chosen(asked, {}, 3)
    assert {q.claim for pick in found.picks for q in pick.questions} == {"x", "y", "z"}
    assert found.cells == ["a", "b", "c"]
    assert [q.claim for q in found.left] == ["one"]


def test_a_claim_is_never_decided_in_part():
    assert chosen([question("abc")], {}, 2.5).picks == ()


def test_claims_of_finished_cells_cost_nothing_and_those_of_unknown_cost_are_not_guessed():
    found = chosen([question("a"), question("b"), question("c")], {"a": 0.0, "b": None}, 5)
    assert [q.claim for q in found.ready] == ["a"]
    assert [q.claim for q in found.unknown] == ["b"]
    assert found.cells == ["c"]


@given(
    st.lists(st.sets(st.sampled_from(NAMES), min_size=1), max_size=8),
    st.lists(st.sampled_from([0.0, 1.0, 2.5, 7.0, None]), min_size=len(NAMES), max_size=len(NAMES)),
    st.floats(0, 20),
)
def test_whatever_is_asked_the_budget_holds_and_nothing_more_would_fit(sets, costs, budget):
    asked = [question("".join(sorted(cells)), str(number)) for number, cells in enumerate(sets)]
    cost = dict(zip(NAMES, costs, strict=True))
    found = choose(asked, cost, ORDER, budget)
    have = set(found.cells) | {name for name in NAMES if cost[name] == 0}
    assert found.seconds <= budget
    assert len(found.cells) == len(set(found.cells))
    decided = [q for pick in found.picks for q in pick.questions]
    assert all(q.cells <= have for q in decided)
    assert sorted(q.claim for q in (*decided, *found.ready, *found.left, *found.unknown)) == sorted(
        q.claim for q in asked
    )
    for q in found.left:
        assert sum(cost[name] for name in q.cells - have) > budget - found.seconds


@pytest.mark.parametrize(("table", "group"), [("table3", "cg_mnist"), ("table1", "crema_d")])
def test_the_claims_that_a_plan_can_decide_are_those_that_its_runs_answer(make_study, table, group):
    study = make_study(table, {group: group}, seeds=[0, 1])
    asked = questions(study.plan)
    assert asked
    for cell in study.plan.cells:
        for seed in study.plan.seeds:
            study.run(cell, seed, dict.fromkeys(("joint", "audio", "visual", "probe:audio", "probe:visual"), 0.5))
    answered = {
        (result.claim.id, result.variant)
        for result in study.compare().claims
        if result.answer not in (Answer.NOT_RUN, Answer.NOT_TESTED)
    }
    assert {(q.claim, q.variant) for q in asked} == answered


def test_a_question_needs_every_cell_that_its_claim_compares(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    best = next(q for q in questions(study.plan) if q.claim == "t3-cg-mnist-best")
    table = study.plan.papers["mmpareto"].table("table3")
    assert len(best.cells) == len(table.rows)
