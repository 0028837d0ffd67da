"""A claim is answered as its form, the pairing and Holm's correction say, on stand-ins in other words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from made_results import CONFIGS, MadeResults, load_once

from counterpoise.judging.claims import Answer, Structure, combine, paired_differences
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


def jitter(level: float, row: int, seeds: Sequence[int] = tuple(SEEDS)) -> list[float]:
    return [level + 0.002 * math.sin(7 * seed + row) for seed in seeds]


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
    assert "ModelNet40 Acc" in found.reason


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


@pytest.fixture
def make_figure3(make_study):
    """Return a function that makes MLB's Figures 3 and 6, from accuracies by (method, column group)."""
    groups = {table: [] for table in ("figure3", "figure6")}
    paper = load_once(CONFIGS, "mlb")
    for name in groups:
        groups[name] = [(group.id, group.dataset) for group in paper.table(name).groups]

    def make(level, seeds=SEEDS) -> MadeResults:
        study = MadeResults(paper, {name: dict(places) for name, places in groups.items()}, seeds)
        for number, cell in enumerate(study.cells):
            share = level(cell.method, cell.model.removeprefix("made_up_"))
            for seed, value in zip(seeds, jitter(share, number, seeds), strict=True):
                study.run(cell, seed, {"joint": value})
        return study

    return make


def test_a_largest_gain_is_over_the_best_rival_of_some_column(make_figure3):
    def level(method: str, group: str) -> float:
        if method == "mlb":
            return 0.80
        # In one column all are far behind, in the others one weak rival is.
        weak = group == "ucf101_resnet_late" or method == "pmr"
        return 0.70 if weak else 0.79

    found = answers(make_figure3(level))
    assert found["f3-ucf101-largest-gain"].answer is Answer.SUPPORTED
    assert found["f3-ave-largest-gain"].answer is Answer.REFUTED, "one weak rival is not the previous best"
    assert len(found["f3-crema-d-resnet-gain"].contrasts) == 2 * 6 + 3 * 3, "OGM and others are not in Figure 6"


def test_most_columns_are_more_than_half_of_them(make_figure3):
    def better_in(columns: int):
        order = [group.id for name in ("figure3", "figure6") for group in load_once(CONFIGS, "mlb").table(name).groups]
        return lambda method, group: 0.80 + (0.05 if method == "mlb" and order.index(group) < columns else 0.0)

    many, half = (answers(make_figure3(better_in(n)))["f3-balancing-adds"] for n in (10, 7))
    assert (many.answer, many.observed, len(many.contrasts)) == (Answer.SUPPORTED, True, 14)
    assert half.answer is not Answer.SUPPORTED


def test_each_rival_may_be_worse_in_another_column(make_figure3):
    rivals = ["mmcosine", "mslr", "ogm", "agm", "pmr"]
    columns = dict(zip(["crema_d_resnet_late", "ave_resnet_late", "ucf101_resnet_late"] * 2, rivals, strict=False))

    def level(method: str, group: str) -> float:
        place = [
            "crema_d_resnet_late",
            "crema_d_conformer_late",
            "ave_resnet_late",
            "ucf101_resnet_late",
            "ave_resnet_mid",
        ]
        worse = group in place and method == rivals[place.index(group)]
        return 0.80 if method == "joint" else 0.70 if worse else 0.85

    assert columns
    assert answers(make_figure3(level))["f3-methods-inconsistent"].answer is Answer.SUPPORTED
    one_is_always_better = answers(make_figure3(lambda method, group: 0.9 if method == "pmr" else level(method, group)))
    assert one_is_always_better["f3-methods-inconsistent"].answer is Answer.REFUTED


def test_most_rows_need_one_column_each(make_study):
    study = make_study("table5", {"multi_mnist": "multi_mnist"}, SEEDS)
    levels = {"uniform": (0.86, 0.78), "conventional_pareto": (0.87, 0.76), "gradnorm": (0.84, 0.79)}
    levels |= {"pcgrad": (0.84, 0.76), "metabalance": (0.88, 0.80), "mmpareto": (0.89, 0.81)}
    for row, (method, (left, right)) in enumerate(levels.items()):
        for seed in SEEDS:
            shares = {"left": jitter(left, row)[seed], "right": jitter(right, row + 9)[seed]}
            study.run(study.cell(method), seed, shares)
    found = answers(study)
    assert found["t5-most-drop"].answer is Answer.SUPPORTED
    assert found["t5-task-difficulty"].answer is Answer.SUPPORTED, "columns of one row are compared, in each row"
    assert found["t5-task-difficulty"].contrasts[0].name == ("Uniform baseline, Accuracy Task 1 − Accuracy Task 2")


# -- claims that rest on measurements ----------------------------------------------------------------------------


def test_a_measurement_is_compared_over_seeds_like_a_column(make_study):
    study = make_study("figure5", {"kinetics_sounds": "kinetics_sounds"}, SEEDS)
    for row, (method, sharpness) in enumerate({"uniform": 0.5, "conventional_pareto": 0.9, "mmpareto": 0.3}.items()):
        accuracy = jitter(0.9 - sharpness, row)
        changes = {("joint", "loss_change"): jitter(1 + sharpness, row), ("joint", "accuracy_change"): jitter(0.2, row)}
        values = {("joint", "sharpness"): jitter(sharpness, row), ("joint", "accuracy"): accuracy, **changes}
        study.measured(method, values)
    found = answers(study)
    for name in ("conventional-pareto-sharper", "mmpareto-flattest", "flatter-lower-error-uniform"):
        assert found[name].answer is Answer.SUPPORTED, name
    assert found["conventional-pareto-changes-more"].answer is Answer.UNDECIDED, "the accuracy changes as much"
    assert found["mmpareto-flattest"].new_examples is None, "it is no share of right examples"


