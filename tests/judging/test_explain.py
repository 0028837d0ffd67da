"""An explanation's effects are paired differences, and what they recover is measured against the gap."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from small_project import SmallProject

from counterpoise.errors import UserError
from counterpoise.judging.explain import ask, explain, question_digest
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.explain import lines, plan_lines, write_explanation
from counterpoise.results.explained import read_explanations

NUMBER = "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"  # the paper prints 75.68


class Explained(SmallProject):
    """The small project on the paper's own dataset, with metrics written as numbers."""

    def __init__(self, root, repository) -> None:
        super().__init__(root, repository)
        column = {"dataset": "cg_mnist", "model": "cg_mnist_conv4", "protocol": "mmpareto/cg_mnist"}
        self.benchmark(seeds=[0, 1, 2])
        self.table(columns={"cg_mnist": column})

    def finish(self, cell, shares, status="completed", **others) -> None:
        """Write finished runs with an accuracy per seed; keywords give other selections' accuracies."""
        plan = self.plan()
        for seed, share in enumerate(shares):
            folder = self.root / cell.run_directory(seed)
            folder.mkdir(parents=True, exist_ok=True)
            selections = {
                name: {"epoch": 1, "outputs": {"joint": {"accuracy": values[seed]}}}
                for name, values in {"last": shares, **others}.items()
                if share is not None
            }
            state = "completed" if share is not None else "diverged"
            head = {"schema": 1, "key": cell.key, "seed": seed, "status": state}
            metrics = head | {"n_test": 10000, "ece_bins": 15, "selections": selections, "reason": None}
            (folder / plan.metrics_name).write_text(json.dumps(metrics))
            (folder / "record.json").write_text(json.dumps(head | {"files": {}}))

    def flipped(self, factor):
        return next(f.cell for f in self.plan().flips(self.cell("uniform")) if f.factor == factor)

    def explain(self, **overrides):
        plan = self.plan(**overrides)
        return explain(plan, self.root, ask(plan, NUMBER))

    def effect(self, factor, **overrides):
        return next(e for e in self.explain(**overrides).effects if e.flip.factor == factor)


@pytest.fixture
def project(tmp_path, repository) -> Explained:
    return Explained(tmp_path, repository)


@pytest.fixture
def deviating(project) -> Explained:
    """Ours is some 10 points below the paper; the last epoch is 2 points below the best on test."""
    project.finish(project.cell("uniform"), [0.655, 0.66, 0.652], best_test=[0.674, 0.682, 0.671])
    return project


def test_an_effect_is_the_paired_difference_with_its_t_interval(deviating):
    values = [0.701, 0.71, 0.69]
    deviating.finish(deviating.flipped("learning_rate"), values)
    effect = deviating.effect("learning_rate")
    pairs = 100 * (np.array(values) - [0.655, 0.66, 0.652])
    test = stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
    assert effect.mean == pytest.approx(pairs.mean())
    assert (effect.low, effect.high) == (pytest.approx(test.low), pytest.approx(test.high))
    assert effect.n == 3


def test_what_an_effect_recovers_is_counted_towards_the_printed_number(deviating):
    deviating.finish(deviating.flipped("learning_rate"), [0.701, 0.71, 0.69])
    deviating.finish(deviating.flipped("schedule"), [0.60, 0.61, 0.605])
    found = deviating.explain()
    assert found.deviates
    assert found.gap == pytest.approx(75.68 - 65.566666, abs=1e-4)
    effects = {effect.flip.factor: effect for effect in found.effects}
    assert effects["learning_rate"].recovered == pytest.approx(effects["learning_rate"].mean)
    assert effects["schedule"].recovered < 0


def test_above_the_paper_a_lower_number_recovers(project):
    project.finish(project.cell("uniform"), [0.95, 0.951, 0.949])
    project.finish(project.flipped("learning_rate"), [0.85, 0.852, 0.848])
    effect = project.effect("learning_rate")
    assert effect.mean < 0 < effect.recovered


def test_the_selection_needs_no_runs_of_its_own(deviating):
    effects = {e.flip.after: e for e in deviating.explain().effects if e.flip.factor == "selection"}
    assert effects["best_test"].mean == pytest.approx(2.0, abs=0.5)
    assert effects["best_test"].missing == ()
    assert "no selection 'best_val'" in effects["best_val"].reason


def test_p_values_are_corrected_for_the_number_of_flips(deviating):
    alone = deviating.effect("selection", selection="last")
    again = [e for e in deviating.explain().effects if e.p is not None]
    assert len(again) == 1
    deviating.finish(deviating.flipped("learning_rate"), [0.701, 0.71, 0.69])
    both = [e.p for e in deviating.explain().effects if e.p is not None]
    assert len(both) == 2
    assert max(both) >= again[0].p
    assert alone.flip.after in ("best_val", "best_test")


def test_missing_runs_are_named_with_the_command_that_runs_them(deviating):
    plan = deviating.plan()
    question = ask(plan, NUMBER)
    found = explain(plan, deviating.root, question)
    assert found.runs_missing == 3 * (len(question.cells) - 1)
    text = "\n".join(lines(plan, question, found))
    assert "seeds 0, 1, 2 missing" in text
    assert "results/explain/mmpareto.table3.Uniform_baseline.cg_mnist.accuracy.md" in text


