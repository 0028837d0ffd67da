"""What predictions say beyond one number: what is taken for what, and how sure of it a run is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.metrics import confusion_matrix


def classification_details(logits: np.ndarray, labels: np.ndarray, bins: int) -> dict[str, Any]:
    """Return the confusion counts and the reliability bins of one output, as JSON data.

    Args:
        logits: ``(N, C)``.
        labels: classes ``(N,)``, 0 to C - 1.
        bins: number of equal-width bins of the confidence, the largest softmax probability.
    """
    counts = confusion_matrix(labels, logits.argmax(axis=1), labels=np.arange(logits.shape[1]))
    return {"confusion": counts.tolist(), "reliability": reliability_bins(logits, labels, bins)}


def segmentation_details(confusion: np.ndarray) -> dict[str, Any]:
    """Return the confusion counts of a dense output, ``(C, C)`` pixels with labels down, as JSON data."""
    return {"confusion": np.asarray(confusion).astype(np.int64).tolist()}


def reliability_bins(logits: np.ndarray, labels: np.ndarray, bins: int) -> dict[str, list[float | None]]:
    """Return for each bin the number of examples, their mean confidence and their accuracy (None if empty).

    A bin holds its lower edge, as in torchmetrics' calibration error; a confidence of exactly 1 is in the
    last one (Guo et al., ICML 2017, Section 2).
    """
    probabilities = softmax(logits.astype(np.float64), axis=1)
    sure = probabilities.max(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.minimum(np.digitize(sure, np.linspace(0.0, 1.0, bins + 1)) - 1, bins - 1)
    counts = np.bincount(place, minlength=bins)
    return {
        "count": counts.tolist(),
        "confidence": _means(place, sure, counts),
        "accuracy": _means(place, right, counts),
    }


def _means(place: np.ndarray, values: np.ndarray, counts: np.ndarray) -> list[float | None]:
    sums = np.bincount(place, weights=values, minlength=len(counts))
    return [float(total / n) if n else None for total, n in zip(sums, counts, strict=True)]