@pytest.fixture
def conflicts(make_study):
    """What supports every claim about Kinetics Sounds in the table of gradients along training."""

    def make(share=0.2, weight=0.8, norms=0.5, stationary=0.6):
        study = make_study("conflicts", {"kinetics_sounds": "kinetics_sounds"}, SEEDS)
        first = {"conflicts": share, "early_conflicts": 1.5 * share, "later_conflicts": 0.5 * share}
        encoders = {"multimodal_weight": weight, "min_norm_change": norms, "stationarity_share": stationary}
        for row, method in enumerate(("uniform", "conventional_pareto", "mmpareto")):
            values = {("visual", name): jitter(level, row + 5 * i) for i, (name, level) in enumerate(first.items())}
            for name, level in encoders.items():
                values |= {(encoder, name): jitter(level, row) for encoder in ("audio", "visual")}
            study.measured(method, values)
        return study

    return make


def test_a_claim_about_a_number_is_supported_above_it_and_refuted_below(conflicts):
    found = answers(conflicts())
    for name in ("gradient-conflict", "conflicts-early", "remark-1", "remark-2", "modest-iterations"):
        assert found[f"kinetics-sounds-{name}"].answer is Answer.SUPPORTED, name
    other = answers(conflicts(weight=0.3, norms=1.5))
    assert other["kinetics-sounds-remark-1"].answer is Answer.REFUTED
    assert other["kinetics-sounds-remark-2"].answer is Answer.REFUTED
    assert "5 seeds" in other["kinetics-sounds-remark-1"].reason, "a number is no pair"


def test_no_conflicts_at_all_support_nothing(conflicts):
    study = conflicts()
    study.measured("uniform", {})
    for seed in SEEDS:
        study.run(study.cell("uniform"), seed, {})
    study.measured("uniform", {("visual", "conflicts"): [0.0] * 5})
    found = answers(study)["kinetics-sounds-gradient-conflict"]
    assert (found.answer, found.observed) == (Answer.UNDECIDED, False)


def test_what_never_becomes_stationary_does_not_take_a_modest_number_of_iterations(conflicts):
    found = answers(conflicts(stationary=0.999))["kinetics-sounds-modest-iterations"]
    assert found.answer is not Answer.SUPPORTED


def test_a_claim_about_a_number_that_was_not_measured_is_not_run_and_says_why(conflicts):
    study = conflicts()
    for seed in SEEDS:
        study.run(study.cell("conventional_pareto"), seed, {"joint": 0.7})
    found = answers(study)["kinetics-sounds-remark-1"]
    assert found.answer is Answer.NOT_RUN
    assert "Kinetics Sounds Weight of the multimodal gradient, audio: the runs have no output 'audio'" in found.reason


def test_a_diverged_run_counts_against_a_claim_about_its_number(conflicts):
    study = conflicts()
    study.diverge("conventional_pareto", 1)
    found = answers(study)["kinetics-sounds-remark-1"]
    assert found.n == 5
    assert np.isneginf(found.contrasts[0].differences).sum() == 1
    assert found.answer is Answer.UNDECIDED


def test_a_method_is_unstable_where_more_of_its_runs_diverge(make_figure3):
    seeds = list(range(12))

    study = make_figure3(lambda method, group: 0.8, seeds)
    assert answers(study)["pmr-unstable"].answer is Answer.UNDECIDED, "none diverged"
    cells = [cell for cell in study.cells if cell.method == "pmr" and cell.model.endswith("resnet_film")]
    for seed in seeds[1:]:
        study._end(cells[0], seed, "diverged", "loss is not finite")
    found = answers(study)
    assert found["pmr-unstable"].answer is Answer.SUPPORTED
    assert found["pmr-unstable-resnet"].answer is Answer.SUPPORTED, "the Conformers' did not"


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


def test_most_of_three_are_shown_at_twice_the_second_smallest_p_value():
    above, below = np.array([0.01, 0.02, 0.9]), np.array([0.99, 0.98, 0.1])
    support, refute = combine(above, below, "most")
    assert (support, refute) == (pytest.approx(0.04), 1.0)
    assert combine(below, above, "most")[1] == pytest.approx(0.04), "two of three against it leave one"


def test_quantifiers_nest_as_their_words_say():
    places = [("left", "A"), ("left", "B"), ("right", "A"), ("right", "B")]
    above, below = [0.001, 0.5, 0.002, 0.001], [0.999, 0.5, 0.998, 0.999]
    any_column = Structure.of("any column", places).p_values(above, below)
    assert any_column[0] == pytest.approx(2 * 0.002), "the right column, against both"
    all_rows = Structure.of("all rows", places).p_values(above, below)
    assert all_rows[0] == pytest.approx(max(2 * 0.001, 2 * 0.001)), "each rival in its own best column"
    assert Structure.of("all", places).p_values(above, below)[0] == 0.5


@pytest.mark.parametrize("over", ["all", "any", "most"])
def test_p_values_of_a_quantifier_are_too_small_no_more_often_than_they_say(over):
    """Where just too few of four hold, support is at most at the level; the mirror image for refutation."""
    rng = np.random.default_rng(0)
    above = rng.random((4, 20_000))
    hold = {"all": 3, "any": 0, "most": 2}[over]
    above[:hold] = 0.0  # these are shown beyond doubt
    support, _ = combine(above, 1 - above, over)
    assert (support < 0.05).mean() <= 0.055
    short_of_refutation = np.where(above == 0.0, rng.random(above.shape), above)
    short_of_refutation[: {"all": 4, "any": 1, "most": 3}[over]] = 1.0  # so many hold beyond doubt
    _, refute = combine(1 - short_of_refutation, short_of_refutation, over)
    assert (refute < 0.05).mean() <= 0.055
