"""Rows are compared with rows: paired, corrected over the table, and rarely told apart where they are equal."""

from __future__ import annotations

import numpy as np
import pytest
from own_tables import finish, own_study
from scipy import stats
from statsmodels.stats.multitest import multipletests

LEVELS = {"joint": 0.70, "uniform": 0.72, "mmpareto": 0.80}


def pair(comparison, row: str, other: str, column: str = "mine.accuracy"):
    (found,) = [p for p in comparison.pairs if (p.row, p.other, p.column) == (row, other, column)]
    return found


def test_every_two_rows_of_a_column_are_compared_once():
    found = finish(own_study(), LEVELS).compare().pairs
    assert len(found) == 2 * 3
    assert len({(p.column, frozenset((p.row, p.other))) for p in found}) == len(found)
    assert all(p.asked for p in found)


def test_difference_interval_and_p_are_those_of_the_paired_t_test():
    study = finish(own_study(), LEVELS)
    found = pair(study.compare(), "Uniform baseline", "MMPareto")
    values = {
        entry.label: list(entry.ours.finished.values())
        for entry in (row.entry for row in study.compare().rows)
        if entry.column.id == "mine.accuracy"
    }
    test = stats.ttest_rel(values["Uniform baseline"], values["MMPareto"])
    assert found.p_value == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.difference == pytest.approx(np.mean(values["Uniform baseline"]) - np.mean(values["MMPareto"]))
    assert (found.n, found.verdict) == (5, "worse")


def test_p_values_are_corrected_over_all_columns_of_the_table():
    found = finish(own_study(), LEVELS).compare().pairs
    wanted = multipletests([p.p_value for p in found], method="holm")[1]
    assert [p.p_corrected for p in found] == pytest.approx(list(wanted))


def test_where_less_is_better_the_lower_row_is():
    found = pair(finish(own_study(), LEVELS).compare(), "One joint loss", "MMPareto", "yours.ece")
    assert found.difference < 0
    assert found.verdict == "better"


def test_a_run_that_diverged_loses_its_pair_by_an_unknown_amount():
    study = finish(own_study(range(8)), {"joint": 0.7, "mmpareto": 0.8})
    study.diverge("joint", 3, dataset="mine")
    found = pair(study.compare(), "One joint loss", "MMPareto")
    assert found.n == 8
    assert found.p_value == pytest.approx(2 * 0.5**8)  # the sign test
    assert found.new_examples == ""
    assert pair(study.compare(), "One joint loss", "MMPareto", "yours.ece").p_value != found.p_value


def test_a_row_that_always_diverged_has_no_difference_to_show():
    study = finish(own_study(), {"joint": 0.7, "mmpareto": 0.8})
    for seed in range(5):
        study.diverge("uniform", seed, dataset="mine")
    assert {(p.row, p.other) for p in study.compare().pairs if p.column == "mine.accuracy"} == {
        ("One joint loss", "MMPareto")
    }


def test_one_seed_gives_a_difference_and_no_verdict():
    found = pair(finish(own_study([0]), LEVELS).compare(), "One joint loss", "MMPareto")
    assert (found.low, found.p_value, found.verdict) == (None, None, "undecided")
    assert found.difference == pytest.approx(-10, abs=3)


@pytest.mark.parametrize(("examples", "verdict"), [(20, "undecided"), (20_000, "worse")])
def test_few_examples_say_less_about_new_ones_than_about_this_test_set(examples, verdict):
    study = own_study()
    study.metrics, study.n_test = ("accuracy",), examples
    rng = np.random.default_rng(3)
    # Which examples are hard differs between the methods and hardly between the seeds of one.
    right = {method: rng.random(examples) < level for method, level in (("joint", 0.7), ("mmpareto", 0.8))}
    for method, fixed in right.items():
        cell = study.cell(method, "mine")
        for seed in range(5):
            flipped = fixed ^ (np.arange(examples) == seed)
            study.run(cell, seed, {"joint": float(flipped.mean())})
            study.correct[cell.name, seed, "last", "joint"] = flipped
    found = pair(study.compare(), "One joint loss", "MMPareto")
    assert found.new_examples == verdict
    assert found.new_low < found.difference < found.new_high
    assert found.new_high - found.new_low > found.high - found.low


@pytest.mark.parametrize("seeds", [2, 3, 4])
@pytest.mark.parametrize("examples", [100, 2000])
def test_nothing_is_surer_for_new_examples_than_on_this_test_set(seeds, examples):
    """Three seeds have a t distribution with a long tail; mixed with the examples' it would be lighter."""
    study = own_study(range(seeds))
    study.n_test = examples
    rng = np.random.default_rng(seeds)
    for method, level in (("joint", 0.7), ("mmpareto", 0.75)):
        cell = study.cell(method, "mine")
        for seed in range(seeds):
            right = rng.random(examples) < level
            study.run(cell, seed, {"joint": float(right.mean())})
            study.correct[cell.name, seed, "last", "joint"] = right
    for found in study.compare().pairs:
        assert found.new_p_value >= found.p_value
        assert found.new_p_corrected >= found.p_corrected
        assert found.new_low <= found.low < found.high <= found.new_high


def test_the_best_row_is_named_with_the_share_of_seeds_in_which_it_is():
    study = own_study(range(4))
    for method, values in (("joint", [0.7, 0.7, 0.7, 0.9]), ("mmpareto", [0.8, 0.8, 0.8, 0.8])):
        for dataset in ("mine", "yours"):
            study.runs(method, values, dataset=dataset)
    accuracy, error = study.compare().rankings
    assert (accuracy.best, accuracy.p_best, accuracy.rows, accuracy.n) == ("MMPareto", 0.75, 2, 4)
    assert (error.best, error.p_best) == ("One joint loss", 0.75)  # less is better


def test_a_table_of_one_row_has_nothing_to_be_best_of():
    ranking = finish(own_study(), {"joint": 0.7}).compare().rankings[0]
    assert (ranking.best, ranking.p_best, ranking.reason) == ("", None, "fewer than two rows have run")


def test_nothing_of_a_paper_is_compared_whatever_became_of_the_runs():
    study = finish(own_study(), LEVELS)
    assert study.compare().exit_code == 5
    study.diverge("joint", 0, dataset="mine")
    assert study.compare().exit_code == 5


def test_the_papers_own_rows_do_not_make_it_harder_for_an_added_one(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(6))
    study.metrics = ("accuracy",)
    rng = np.random.default_rng(1)
    for method, level in {"uniform": 0.75, "joint": 0.60, "mmpareto": 0.80}.items():
        study.runs(method, list(level + 0.002 * rng.standard_normal(6)))
    value = next(v for v in study.layout.values if (v.row, v.column) == ("MMPareto", "cg_mnist.accuracy"))
    added = value.model_copy(update={"row": "Mine"})
    study.layout = study.layout.model_copy(update={"values": (*study.layout.values, added)})
    asked, others = ([p for p in study.compare().pairs if p.asked is own] for own in (True, False))
    assert {p.row for p in asked} == {"Mine"}
    assert others
    assert not any("Mine" in (p.row, p.other) for p in others)
    for family in (asked, others):
        tested = [p for p in family if p.p_value is not None]
        wanted = multipletests([p.p_value for p in tested], method="holm")[1]
        assert [p.p_corrected for p in tested] == pytest.approx(list(wanted))
