"""Accuracy, macro-F1 and expected calibration error of one output's predictions.

NumPy alone: a job that evaluates a cell would else spend more time on imports than on its work. The tests
hold these numbers to scikit-learn's and TorchMetrics'.
"""

from __future__ import annotations

import numpy as np


def classification_metrics(logits: np.ndarray, labels: np.ndarray, ece_bins: int) -> dict[str, float]:
    """Return accuracy, macro-F1 and ECE as fractions in [0, 1].

    Args:
        logits: ``(N, C)``, finite; N is at least 1.
        labels: classes ``(N,)``, 0 to C - 1.
        ece_bins: number of equal-width bins of the confidence.
    """
    predicted = logits.argmax(axis=1)
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "macro_f1": macro_f1(predicted, labels, logits.shape[1]),
        "ece": calibration_error(softmax(logits), labels, ece_bins),
    }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities ``(N, C)`` in float64."""
    exponents = logits.astype(np.float64)
    exponents = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def macro_f1(predicted: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Return the mean F1 of the classes that occur in ``labels`` or ``predicted``, both ``(N,)``."""
    confusion = np.bincount(classes * labels + predicted, minlength=classes**2).reshape(classes, classes)
    # 2 TP / (2 TP + FP + FN); the denominator is how often the class occurs on either side.
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)
    occurs = occurrences > 0
    return float(np.mean(2 * confusion.diagonal()[occurs] / occurrences[occurs]))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Return the expected calibration error of probabilities ``(N, C)`` (Guo et al., ICML 2017, equation 3).

    The confidence is the largest probability; bin m of M holds confidences in ((m - 1) / M, m / M]. MLB's
    released code hands logits to its metric (facts section 7.0); here it gets probabilities.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    index = np.digitize(confidence, edges, right=True)
    # |accuracy - confidence| of a bin times its share of the samples is |sum of the differences| / N.
    gaps = np.bincount(index, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
