"""An explanation's effects are paired differences, and what they recover is measured against the gap."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from made_results import MadeResults
from scipy import stats

from counterpoise.errors import UserError
from counterpoise.judging.explain import explain, record
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.explain import sentence
from counterpoise.results.explained import Flip, Question, explanations_folder, read_explanations
from counterpoise.results.names import find_values

NUMBER = "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"  # the paper prints 75.68
FACTORS = ("learning_rate", "schedule", "colours")


class Explained:
    """The uniform baseline of Table 3 and three flips of it; ``flips`` are cells of a layout of their own."""

    def __init__(self, dataset: str = "cg_mnist") -> None:
        groups = {"table3": {"cg_mnist": dataset}}
        self.own = MadeResults("mmpareto", groups)
        self.flips = MadeResults("mmpareto", groups, variants={"uniform": FACTORS})
        undefined = Flip(factor="head", title="head", reason="not defined here")
        flips = [Flip(factor=f, title=f, before="a", after="b", cell=self.flipped(f).name) for f in FACTORS]
        (value,) = find_values(self.own.layout, NUMBER)
        own = self.own.cell("uniform").name
        self.question = Question(value=value, cell=own, flips=(*flips, undefined))

    def flipped(self, factor: str):
        return self.flips.cell("uniform", variant=factor)

    def finish(self, shares: list[float], **selections: list[float]) -> None:
        """Finish the number's own runs; keywords give their accuracies at other selections."""
        for seed, share in enumerate(shares):
            others = {name: {"joint": values[seed]} for name, values in selections.items()}
            self.own.run(self.own.cell("uniform"), seed, {"joint": share}, **others)

    def flip(self, factor: str, shares: list[float | None]) -> None:
        """Finish a flip's runs, with None for one that diverged."""
        for seed, share in enumerate(shares):
            if share is None:
                self.flips.diverge("uniform", seed, variant=factor)
            else:
                self.flips.run(self.flipped(factor), seed, {"joint": share})

    def explain(self):
        return explain(self.question, self.own.paper, self.own.results, self.flips.results)

    def effect(self, factor: str):
        return next(effect for effect in self.explain().effects if effect.flip.factor == factor)


@pytest.fixture
def deviating() -> Explained:
    """Ours is some 10 points below the paper; the last epoch is 2 points below the best on test."""
    study = Explained()
    study.finish([0.655, 0.66, 0.652], best_test=[0.674, 0.682, 0.671])
    return study


def test_an_effect_is_the_mean_of_differences_paired_over_seeds(deviating):
    deviating.flip("learning_rate", [0.701, 0.71, 0.69])
    effect = deviating.effect("learning_rate")
    differences = 100 * np.subtract([0.701, 0.71, 0.69], [0.655, 0.66, 0.652])
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert effect.differences == pytest.approx(tuple(differences))
    assert (effect.n, effect.mean) == (3, pytest.approx(differences.mean()))
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))


def test_what_is_recovered_is_the_part_of_the_gap_that_goes_away(deviating):
    deviating.flip("learning_rate", [0.701, 0.71, 0.69])
    deviating.flip("schedule", [0.64, 0.65, 0.641])
    found = deviating.explain()
    assert found.number.verdict is Verdict.DEVIATES
    assert found.gap == pytest.approx(75.68 - 100 * np.mean([0.655, 0.66, 0.652]))
    effects = {effect.flip.factor: effect for effect in found.effects if effect.mean is not None}
    assert effects["learning_rate"].recovered == pytest.approx(effects["learning_rate"].mean)
    assert effects["schedule"].recovered < 0


def test_above_the_paper_recovering_is_going_down():
    study = Explained()
    study.finish([0.855, 0.86, 0.852])
    study.flip("learning_rate", [0.80, 0.81, 0.79])
    effect = study.effect("learning_rate")
    assert effect.mean < 0
    assert effect.recovered == pytest.approx(-effect.mean)
    assert f"recovers {-effect.mean:.2f} of" in sentence(effect, study.explain())


def test_past_the_printed_number_is_said_to_be_past_it():
    study = Explained()
    study.finish([0.855, 0.86, 0.852])
    study.flip("learning_rate", [0.70, 0.71, 0.69])
    said = sentence(study.effect("learning_rate"), study.explain())
    assert "recovers 15.57 of 9.89 points and goes past the printed number" in said


def test_choosing_the_epoch_otherwise_needs_no_runs(deviating):
    effects = {e.flip.after: e for e in deviating.explain().effects if e.flip.factor == "selection"}
    assert set(effects) == {"best_val", "best_test"}
    assert effects["best_test"].mean == pytest.approx(100 * np.mean([0.019, 0.022, 0.019]))
    assert effects["best_val"].mean is None
    assert "'best_val'" in effects["best_val"].reason
    assert effects["best_val"].missing == ()


