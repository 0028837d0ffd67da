"""Metrics against values worked out by hand, and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.results.metrics import classification_metrics


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
    assert found == {"accuracy": 1.0, "macro_f1": 1.0, "ece": pytest.approx(0, abs=1e-6)}


def test_certain_and_wrong_is_as_bad_as_it_gets():
    found = classification_metrics(np.array([[100.0, 0.0], [0.0, 100.0]]), np.array([1, 0]), 15)
    assert found == {"accuracy": 0.0, "macro_f1": 0.0, "ece": pytest.approx(1, abs=1e-6)}


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
    for m in range(bins):
        inside = [i for i, c in enumerate(confidences) if m / bins < c <= (m + 1) / bins]
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
    assert found["ece"] == pytest.approx(expected["ece"], abs=1e-5)
    assert all(0 <= value <= 1 for value in found.values())
