"""The gate lets a number be judged in level only where test set, split, features and training are the paper's."""

from __future__ import annotations

import pytest
from made_results import CONFIGS

from counterpoise.comparability import DeclaredDifference, Difference
from counterpoise.judging.gate import Comparability, comparability_of
from counterpoise.judging.verdicts import Verdict
from counterpoise.planning.configs import Configs
from counterpoise.planning.plan import make_plan
from counterpoise.runs.layout import layout_of


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


def layout_of_benchmark(repository, name: str, **overrides):
    plan = make_plan(repository, repository / f"configs/benchmarks/{name}.yaml", overrides)
    return plan, layout_of(plan, repository)


def found_by_group(plan, layout, paper: str, table: str) -> dict[str, Comparability]:
    """What the gate finds before any run, by column group."""
    of = plan.papers[paper].table(table)
    found = {}
    for value in layout.values_of(paper, table):
        if value.cell is not None:
            cell, group = layout.cells[value.cell], of.group(value.row, value.column)
            gate = comparability_of(plan.papers[paper], group, value, cell, layout.data[cell.data], None)
            found.setdefault(group.id, gate)
    return found


def test_weights_and_face_crops_that_are_not_the_papers_are_found_in_the_configuration(repository):
    found = found_by_group(*layout_of_benchmark(repository, "mlb"), "mlb", "figure3")
    assert {name for name, gate in found.items() if gate.level == "other"} == {
        "crema_d_conformer_late",
        "crema_d_conformer_mid",
    }
    reason = found["crema_d_conformer_mid"].reason
    assert "the audio encoder has wav2vec2_large_lv60k, in the paper wav2vec 2.0 Large Robust" in reason
    assert "the visual encoder has efficientnet_b2_imagenet, in the paper EfficientNet-B2 learned on faces" in reason
    assert "crop: none, in the paper faces" in reason
    assert "frames: 30, in the paper 150" in reason
    assert found["ave_resnet_late"].differences == ()


def test_weights_where_the_paper_starts_at_random_are_found_whatever_model_brings_them(repository):
    plan, layout = layout_of_benchmark(repository, "mlb")
    value = next(v for v in layout.values_of("mlb", "figure3") if v.column == "crema_d_resnet_late.accuracy" and v.cell)
    cell = layout.cells[value.cell]
    encoders = {"audio": {"component": "any", "settings": {"weights": "some_weights"}}}
    cell = cell.model_copy(update={"config": {"model": {"encoders": encoders}}})
    group = plan.papers["mlb"].table("figure3").group(value.row, value.column)
    gate = comparability_of(plan.papers["mlb"], group, value, cell, layout.data[cell.data], None)
    assert gate.level == "other"
    assert "the audio encoder has some_weights, in the paper a random start" in gate.reason


def test_weights_that_the_paper_does_not_name_are_not_the_papers(repository):
    found = found_by_group(*layout_of_benchmark(repository, "mmpareto"), "mmpareto", "table2")
    assert found["crema_d_pretrained"].level == "other"
    assert "weights of ImageNet that it does not name" in found["crema_d_pretrained"].reason
    assert found["crema_d_scratch"].level == "same"


def test_what_a_benchmark_changes_in_a_methods_training_makes_it_another_one(repository):
    change = {"methods": {"mmpareto": {"protocol": {"epochs": 3, "batch_size": 256}}}}
    _, layout = layout_of_benchmark(repository, "table5", **change)
    for value in layout.values_of("mmpareto"):
        ours = value.cell is not None and layout.cells[value.cell].method == "mmpareto"
        assert ("training" in {found.aspect for found in value.differs}) is ours
        if ours:
            (found,) = (found for found in value.differs if found.aspect == "training")
            assert found.level == "other"
            assert found.reason == "protocol.epochs 3 in place of 100"  # 256 is what the file says, too


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
