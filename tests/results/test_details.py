"""Reliability bins hold every example once and carry the calibration error that is reported beside them."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.results.details import classification_details, reliability_bins, segmentation_details
from counterpoise.results.metrics import classification_metrics


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.normal(size=(400, 5)) * 2, generator.integers(0, 5, 400)


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_the_bins_weighted_gaps_sum_to_the_calibration_error(predictions, bins):
    found = reliability_bins(*predictions, bins)
    total = sum(found["count"])
    gaps = [
        count * abs(accuracy - confidence) for count, confidence, accuracy in zip(*found.values(), strict=True) if count
    ]
    assert total == 400
    assert sum(gaps) / total == pytest.approx(classification_metrics(*predictions, bins)["ece"], abs=1e-6)


def test_an_empty_bin_has_no_means(predictions):
    found = reliability_bins(*predictions, 15)
    assert found["count"][0] == 0
    assert (found["confidence"][0], found["accuracy"][0]) == (None, None)


def test_full_certainty_is_in_the_last_bin():
    found = reliability_bins(np.array([[1e3, 0.0]]), np.array([0]), 10)
    assert found["count"] == [0] * 9 + [1]


def test_a_class_that_never_occurs_keeps_its_row_and_column(predictions):
    logits, labels = predictions
    counts = np.array(classification_details(logits, np.minimum(labels, 2), 15)["confusion"])
    assert counts.shape == (5, 5)
    assert counts[3:].sum() == 0


def test_dense_outputs_keep_their_counts_of_pixels():
    assert segmentation_details(np.array([[3.0, 1.0], [0.0, 2.0]])) == {"confusion": [[3, 1], [0, 2]]}
