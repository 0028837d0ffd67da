"""The gate lets a number be judged in level only where test set, split, features and training are the paper's."""

from __future__ import annotations

import pytest
from made_results import CONFIGS

from counterpoise.comparability import DeclaredDifference, Difference
from counterpoise.judging.verdicts import Verdict
from counterpoise.planning.configs import Configs


@pytest.fixture
def mosi(make_study):
    study = make_study("table7", {"cmu_mosi": "cmu_mosi"}, range(5))
    for row in study.paper.table("table7").rows:
        if row.method != "greedy":
            study.runs(row.method, [0.755, 0.760, 0.757, 0.762, 0.758])
    return study


def differing(study, *differences: Difference):
    values = tuple(value.model_copy(update={"differs": differences}) for value in study.layout.values)
    study.layout = study.layout.model_copy(update={"values": values})
    return study


def verdicts(study) -> set[Verdict]:
    return {row.verdict for row in study.compare().rows_of("table7")} - {Verdict.NOT_DEFINED}


def test_the_papers_own_test_set_is_judged(mosi):
    assert Verdict.NOT_COMPARABLE not in verdicts(mosi)
    assert {row.entry.comparability.level for row in mosi.compare().rows_of("table7") if row.entry.cell} == {"same"}


def test_a_test_set_of_another_size_is_not_comparable_whatever_it_is_called(mosi):
    mosi.n_test = 752
    for row in mosi.paper.table("table7").rows:
        if row.method != "greedy":
            mosi.runs(row.method, [0.755, 0.760, 0.757, 0.762, 0.758])
    assert verdicts(mosi) == {Verdict.NOT_COMPARABLE}
    reason = mosi.compare().rows_of("table7")[0].number.reason
    assert "752 examples" in reason
    assert "686" in reason


def test_a_list_of_ones_own_makes_another_split_by_the_datas_own_manifest(mosi):
    found = {
        name: data.model_copy(update={"manifest": {"departures": ["my_test.txt is a list of one's own"]}})
        for name, data in mosi.layout.data.items()
    }
    mosi.layout = mosi.layout.model_copy(update={"data": found})
    assert verdicts(mosi) == {Verdict.NOT_COMPARABLE}
    assert "split: my_test.txt is a list" in mosi.compare().rows_of("table7")[0].number.reason


def test_a_declared_other_feature_is_not_comparable_and_gives_its_reason(mosi):
    differing(mosi, Difference(aspect="features or weights", level="other", reason="learned on the test words"))
    assert verdicts(mosi) == {Verdict.NOT_COMPARABLE}
    assert "learned on the test words" in mosi.compare().rows_of("table7")[0].number.reason


def test_where_no_level_is_comparable_the_exit_code_does_not_say_that_all_is_well(mosi):
    differing(mosi, Difference(aspect="training", level="other", reason="fewer epochs"))
    assert mosi.compare().exit_code == 5


def test_another_draw_of_the_test_set_widens_the_interval_by_its_sampling_error(mosi):
    same = mosi.compare().rows_of("table7")[0].number
    differing(mosi, Difference(aspect="test set", level="same recipe, other draw", reason="drawn here"))
    other = mosi.compare().rows_of("table7")[0].number
    error = 100 * (0.7584 * (1 - 0.7584) / 686) ** 0.5
    assert (other.high - other.low) / 2 > 1.96 * error * 2**0.5  # two test sets, ours and the paper's
    assert other.high - other.low > 2 * (same.high - same.low)
    assert verdicts(mosi) == {Verdict.CONSISTENT}


def test_a_condition_decides_whether_a_declared_difference_applies():
    declared = DeclaredDifference(aspect="split", level="other", reason="theirs", when={"split": "poria"})
    assert declared.applies({"split": "poria", "labels": "binary"})
    assert not declared.applies({"split": "standard"})


@pytest.mark.parametrize("name", ["conformer_concat", "conformer_film", "conformer_gated", "conformer_mid_mlp"])
def test_every_conformer_declares_that_its_weights_are_not_the_papers(name):
    assert any(
        d.level == "other" and d.aspect == "features or weights" for d in Configs(CONFIGS).model(name).comparability
    )


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("cmu_mosi", "other"),
        ("kinetics_sounds", "other"),
        ("cg_mnist", "same recipe, other draw"),
        ("multi_mnist", "same recipe, other draw"),
    ],
)
def test_datasets_declare_what_their_test_set_is(name, level):
    dataset = Configs(CONFIGS).dataset(name)
    found = [d for d in dataset.comparability if d.aspect == "test set" and d.applies(dataset.settings)]
    assert [d.level for d in found] == [level]
