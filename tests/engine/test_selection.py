"""All rules of choosing an epoch are followed side by side."""

from __future__ import annotations

import pytest
import torch

from counterpoise.engine.selection import Selections


def logits(epoch: int) -> dict[str, torch.Tensor]:
    return {"joint": torch.full((2, 3), float(epoch)), "audio": torch.full((2, 3), -float(epoch))}


def chosen(test: list[float], val: list[float | None]) -> Selections:
    selections = Selections()
    for epoch, (on_test, on_val) in enumerate(zip(test, val, strict=True)):
        selections.update(epoch, logits(epoch), on_test, on_val)
    return selections


def test_each_rule_chooses_its_own_epoch():
    selections = chosen([0.1, 0.9, 0.5], [0.4, 0.2, 0.3])
    assert {rule: s.epoch for rule, s in selections.found.items()} == {"last": 2, "best_test": 1, "best_val": 0}


@pytest.mark.parametrize("rule", ["best_test", "best_val"])
def test_the_first_of_equally_good_epochs_stays(rule):
    assert chosen([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]).found[rule].epoch == 0


def test_the_logits_are_those_of_the_chosen_epoch():
    tensors = chosen([0.1, 0.9, 0.5], [None] * 3).tensors()
    assert set(tensors) == {
        f"{rule}.logits.{output}" for rule in ("last", "best_test") for output in ("joint", "audio")
    }
    assert tensors["best_test.logits.joint"].unique().tolist() == [1.0]
    assert tensors["last.logits.audio"].unique().tolist() == [-2.0]


def test_accuracies_are_by_the_rules_own_measure():
    plain = chosen([0.1, 0.9], [0.4, 0.2]).plain()
    assert plain == {
        "last": {"epoch": 1, "accuracy": None},
        "best_test": {"epoch": 1, "accuracy": 0.9},
        "best_val": {"epoch": 0, "accuracy": 0.4},
    }


def test_an_accuracy_of_zero_counts():
    assert chosen([0.0, 0.0], [0.0, 0.0]).plain()["best_val"] == {"epoch": 0, "accuracy": 0.0}


def test_how_long_validation_has_not_got_better():
    selections = chosen([0.1] * 4, [0.1, 0.5, 0.4, 0.3])
    assert selections.epochs_since_best_val(3) == 2
    assert chosen([0.1], [None]).epochs_since_best_val(0) is None


def test_selections_come_back():
    before = chosen([0.1, 0.9, 0.5], [0.4, 0.2, 0.3])
    after = Selections.restore(before.plain(), before.tensors())
    assert after.plain() == before.plain()
    assert all(torch.equal(after.tensors()[name], value) for name, value in before.tensors().items())
    for selections in (before, after):
        selections.update(3, logits(3), 0.95, 0.3)
    assert after.plain() == before.plain()
