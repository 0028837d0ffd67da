"""Gains, patterns, rankings, new examples and added rows: what is asked of differences between rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from counterpoise.judging import statistics
from counterpoise.judging.claims import Answer
from counterpoise.judging.ranking import best_share, improvement_probability

SEEDS = range(10)


def table3(make_study, levels: dict[str, float], spread: float = 0.002):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, SEEDS)
    study.metrics = ("accuracy",)
    rng = np.random.default_rng(1)
    for method, level in levels.items():
        study.runs(method, list(level + spread * rng.standard_normal(len(SEEDS))))
    return study


def printed(make_study) -> dict[str, float]:
    table = make_study("table3", {"cg_mnist": "cg_mnist"}).paper.table("table3")
    return {row.method: table.value(row.id, "cg_mnist.accuracy").value / 100 for row in table.rows}


def test_gains_of_a_paper_that_is_right_have_the_printed_sign_and_are_consistent(make_study):
    found = table3(make_study, printed(make_study)).compare().gains
    assert len(found) == 6
    assert {gain.baseline for gain in found} == {"Uniform baseline"}
    assert all(gain.same_sign and gain.p_corrected > 0.05 for gain in found)


def test_a_gain_that_is_not_there_deviates_though_both_levels_moved_alike(make_study):
    levels = {method: 0.70 for method in printed(make_study)}
    found = {gain.entry.label: gain for gain in table3(make_study, levels).compare().gains}
    assert found["Conventional Pareto"].verdict == "deviates"
    assert found["Conventional Pareto"].low < 0 < found["Conventional Pareto"].high
    shifted = {method: level - 0.20 for method, level in printed(make_study).items()}
    assert all(gain.p_corrected > 0.05 for gain in table3(make_study, shifted).compare().gains)


def test_the_pattern_of_a_paper_that_is_right_is_compatible_and_an_unrelated_one_is_not(make_study):
    right = table3(make_study, printed(make_study)).compare().patterns[0]
    assert right.p_value > 0.05
    assert right.p_flat < 0.001  # the printed rows are no one method
    levels = dict(zip(printed(make_study), sorted(printed(make_study).values(), reverse=True), strict=True))
    assert table3(make_study, levels).compare().patterns[0].p_value < 0.001


def test_the_share_of_seeds_in_which_a_row_is_best_shares_ties():
    runs = np.array([[1.0, 2.0, 3.0, 1.0], [0.0, 3.0, 3.0, 0.0]])
    assert best_share(runs, 0) == pytest.approx((1 + 0 + 0.5 + 1) / 4)


def test_the_probability_of_improvement_is_a_half_for_equal_rows_and_one_for_parted_ones():
    runs = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert improvement_probability(np.array([1.0, 2.0]), runs) == pytest.approx(0.5)
    assert improvement_probability(np.array([1.0, 2.0]), runs + np.array([[0.0], [5.0]])) == 1.0


def test_the_error_of_a_mean_over_seeds_and_examples_is_that_of_repeated_studies():
    """Two-way effects: what one study reports is what the means of many studies vary by."""
    rng = np.random.default_rng(8)
    means, errors = [], []
    for _ in range(400):
        values = 0.5 * rng.standard_normal((8, 1)) + 3 * rng.standard_normal((1, 120)) + rng.standard_normal((8, 120))
        means.append(values.mean())
        errors.append(statistics.crossed_error(values).error)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.12)


def test_clusters_of_examples_count_as_one_each():
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(20), 10)
    video = rng.standard_normal(20)
    values = video[groups] + 0.1 * rng.standard_normal((5, 200))
    found = statistics.crossed_error(values, groups)
    assert found.groups == 20
    assert found.error == pytest.approx(video.std(ddof=1) / 20**0.5, rel=0.15)
    assert found.error > 2 * statistics.crossed_error(values).error


def with_examples(study, n: int, shares: dict[str, float], shift: float) -> None:
    """Give each run its rights and wrongs; ``shift`` of the examples differ between rows, seed after seed the same."""
    rng = np.random.default_rng(4)
    hard = rng.random(n)
    for method, share in shares.items():
        own = hard + shift * rng.standard_normal(n)
        level = np.quantile(own, share)
        for seed in study.layout.seeds:
            right = own + 0.001 * rng.standard_normal(n) < level
            cell = study.cell(method)
            study.run(cell, seed, {"joint": right.mean()})
            study.correct[cell.name, seed, "last", "joint"] = right


def test_a_claim_that_seeds_show_may_be_open_for_new_examples_whatever_their_number(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, SEEDS)
    study.n_test = 10000
    with_examples(study, 10000, {"uniform": 0.70, "joint": 0.697}, shift=1.0)
    claims = {claim.claim.id: claim for claim in study.compare().claims}
    found = claims["t3-cg-mnist-unimodal-losses-help"]
    assert found.answer is Answer.SUPPORTED
    assert found.new_examples.answer is Answer.UNDECIDED
    assert "no number of seeds" in found.new_examples.words
    assert "accuracy alone" in found.new_examples.words, (
        "the claim is about macro F1, too, which is no mean of examples"
    )


def test_a_difference_far_beyond_the_examples_error_holds_for_new_ones_too(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, SEEDS)
    study.n_test = 10000
    with_examples(study, 10000, {"uniform": 0.80, "joint": 0.60}, shift=0.1)
    claims = {claim.claim.id: claim for claim in study.compare().claims}
    assert claims["t3-cg-mnist-unimodal-losses-help"].new_examples.answer is Answer.SUPPORTED


def test_no_claim_is_surer_for_new_examples_than_on_this_test_set(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, range(3))
    study.n_test = 10000
    with_examples(study, 10000, {"uniform": 0.80, "joint": 0.79}, shift=0.1)
    answered = [claim for claim in study.compare().claims if claim.new_examples is not None]
    assert answered
    for claim in answered:
        assert claim.new_examples.p_support >= claim.p_support
        assert claim.new_examples.p_refute >= claim.p_refute


def test_rows_that_are_shown_to_be_as_good_are_practically_equal(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, SEEDS)
    wave = [0.7 + 0.001 * (-1) ** seed for seed in SEEDS]
    study.runs("uniform", wave)
    study.runs("joint", [value + 0.0004 * (1, -1, -1, 1)[seed % 4] for seed, value in enumerate(wave)])
    found = {claim.claim.id: claim for claim in study.compare().claims}["t3-cg-mnist-unimodal-losses-help"]
    assert found.answer is Answer.EQUAL
    assert found.equal_within == 0.5
    assert study.compare().exit_code in (0, 3)


def test_equivalence_of_a_mean_difference_is_that_of_two_one_sided_tests():
    differences = np.array([0.1, -0.2, 0.15, 0.05, -0.05])
    above = stats.ttest_1samp(differences, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, 0.5, alternative="less").pvalue
    assert statistics.mean_equivalence_p(differences, 0.5) == pytest.approx(max(above, below))


def test_a_method_that_the_paper_lacks_is_compared_with_every_row(make_study):
    study = table3(make_study, {"uniform": 0.75, "joint": 0.60, "mmpareto": 0.80})
    own = next(
        value for value in study.layout.values if value.row == "MMPareto" and value.column == "cg_mnist.accuracy"
    )
    row = own.model_copy(update={"row": "Mine"})
    study.layout = study.layout.model_copy(update={"values": (*study.layout.values, row)})
    found = {pair.other: pair for pair in study.compare().pairs if pair.row == "Mine"}
    assert set(found) >= {"Uniform baseline", "One joint loss", "MMPareto"}
    assert found["Uniform baseline"].verdict == "better"
    assert found["Uniform baseline"].difference == pytest.approx(5.0, abs=0.5)
    assert found["Uniform baseline"].low < found["Uniform baseline"].difference < found["Uniform baseline"].high
    assert found["MMPareto"].verdict == "undecided"
