"""A claim is answered as its form, the pairing and Holm's correction say, on stand-ins in other words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from counterpoise.judging.claims import Answer, combine, paired_differences
from counterpoise.judging.statistics import paired_p
from counterpoise.results.seeds import SeedValues

SEEDS = [0, 1, 2, 3, 4]
# Table 3 on CG-MNIST as it would be if the paper were right: rows in its order, five seeds each.
AS_PRINTED = {
    "joint": 0.605,
    "uniform": 0.757,
    "conventional_pareto": 0.62,
    "gradnorm": 0.762,
    "pcgrad": 0.79,
    "metabalance": 0.78,
    "mmpareto": 0.82,
}


def jitter(level: float, row: int) -> list[float]:
    return [level + 0.002 * math.sin(7 * seed + row) for seed in SEEDS]


@pytest.fixture
def make_table3(make_study):
    def make(dataset: str = "cg_mnist", **changes: float):
        study = make_study("table3", {"cg_mnist": dataset}, SEEDS)
        for row, (method, level) in enumerate({**AS_PRINTED, **changes}.items()):
            study.runs(method, jitter(level, row))
        return study

    return make


def answers(study) -> dict[str, object]:
    return {result.claim.id: result for result in study.compare().claims}


def test_claims_that_the_runs_bear_out_are_supported(make_table3):
    found = answers(make_table3())
    for name in ("t3-cg-mnist-best", "t3-cg-mnist-conventional-pareto-worse", "t3-cg-mnist-unimodal-losses-help"):
        assert found[name].answer is Answer.SUPPORTED
        assert found[name].observed
        assert found[name].n == 5


def test_a_claim_that_the_runs_contradict_is_refuted(make_table3):
    found = answers(make_table3(conventional_pareto=0.80, pcgrad=0.90))
    assert found["t3-cg-mnist-conventional-pareto-worse"].answer is Answer.REFUTED
    assert found["t3-cg-mnist-best"].answer is Answer.REFUTED
    assert not found["t3-cg-mnist-best"].observed


def test_a_claim_within_the_noise_is_undecided_with_the_seeds_needed(make_table3):
    study = make_table3()
    study.runs("pcgrad", [0.80, 0.83, 0.81, 0.84, 0.81])
    found = answers(study)["t3-cg-mnist-best"]
    assert found.answer is Answer.UNDECIDED
    assert found.seeds_needed is None or found.seeds_needed > 5
    assert "seeds" in found.reason


def test_on_a_stand_in_the_answer_says_so(make_table3):
    found = answers(make_table3("cg_digits"))
    assert found["t3-cg-mnist-best"].stand_in
    assert found["t3-cg-mnist-best"].verdict == "holds on the stand-in"
    refuted = answers(make_table3("cg_digits", conventional_pareto=0.80))
    assert refuted["t3-cg-mnist-conventional-pareto-worse"].verdict == "does not hold on the stand-in"


def test_a_claim_about_columns_that_do_not_run_is_not_run_and_names_one(make_table3):
    found = answers(make_table3())["t3-modelnet40-best"]
    assert found.answer is Answer.NOT_RUN
    assert "modelnet40.accuracy" in found.reason


def test_a_claim_that_no_table_can_decide_says_what_would(make_table3):
    found = answers(make_table3())["conventional-pareto-sharper"]
    assert found.answer is Answer.NOT_TESTED
    assert "landscape" in found.reason


def test_a_claim_with_one_row_unfinished_is_not_run(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, SEEDS)
    study.runs("mmpareto", jitter(0.82, 0))
    assert answers(study)["t3-cg-mnist-best"].answer is Answer.NOT_RUN


def test_one_common_seed_is_not_enough(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, [0])
    for method, level in AS_PRINTED.items():
        study.runs(method, [level])
    found = answers(study)["t3-cg-mnist-best"]
    assert (found.answer, found.n, found.observed) == (Answer.UNDECIDED, 1, True)
    assert found.p_support is None


def test_a_rival_that_diverged_loses_its_pairs_but_signs_alone_need_more_seeds(make_table3):
    study = make_table3()
    study.diverge("conventional_pareto", 1)
    found = answers(study)["t3-cg-mnist-conventional-pareto-worse"]
    assert found.p_support >= 0.5**5
    assert found.observed
    assert found.n == 5


def test_a_diverged_run_of_the_claims_own_row_counts_against_it(make_table3):
    whole = answers(make_table3())["t3-cg-mnist-best"]
    study = make_table3()
    study.diverge("mmpareto", 1)
    assert answers(study)["t3-cg-mnist-best"].p_support > whole.p_support


def test_each_variant_of_the_row_is_answered_against_the_same_rivals(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"}, SEEDS, {"mmpareto": ["published", "released"]})
    for row, (method, level) in enumerate(AS_PRINTED.items()):
        study.runs(method, jitter(level, row))
    study.runs("mmpareto", jitter(0.70, 9), variant="released")
    found = {result.variant: result for result in study.compare().claims if result.claim.id == "t3-cg-mnist-best"}
    assert found["published"].answer is Answer.SUPPORTED
    assert found["released"].answer is Answer.REFUTED


def test_rows_without_a_number_in_the_column_are_no_rivals(make_study):
    study = make_study("table7", {"cmu_mosi": "cmu_mosi"}, SEEDS)
    methods = {row.method for row in study.paper.table("table7").rows} - {"greedy", "mmpareto"}
    for row, method in enumerate(sorted(methods)):
        study.runs(method, jitter(0.75, row))
    study.runs("mmpareto", jitter(0.80, 8))
    assert answers(study)["t7-best"].answer is Answer.SUPPORTED


def test_a_rival_that_is_not_defined_there_is_left_out_and_named(make_study):
    study = make_study("figure5", {"crema_d_conformer_late": "crema_d_vavl"}, SEEDS, paper="mlb")
    for row, method in enumerate(["joint", "mmcosine", "mslr", "agm", "pmr", "uniform"]):
        study.runs(method, jitter(0.20, row))
    study.runs("mlb", jitter(0.05, 8))
    assert answers(study)["f5-lowest-ece"].answer is Answer.NOT_RUN
    undefined = {"cell": None, "reason": "OGM needs one weight slice"}
    values = [v.model_copy(update=undefined) if v.row == "OGM" else v for v in study.layout.values]
    study.layout = study.layout.model_copy(update={"values": tuple(values)})
    found = answers(study)["f5-lowest-ece"]
    assert found.answer is Answer.SUPPORTED
    assert "without OGM" in found.reason


def test_lower_is_better_where_the_column_says_so(make_study):
    study = make_study("figure5", {"crema_d_conformer_late": "crema_d_vavl"}, SEEDS, paper="mlb")
    for row, method in enumerate(["joint", "mmcosine", "mslr", "ogm", "agm", "pmr", "uniform"]):
        study.runs(method, jitter(0.20, row))
    study.runs("mlb", jitter(0.05, 8))
    assert answers(study)["f5-lowest-ece"].answer is Answer.SUPPORTED


def test_not_worse_allows_for_its_bound(make_study):
    study = make_study("table1", {"crema_d": "crema_d"}, SEEDS)
    for row, method in enumerate(["g_blending", "ogm", "greedy", "pmr", "agm"]):
        study.runs(method, jitter(0.710, row))
    study.runs("uniform", jitter(0.700, 9))
    assert answers(study)["t1-crema-d-uniform-comparable"].answer is Answer.SUPPORTED
    study.runs("uniform", jitter(0.670, 9))
    assert answers(study)["t1-crema-d-uniform-comparable"].answer is Answer.REFUTED


def test_an_any_claim_needs_only_one_column_and_row(make_study):
    groups = dict.fromkeys(["ucf101_resnet_late", "ucf101_resnet_mid"], "ucf101")
    study = make_study("figure3", groups, SEEDS, paper="mlb")
    for row, cell in enumerate(study.cells):
        level = 0.80 if cell.method == "mlb" else 0.79
        if cell.method == "pmr" and cell.model.endswith("late"):
            level = 0.60
        for seed, share in zip(SEEDS, jitter(level, row), strict=True):
            study.run(cell, seed, {"joint": share})
    assert answers(study)["f3-ucf101-gain"].answer is Answer.SUPPORTED


def test_correction_runs_over_both_directions_of_the_claims_that_ran(make_table3):
    found = [result for result in make_table3().compare().claims if result.p_support is not None]
    raw = sorted(
        combine(*np.transpose([paired_p(c.differences, c.bound) for c in result.contrasts]), "all")[0]
        for result in found
    )
    assert min(result.p_support for result in found) == pytest.approx(2 * len(found) * raw[0])


def test_pairs_are_those_of_seeds_that_both_ran():
    ours = SeedValues(finished={0: 80.0, 1: 81.0, 3: 82.0}, diverged={2: "nan", 4: "nan"})
    other = SeedValues(finished={1: 80.0, 2: 70.0, 3: 83.0}, diverged={0: "nan", 4: "nan"})
    assert paired_differences(ours, other, 1.0).tolist() == [math.inf, 1.0, -math.inf, -1.0]
    assert paired_differences(ours, other, -1.0).tolist() == [math.inf, -1.0, -math.inf, 1.0]


def test_all_is_the_mirror_image_of_any():
    above, below = np.array([0.01, 0.04, 0.2]), np.array([0.99, 0.96, 0.8])
    assert combine(above, below, "all") == (0.2, 1.0)
    assert combine(above, below, "any") == (pytest.approx(0.03), 0.99)
    assert combine(below, above, "any")[::-1] == combine(above, below, "all")
