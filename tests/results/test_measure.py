"""A run's predictions give values, correctness and counts; what does not fit together is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.errors import UserError
from counterpoise.metrics import MeasuredRows, Steps
from counterpoise.results.measure import Measured, measure

LABELS = np.arange(20) % 4
WRONG_FROM = 15
PREDICTED = np.where(np.arange(20) < WRONG_FROM, LABELS, (LABELS + 1) % 4)
LOGITS = (4 * np.eye(4)[PREDICTED]).astype(np.float32)
RECORD = {
    "selections": {"last": {"epoch": 19}, "best_test": {"epoch": 7}},
    "output_targets": {"joint": "digit", "gray": "digit"},
    "output_kinds": {"joint": "classification", "gray": "classification"},
    "n_test": 20,
}
PREDICTIONS = {
    "labels.digit": LABELS,
    **{f"{selection}.logits.{output}": LOGITS for selection in ("last", "best_test") for output in ("joint", "gray")},
}


def measured(record=RECORD, predictions=PREDICTIONS, **others) -> Measured:
    return measure(record, predictions, ece_bins=15, where="here", **others)


def value(found: Measured, *place: str) -> float:
    (only,) = [v for selection, _, output, metric, v in found.values if (selection, output, metric) == place]
    return only


def refused(match: str, record=RECORD, predictions=PREDICTIONS, **others) -> None:
    with pytest.raises(UserError, match=match) as caught:
        measured(record, predictions, **others)
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)


def test_every_output_of_every_selection_is_measured_at_its_epoch():
    found = measured()
    places = {(selection, epoch, output) for selection, epoch, output, _, _ in found.values}
    assert places == {("last", 19, "joint"), ("last", 19, "gray"), ("best_test", 7, "joint"), ("best_test", 7, "gray")}
    assert value(found, "last", "joint", "accuracy") == 0.75


def test_which_examples_are_right_is_kept_in_their_order():
    right = measured().correct["last", "joint"]
    assert right.dtype == bool
    assert right.tolist() == [True] * WRONG_FROM + [False] * 5


def test_confusion_counts_have_labels_down_and_predictions_across():
    confusion = measured().details["last", "joint"]["confusion"]
    assert (confusion.sum(), confusion.trace()) == (20, 15)
    # Each wrong one is taken for the next of the four classes.
    wrong = np.bincount(LABELS[WRONG_FROM:], minlength=4)
    assert np.array_equal(np.roll(confusion, -1, axis=1).diagonal(), wrong)


def test_a_class_that_never_occurs_keeps_its_row_and_column():
    found = measured(predictions={**PREDICTIONS, "labels.digit": np.minimum(LABELS, 2)})
    confusion = found.details["last", "joint"]["confusion"]
    assert confusion.shape == (4, 4)
    assert confusion[3].sum() == 0


def test_reliability_bins_carry_the_calibration_error_that_stands_beside_them():
    found = measured()
    count, confidence, accuracy = found.details["last", "joint"]["reliability"].T
    error = np.nansum(count * abs(accuracy - confidence)) / count.sum()
    assert error == pytest.approx(value(found, "last", "joint", "ece"), abs=1e-15)


def test_a_dense_output_is_measured_from_its_sums_and_has_no_correctness_per_example():
    record = {
        "selections": {"last": {"epoch": 1}},
        "output_targets": {"segmentation": "labels", "depth": "depth"},
        "output_kinds": {"segmentation": "segmentation", "depth": "depth"},
        "n_test": 2,
    }
    sums = {
        "last.statistics.segmentation": np.array([[3.0, 1.0], [0.0, 4.0]]),
        "last.statistics.depth": np.array([1.0, 0.5, 2.0]),
    }
    found = measured(record, sums)
    assert value(found, "last", "segmentation", "pixel_accuracy") == 7 / 8
    assert value(found, "last", "depth", "absolute_error") == 0.5
    assert found.correct == {}
    assert found.details["last", "segmentation"]["confusion"].tolist() == [[3, 1], [0, 4]]
    refused("statistics", record, {**sums, "last.statistics.depth": np.ones(2)})
    refused("statistics", record, {**sums, "last.statistics.segmentation": np.ones((2, 3))})


def test_a_probe_is_an_output_of_the_last_epoch():
    found = measured(probe={"logits.gray": LOGITS})
    assert value(found, "last", "probe:gray", "accuracy") == 0.75
    assert {selection for selection, _, output, _, _ in found.values if output == "probe:gray"} == {"last"}
    assert found.correct["last", "probe:gray"].sum() == 15


def test_what_steps_give_is_the_same_for_every_selection():
    columns, times = {"min_norm.gray": np.array([1.0, 0.0])}, {"integration_seconds.gray": np.array([2.0, 4.0])}
    steps = Steps(columns=columns, times=times, stationarity=1e-3)
    found = measured(steps=steps)
    for selection in ("last", "best_test"):
        assert value(found, selection, "joint", "seconds_per_iteration") == 3.0
        assert value(found, selection, "gray", "iterations_to_stationarity") == 1.0


def test_steps_to_the_selected_epoch_are_those_of_each_selection():
    history = {"epoch": np.array([7.0, 19.0]), "step": np.array([80.0, 200.0]), "train_loss.gray": np.array([2.0, 1.0])}
    found = measured(history=history)
    assert value(found, "best_test", "joint", "steps_to_selected") == 80.0
    assert value(found, "last", "joint", "steps_to_selected") == 200.0
    assert value(found, "last", "gray", "training_loss") == 1.5


def test_what_was_measured_on_the_weights_is_the_same_for_every_selection():
    columns = {name: np.ones(2) for name in ("multimodal", "unimodal", "multimodal_loss", "unimodal_loss")}
    rows = MeasuredRows(columns={**columns, "k": np.full(2, 3.0)}, encoder=("gray", "gray"))
    found = measured(measurements={"gradients": rows})
    for selection in ("last", "best_test"):
        assert value(found, selection, "gray", "covariance_ratio") == 3.0
    assert not [v for v in found.values if v[3] == "norm_variance_ratio"], "nothing varies: there is no ratio"


def test_predictions_that_do_not_fit_the_record_are_refused():
    refused(
        r"last\.logits\.taste",
        RECORD | {"output_targets": {"taste": "digit"}, "output_kinds": {"taste": "classification"}},
    )
    refused("output_targets", {name: part for name, part in RECORD.items() if name != "output_targets"})
    refused("20 examples, the record says 21", RECORD | {"n_test": 21})
    refused("labels from 0 to 9", predictions={**PREDICTIONS, "labels.digit": np.arange(20) % 10})
    refused("labels from -1", predictions={**PREDICTIONS, "labels.digit": LABELS - 1})
    refused(r"logits float32 \(20, 4\), labels int64 \(19,\)", predictions={**PREDICTIONS, "labels.digit": LABELS[:19]})
    refused("must have float logits", predictions={**PREDICTIONS, "last.logits.joint": LOGITS.astype(np.int64)})


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_value_that_is_no_number_is_refused_by_its_name(number):
    logits = LOGITS.copy()
    logits[3, 1] = number
    refused(r"ece of output 'joint' \(last\) is nan", predictions={**PREDICTIONS, "last.logits.joint": logits})
