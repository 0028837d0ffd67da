"""Accuracy, macro-F1 and expected calibration error of one output's predictions, by well-kept libraries."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score
from torchmetrics.functional.classification import multiclass_calibration_error


def segmentation_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Return mIoU and pixel accuracy of a whole split, from its confusion matrix ``(C, C)``, labels down.

    mIoU is the mean over the classes that occur in labels or predictions (MTAN since November 2020).
    """
    hits = confusion.diagonal()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    occurs = union > 0
    return {"miou": float((hits[occurs] / union[occurs]).mean()), "pixel_accuracy": float(hits.sum() / confusion.sum())}


def depth_metrics(sums: np.ndarray) -> dict[str, float]:
    """Return the mean absolute and relative error over a whole split's known pixels.

    Args:
        sums: of absolute errors, of relative errors, and the number of pixels, ``(3,)``.
    """
    return {"absolute_error": float(sums[0] / sums[2]), "relative_error": float(sums[1] / sums[2])}


def classification_metrics(logits: np.ndarray, labels: np.ndarray, ece_bins: int) -> dict[str, float]:
    """Return accuracy, macro-F1 and ECE as fractions in [0, 1].

    Args:
        logits: ``(N, C)``.
        labels: classes ``(N,)``, 0 to C - 1.
        ece_bins: number of equal-width bins of the confidence, the largest softmax probability (Guo et al.,
            ICML 2017). MLB's released code hands logits to the metric; here it gets probabilities.

    Macro-F1 averages over the classes that occur in ``labels`` or among the predictions.
    """
    predicted = logits.argmax(axis=1)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    error = multiclass_calibration_error(
        torch.from_numpy(probabilities),
        torch.from_numpy(labels),
        num_classes=logits.shape[1],
        n_bins=ece_bins,
        norm="l1",
    )
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "ece": float(error),
    }