def test_a_flip_with_some_seeds_is_paired_over_those(deviating):
    deviating.finish(deviating.flipped("learning_rate"), [0.701, 0.71])
    effect = deviating.effect("learning_rate")
    assert (effect.n, effect.missing) == (2, (2,))


def test_one_pair_gives_no_interval(deviating):
    deviating.finish(deviating.flipped("learning_rate"), [0.701])
    effect = deviating.effect("learning_rate")
    assert (effect.n, effect.low, effect.p) == (1, None, None)


def test_a_flip_that_diverges_says_so_and_stays_out_of_the_mean(deviating):
    deviating.finish(deviating.flipped("learning_rate"), [0.701, None, 0.69])
    effect = deviating.effect("learning_rate")
    assert (effect.n, effect.diverged) == (3, 1)
    assert effect.mean == pytest.approx(100 * np.mean([0.701 - 0.655, 0.69 - 0.652]))
    deviating.finish(deviating.flipped("schedule"), [None, None, None])
    assert "diverged" in deviating.effect("schedule").reason


def test_a_number_that_does_not_deviate_is_explained_all_the_same(project):
    project.finish(project.cell("uniform"), [0.757, 0.756, 0.7575])
    project.finish(project.flipped("learning_rate"), [0.80, 0.801, 0.799])
    plan = project.plan()
    question = ask(plan, NUMBER)
    found = explain(plan, project.root, question)
    assert found.number.verdict is Verdict.REPRODUCED
    assert "does not deviate" in "\n".join(lines(plan, question, found))


def test_on_a_stand_in_there_is_no_gap(tmp_path, repository):
    project = Explained(tmp_path, repository)
    project.table(columns={"cg_mnist": {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}})
    project.finish(project.cell("uniform"), [0.655, 0.66, 0.652])
    project.finish(project.flipped("learning_rate"), [0.701, 0.71, 0.69])
    found = project.explain()
    assert found.gap is None
    assert all(effect.recovered is None for effect in found.effects)
    assert project.effect("learning_rate").mean == pytest.approx(4.466666, abs=1e-4)


def test_the_plan_names_every_flip_and_counts_the_runs(deviating):
    plan = deviating.plan()
    question = ask(plan, NUMBER)
    text = "\n".join(plan_lines(plan, deviating.root, question))
    assert all(cell.name in text for cell in question.cells)
    assert f"runs: {3 * len(question.cells)}, " in text


def test_several_variants_ask_which(project):
    with pytest.raises(UserError, match="MMPareto@published"):
        ask(project.plan(), "mmpareto.table3.MMPareto.cg_mnist.accuracy")


def test_a_number_that_nothing_runs_for_cannot_be_explained(project):
    with pytest.raises(UserError, match="not in this benchmark"):
        ask(project.plan(), "mmpareto.table3.Uniform baseline.modelnet40.accuracy")


def test_the_files_say_the_same_as_the_terminal(deviating):
    deviating.finish(deviating.flipped("learning_rate"), [0.701, 0.71, 0.69])
    plan = deviating.plan()
    question = ask(plan, NUMBER)
    found = explain(plan, deviating.root, question)
    markdown, table, data = write_explanation(plan, deviating.root, question, found)
    (told,) = [line for line in lines(plan, question, found) if "learning rate from" in line]
    assert told.strip() in markdown.read_text()
    assert len(table.read_text().splitlines()) == 1 + len(found.effects)
    assert json.loads(data.read_text())["digest"] == question_digest(plan, question)


def test_an_explanation_rests_on_its_flips(project):
    before = question_digest(project.plan(), ask(project.plan(), NUMBER))
    path = project.root / "configs/protocols/mmpareto/cg_mnist.yaml"
    path.write_text(path.read_text().replace("lr: 2e-3", "lr: 3e-3"))
    assert question_digest(project.plan(), ask(project.plan(), NUMBER)) != before


def test_what_was_written_reads_back_as_it_was(deviating):
    deviating.finish(deviating.flipped("learning_rate"), [0.701, 0.71, 0.69])
    plan = deviating.plan()
    question = ask(plan, NUMBER)
    said = explain(plan, deviating.root, question)
    write_explanation(plan, deviating.root, question, said)
    (found,) = read_explanations(deviating.root, plan.benchmark.name).values()
    assert (found.name, found.cell, found.gap) == (said.name, question.cell.name, said.gap)
    for read, effect in zip(found.effects, said.effects, strict=True):
        assert (read.title, read.before, read.after) == (effect.flip.title, effect.flip.before, effect.flip.after)
        assert (read.mean, read.low, read.recovered, read.n) == (effect.mean, effect.low, effect.recovered, effect.n)
    (rate,) = (effect for effect in found.effects if effect.title == "learning rate")
    assert rate.recovered_interval == (rate.low, rate.high)  # ours is below the printed number
    assert not read_explanations(deviating.root, "another")