def test_p_values_are_corrected_for_the_number_of_flips(deviating):
    (alone,) = [effect.p for effect in deviating.explain().effects if effect.p is not None]
    deviating.flip("learning_rate", [0.701, 0.71, 0.69])
    both = sorted(effect.p for effect in deviating.explain().effects if effect.p is not None)
    raw = sorted(
        [alone, float(stats.ttest_1samp(100 * np.subtract([0.701, 0.71, 0.69], [0.655, 0.66, 0.652]), 0).pvalue)]
    )
    assert both == pytest.approx([2 * raw[0], max(2 * raw[0], raw[1])])


def test_missing_runs_are_named_and_counted(deviating):
    found = deviating.explain()
    assert found.runs_missing == 3 * len(FACTORS)
    assert deviating.effect("schedule").missing == (0, 1, 2)
    assert deviating.effect("schedule").reason == "no pair of finished runs yet"


def test_another_selection_lacks_no_runs_of_its_own(deviating):
    deviating.own.layout = deviating.own.layout.model_copy(update={"seeds": (0, 1, 2, 3)})
    found = deviating.explain()
    assert found.missing == (3,)
    assert {effect.missing for effect in found.effects if effect.flip.factor == "selection"} == {()}
    assert found.runs_missing == 1 + 4 * len(FACTORS)


def test_a_failed_flip_says_what_became_of_it(deviating):
    for seed in (0, 1, 2):
        deviating.flips.fail("uniform", seed, "a mistake", variant="schedule")
    effect = deviating.effect("schedule")
    assert "seed 0 failed (a mistake)" in effect.reason
    assert effect.missing == ()


def test_a_flip_that_is_not_defined_keeps_its_reason(deviating):
    assert deviating.effect("head").reason == "not defined here"


def test_a_flip_with_some_seeds_is_paired_over_those(deviating):
    deviating.flip("learning_rate", [0.701, 0.71])
    effect = deviating.effect("learning_rate")
    assert (effect.n, effect.missing) == (2, (2,))


def test_one_pair_gives_no_interval(deviating):
    deviating.flip("learning_rate", [0.701])
    effect = deviating.effect("learning_rate")
    assert (effect.n, effect.low, effect.p) == (1, None, None)


def test_a_flip_that_diverges_says_so_and_stays_out_of_the_mean(deviating):
    deviating.flip("learning_rate", [0.701, None, 0.69])
    effect = deviating.effect("learning_rate")
    assert (effect.n, effect.diverged) == (3, 1)
    assert effect.mean == pytest.approx(100 * np.mean([0.701 - 0.655, 0.69 - 0.652]))
    deviating.flip("schedule", [None, None, None])
    assert "diverged" in deviating.effect("schedule").reason


def test_a_number_that_does_not_deviate_is_explained_all_the_same():
    study = Explained()
    study.finish([0.757, 0.756, 0.7575])
    study.flip("learning_rate", [0.80, 0.801, 0.799])
    found = study.explain()
    assert (found.number.verdict, found.deviates) == (Verdict.REPRODUCED, False)
    assert study.effect("learning_rate").mean == pytest.approx(4.3167, abs=1e-3)


def test_on_a_stand_in_there_is_no_gap():
    study = Explained("cg_digits")
    study.finish([0.655, 0.66, 0.652])
    study.flip("learning_rate", [0.701, 0.71, 0.69])
    found = study.explain()
    assert found.gap is None
    assert all(effect.recovered is None for effect in found.effects)
    assert study.effect("learning_rate").mean == pytest.approx(4.466666, abs=1e-4)


def test_a_row_that_the_paper_does_not_have_cannot_be_explained(deviating):
    own = deviating.question.value.model_copy(update={"row": "Our method"})
    deviating.question = dataclasses.replace(deviating.question, value=own)
    with pytest.raises(UserError, match="no such row"):
        deviating.explain()


def test_what_was_recorded_reads_back_as_it_was(deviating, tmp_path):
    deviating.flip("learning_rate", [0.701, 0.71, 0.69])
    said = deviating.explain()
    folder = explanations_folder(tmp_path, "made_up")
    folder.mkdir(parents=True)
    (folder / "number.json").write_text(json.dumps(record(said)))
    (found,) = read_explanations(explanations_folder(tmp_path, "made_up"), "made_up").values()
    assert (found.name, found.cell, found.gap) == (NUMBER, deviating.question.value.cell, said.gap)
    for read, effect in zip(found.effects, said.effects, strict=True):
        assert (read.title, read.before, read.after) == (effect.flip.title, effect.flip.before, effect.flip.after)
        assert (read.mean, read.low, read.recovered, read.n) == (effect.mean, effect.low, effect.recovered, effect.n)
    (rate,) = (effect for effect in found.effects if effect.title == "learning_rate")
    assert rate.recovered_interval == (rate.low, rate.high)  # ours is below the printed number
    assert math.isfinite(rate.recovered)
