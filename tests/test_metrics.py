"""Metrics against values worked out by hand, and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from counterpoise.metrics import (
    FIRST_STEPS,
    METRICS,
    UNITS,
    Agreement,
    Classification,
    History,
    MeasuredRows,
    Steps,
    calibration_bins,
    calibration_error,
    metric,
    metrics_of,
)


def classification_metrics(logits: np.ndarray, labels: np.ndarray, bins: int) -> dict[str, float]:
    """Return every metric of a classified output."""
    output = Classification(logits=logits, labels=labels, ece_bins=bins)
    return {found.name: found.compute(output) for found in metrics_of("classification")}


def has(found: dict, expected: dict) -> bool:
    """Whether metrics have these values; another metric of the same source has a test of its own."""
    return {name: found[name] for name in expected} == expected


def logits_of(probabilities: list[list[float]]) -> np.ndarray:
    """Return logits whose softmax is ``probabilities``."""
    return np.log(np.array(probabilities))


def metrics(probabilities: list[list[float]], labels: list[int], bins: int = 15) -> dict[str, float]:
    return classification_metrics(logits_of(probabilities), np.array(labels), bins)


def test_accuracy_is_the_share_that_is_right():
    found = metrics([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [0, 1, 1, 1])
    assert found["accuracy"] == 0.5


def test_macro_f1_weighs_every_class_alike():
    # Predicted 0 0 0 1, true 0 0 1 1: class 0 has 2 TP, 1 FP; class 1 has 1 TP, 1 FN. F1 = 4/5 and 2/3.
    found = metrics([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], [0, 0, 1, 1])
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2, rel=1e-12)


def test_a_class_that_occurs_nowhere_does_not_count_for_macro_f1():
    two = metrics([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2]], [0, 1, 1])
    three = metrics([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]], [0, 1, 1])
    assert three["macro_f1"] == pytest.approx(two["macro_f1"], rel=1e-12)


def test_a_class_that_is_predicted_but_never_true_counts_as_zero():
    # Classes 0 (true once, found), 1 (true once, missed) and 2 (only predicted): F1 = 1, 0, 0.
    found = metrics([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], [0, 1])
    assert found["macro_f1"] == pytest.approx(1 / 3, rel=1e-12)


def test_calibration_error_by_hand():
    # Two bins; all in (0.5, 1]: confidences 0.9, 0.8, 0.7, 0.6 (mean 0.75), three of four right.
    probabilities = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]
    assert metrics(probabilities, [0, 0, 0, 1], bins=2)["ece"] == pytest.approx(0, abs=1e-6)
    # Five bins. (0.8, 1]: |1 - 0.95|; (0.6, 0.8]: |2/2 - 0.70|; (0.4, 0.6]: |0 - 0.55|.
    probabilities = [[0.95, 0.05], [0.75, 0.25], [0.65, 0.35], [0.55, 0.45]]
    expected = (1 * 0.05 + 2 * 0.30 + 1 * 0.55) / 4
    assert metrics(probabilities, [0, 0, 0, 1], bins=5)["ece"] == pytest.approx(expected, rel=1e-5)


def test_with_one_bin_calibration_error_is_confidence_against_accuracy():
    probabilities = [[0.95, 0.05], [0.75, 0.25], [0.65, 0.35], [0.55, 0.45]]
    found = metrics(probabilities, [0, 0, 1, 1], bins=1)
    assert found["ece"] == pytest.approx(abs(0.5 - 0.725), rel=1e-5)


def test_certain_and_right_is_perfectly_calibrated():
    found = classification_metrics(np.array([[100.0, 0.0], [0.0, 100.0]]), np.array([0, 1]), 15)
    assert has(found, {"accuracy": 1.0, "macro_f1": 1.0, "ece": pytest.approx(0, abs=1e-6)})


def test_certain_and_wrong_is_as_bad_as_it_gets():
    found = classification_metrics(np.array([[100.0, 0.0], [0.0, 100.0]]), np.array([1, 0]), 15)
    assert has(found, {"accuracy": 0.0, "macro_f1": 0.0, "ece": pytest.approx(1, abs=1e-6)})


def test_the_number_of_bins_matters():
    probabilities = [[0.95, 0.05], [0.75, 0.25], [0.65, 0.35], [0.55, 0.45]]
    few, many = (metrics(probabilities, [0, 1, 0, 1], bins)["ece"] for bins in (1, 15))
    assert few != pytest.approx(many)


def test_confidences_are_probabilities_and_not_logits():
    one, shifted = (classification_metrics(np.array([[1.0, 0.0]]) + c, np.array([0]), 15) for c in (0, 50))
    assert one["ece"] == pytest.approx(1 - 1 / (1 + math.exp(-1)), rel=1e-5)
    assert shifted["ece"] == pytest.approx(one["ece"], rel=1e-5)


def by_definition(logits: np.ndarray, labels: np.ndarray, bins: int) -> dict[str, float]:
    """The same metrics, written down as sums over samples."""
    confidences, hits = [], []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        shares = [math.exp(x - max(row)) for x in row]
        confidences.append(max(shares) / sum(shares))
        hits.append(row.index(max(row)) == label)
    error = 0.0
    for k in range(bins):
        inside = [i for i, c in enumerate(confidences) if k / bins <= c and (c < (k + 1) / bins or k == bins - 1)]
        if inside:
            error += abs(sum(hits[i] for i in inside) - sum(confidences[i] for i in inside)) / len(labels)
    return {"accuracy": sum(hits) / len(hits), "ece": error}


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 60), st.integers(1, 20))
def test_metrics_are_their_definitions(seed, classes, size, bins):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(size, classes)).astype(np.float32) * 3
    labels = random.integers(0, classes, size)
    found = classification_metrics(logits, labels, bins)
    expected = by_definition(logits, labels, bins)
    assert found["accuracy"] == pytest.approx(expected["accuracy"], rel=1e-12)
    assert found["ece"] == pytest.approx(expected["ece"], abs=1e-12)
    assert all(0 <= found[name] <= 1 for name in ("accuracy", "macro_f1", "ece"))


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 60))
def test_accuracy_and_macro_f1_are_scikit_learns_to_the_last_bit(seed, classes, size):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(size, classes)).astype(np.float32)
    labels = random.integers(0, random.integers(1, classes + 1), size)  # the last classes may never occur
    found = classification_metrics(logits, labels, 15)
    predicted = logits.argmax(axis=1)
    assert found["accuracy"] == accuracy_score(labels, predicted)
    assert found["macro_f1"] == f1_score(labels, predicted, average="macro", zero_division=0)


# -- calibration ---------------------------------------------------------------------------------------------


def test_a_bin_holds_its_lower_edge_and_not_its_upper_one():
    confidence = np.array([0.0, 0.2, np.nextafter(0.4, 0), 0.4, 0.6, 0.8])
    found = calibration_bins(confidence, np.ones(6, bool), 5)
    assert found[:, 0].tolist() == [1, 2, 1, 1, 1]


@pytest.mark.parametrize("bins", range(1, 31))
def test_every_edge_belongs_to_the_bin_above_it_whatever_the_number_of_bins(bins):
    edges = np.array([k / bins for k in range(bins)])
    found = calibration_bins(edges, np.ones(bins, bool), bins)
    assert found[:, 0].tolist() == [1] * bins


def test_a_confidence_of_one_is_in_the_last_bin_also_where_float32_rounded_it():
    almost = 1 - 1e-9  # float32 knows nothing between this and 1
    exact = calibration_bins(np.array([almost, 0.97]), np.array([True, False]), 15)
    rounded = calibration_bins(np.array([almost, 0.97], np.float32), np.array([True, False]), 15)
    assert np.float32(almost) == 1
    assert exact[-1].tolist() == [2, pytest.approx((almost + 0.97) / 2), 0.5]
    assert rounded[-1].tolist() == pytest.approx(exact[-1].tolist(), abs=1e-7)
    # A bin of its own for the one that is exactly 1 would make this 0.485 instead of 0.485 - 0.5.
    assert calibration_error(rounded) == pytest.approx(abs(0.985 - 0.5), abs=1e-6)


def test_an_empty_bin_counts_nothing_and_has_no_means():
    found = calibration_bins(np.array([0.95, 0.96]), np.array([True, False]), 10)
    assert found[:9, 0].tolist() == [0] * 9
    assert np.isnan(found[:9, 1:]).all()
    assert calibration_error(found) == pytest.approx(0.455)


@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(1, 20))
def test_every_example_is_in_one_bin(seed, size, bins):
    random = np.random.default_rng(seed)
    right = random.random(size) < 0.5
    found = calibration_bins(random.random(size), right, bins)
    count, _, accuracy = found.T
    assert count.sum() == size
    assert np.nansum(count * accuracy) == pytest.approx(right.sum())


# -- other sources -------------------------------------------------------------------------------------------


def compute(source: str, given) -> dict:
    return {found.name: found.compute(given) for found in metrics_of(source)}


def test_segmentation_by_hand():
    # Labels down: class 0 has 3 pixels of which 2 are right, class 1 has 1, right; class 2 never occurs.
    confusion = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert has(compute("segmentation", confusion), {"miou": (2 / 3 + 1 / 2) / 2, "pixel_accuracy": 3 / 4})


def test_depth_by_hand():
    assert has(compute("depth", np.array([3.0, 0.5, 4])), {"absolute_error": 0.75, "relative_error": 0.125})


def steps(times=None, **columns) -> dict:
    """Metrics of steps; a column is given with ``__`` for the dots in its name."""
    named = {name.replace("__", "."): np.array(values, float) for name, values in columns.items()}
    timed = {name.replace("__", "."): np.array(values, float) for name, values in (times or {}).items()}
    return compute("steps", Steps(columns=named, times=timed, stationarity=1e-3))


def test_steps_that_recorded_nothing_have_no_values():
    assert set(map(str, steps().values())) == {"{}"}


def test_the_first_stationary_step_and_the_share_of_training_before_it():
    found = steps(min_norm__audio=[1.0, 0.5, 1e-4, 1.0], min_norm__visual=[1.0, np.nan, 1.0, 1.0])
    assert found["iterations_to_stationarity"] == {"audio": 2.0}
    assert found["stationarity_share"] == {"audio": 0.5, "visual": 1.0}


def test_times_of_integration_are_those_of_all_encoders_and_a_share_of_the_step():
    parts = {"integration_seconds__audio": [0.5, 1.0, 2.0], "integration_seconds__visual": [0.5, 1.0, 1.0]}
    found = steps({**parts, "step_seconds": [8.0, 10.0, 12.0]})
    assert found["seconds_per_iteration"] == {"joint": 2.0}
    assert found["seconds_per_iteration_variance"] == {"joint": pytest.approx(2 / 3)}
    assert found["seconds_per_step"] == {"joint": 10.0}
    assert found["integration_share"] == {"joint": 0.2}


def test_a_method_that_integrates_nothing_has_the_time_of_its_step_alone():
    found = steps({"step_seconds": [2.0, 4.0]})
    assert {name: value for name, value in found.items() if value} == {"seconds_per_step": {"joint": 3.0}}


def test_conflicts_are_counted_over_the_first_steps_and_each_half_of_them():
    cosines = [-1.0, -1.0, 1.0, np.nan, 1.0, -1.0, 1.0, 1.0]
    found = steps(cosine__joint__visual__visual=cosines, cosine__audio__visual__visual=[-1.0] * 8)
    assert found["conflicts"] == {"visual": 3 / 7}
    assert found["early_conflicts"] == {"visual": 2 / 3}
    assert found["later_conflicts"] == {"visual": 1 / 4}
    longer = steps(cosine__joint__unimodal__visual=[1.0] * FIRST_STEPS + [-1.0] * 600)
    assert longer["conflicts"] == {"visual": 0.0}, "where unimodal losses are one objective, and no later step"


def test_the_weight_of_the_multimodal_gradient_is_its_share_of_all_weights():
    found = steps(weight__joint__audio=[1.5, 0.5], weight__audio__audio=[0.5, 1.5], weight__joint__visual=[3.0, 3.0])
    assert found["multimodal_weight"] == {"audio": 0.5, "visual": 1.0}


def test_changes_along_training_are_between_its_first_and_its_last_tenth():
    norms = [4.0, 2.0, *[100.0] * 16, 2.0, 1.0]
    coefficients = [0.5, 3.5, *[1.0] * 16, 1.25, 0.75]
    found = steps(min_norm__audio=norms, coefficient__audio=coefficients)
    assert found["min_norm_change"] == {"audio": 0.5}
    assert found["early_balancing"] == {"audio": 1.5}
    assert found["late_balancing"] == {"audio": 0.25}
    assert found["smallest_coefficient"] == {"audio": 0.5}


def test_history_gives_losses_and_the_steps_to_the_selected_epoch():
    columns = {"epoch": np.array([0.0, 1.0, 2.0]), "step": np.array([10.0, 20.0, 30.0])}
    columns |= {"train_loss.joint": np.array([2.0, 1.0, 0.6]), "test_accuracy.joint": np.zeros(3)}
    assert has(
        compute("history", History(columns=columns, epoch=1)),
        {
            "training_loss": {"joint": pytest.approx(1.2)},
            "final_training_loss": {"joint": 0.6},
            "steps_to_selected": {"joint": 20.0},
        },
    )
    assert compute("history", History(columns=columns, epoch=None))["steps_to_selected"] == {}


def test_gradients_over_mini_batches_are_compared_within_an_encoder():
    columns = {"multimodal": [1.0, 3.0, 5.0, 5.0], "unimodal": [2.0, 6.0, 5.0, 5.0], "k": [4.0, 4.0, 2.0, 2.0]}
    columns |= {"multimodal_loss": [1.0, 2.0, 3.0, 3.0], "unimodal_loss": [1.0, 4.0, 3.0, 4.0]}
    rows = MeasuredRows(
        columns={name: np.array(values) for name, values in columns.items()},
        encoder=("audio", "audio", "visual", "visual"),
    )
    assert has(
        compute("gradients", rows),
        {
            "norm_ratio": {"audio": 2.0, "visual": 1.0},
            # The norm of the visual gradient does not vary.
            "norm_variance_ratio": {"audio": 4.0, "visual": pytest.approx(np.nan, nan_ok=True)},
            "covariance_ratio": {"audio": 4.0, "visual": 2.0},
            "loss_variance_ratio": {"audio": 9.0, "visual": pytest.approx(np.nan, nan_ok=True)},
        },
    )


def test_a_landscape_changes_by_the_most_along_each_direction_in_the_mean():
    columns = {
        "direction": [0, 0, 0, 1, 1, 1],
        "step": [-1.0, 0.0, 1.0] * 2,
        "loss": [2.0, 1.0, 3.0, 1.0, 1.0, 5.0],
        "accuracy": [0.5, 0.9, 0.8, 0.9, 0.9, 0.1],
        "sharpness": [0.25] * 6,
    }
    found = compute("landscape", MeasuredRows(columns={name: np.array(v, float) for name, v in columns.items()}))
    assert has(
        found,
        {"sharpness": {"joint": 0.25}, "loss_change": {"joint": 3.0}, "accuracy_change": {"joint": pytest.approx(0.6)}},
    )


def test_agreement_is_told_by_what_the_single_modalities_get_right():
    audio = np.array([1, 1, 1, 0, 0, 0, 1], bool)
    visual = np.array([0, 0, 1, 1, 0, 0, 1], bool)
    joint = np.array([1, 0, 1, 1, 0, 1, 0], bool)
    found = compute("agreement", Agreement(joint=joint, alone={"audio": audio, "visual": visual}))
    assert has(
        found,
        {
            "right_where_none": {"joint": 0.5},
            "right_where_only": {"audio": 0.5, "visual": 1.0},
            "right_where_all": {"joint": 0.5},
        },
    )
    never = compute("agreement", Agreement(joint=joint, alone={"audio": audio | True, "visual": visual | True}))
    assert np.isnan(never["right_where_none"]["joint"])


# -- the registry --------------------------------------------------------------------------------------------


def test_a_metric_is_registered_by_its_function_alone(monkeypatch):
    monkeypatch.setattr("counterpoise.metrics.METRICS", dict(METRICS))

    @metric(source="classification", title="top 2")
    def top_2(output: Classification) -> float:
        best = output.logits.argsort(axis=1)[:, -2:]
        return float((best == output.labels[:, None]).any(axis=1).mean())

    found = classification_metrics(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.array([1, 2]), 15)
    assert (found["top_2"], found["accuracy"]) == (0.5, 0.0)
    assert [found.unit for found in metrics_of("classification") if found.title == "top 2"] == ["percent"]


def test_a_name_is_not_given_twice_and_a_unit_must_be_known(monkeypatch):
    monkeypatch.setattr("counterpoise.metrics.METRICS", dict(METRICS))
    with pytest.raises(ValueError, match="'ece'"):
        metric(source="classification")(METRICS["ece"].compute)
    with pytest.raises(ValueError, match="did you mean 'percent'"):
        metric(source="classification", unit="percents")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    found = METRICS[name]
    assert found.unit in UNITS
    assert found.title
    assert found.compute.__doc__
