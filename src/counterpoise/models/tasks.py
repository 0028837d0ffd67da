"""What kinds of target there are: the loss of each, and what is kept of its predictions on a test split.

Labels of one class per sample keep their logits. Targets of one value per pixel would fill disks with them;
they keep sums over the whole split, from which every metric follows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CLASSIFICATION = "classification"
SEGMENTATION = "segmentation"
DEPTH = "depth"
DENSE = (SEGMENTATION, DEPTH)

UNLABELLED = -1
"""The label of pixels whose class is unknown."""


def task_loss(kind: str, output: Tensor, target: Tensor) -> Tensor:
    """Return the mean loss of a batch, a scalar.

    Classification: cross-entropy of ``(B, C)``. Segmentation: cross-entropy of ``(B, C, H, W)`` over labelled
    pixels. Depth: absolute error of ``(B, 1, H, W)`` over pixels with a depth, as in MTAN. Unknown pixels are
    -1 and 0; a batch without any known one has loss 0.
    """
    if kind == CLASSIFICATION:
        return functional.cross_entropy(output, target)
    if kind == SEGMENTATION:
        known = (target != UNLABELLED).sum().clamp_min(1)
        return functional.cross_entropy(output, target, ignore_index=UNLABELLED, reduction="sum") / known
    known = target > 0
    # An unknown depth may be anything, not a number too: it is replaced, since nothing times that is still that.
    error = (output - torch.where(known, target, output.detach())).abs()
    return error.sum() / known.sum().clamp_min(1)


def dense_statistics(kind: str, output: Tensor, target: Tensor) -> Tensor:
    """Return sums over a batch, in float64, that add up over a split.

    Segmentation: the confusion matrix ``(C, C)``, labels down, predictions across. Depth: the sums of
    absolute and of relative errors, and the number of known pixels, ``(3,)``, so that errors are means over
    the split's pixels (MTAN's code averages means over batches of 2).
    """
    if kind == SEGMENTATION:
        classes = output.shape[1]
        known = target != UNLABELLED
        pairs = target.clamp_min(0) * classes + output.argmax(dim=1)
        # One row per pair and a sum: bincount has no deterministic form on a GPU.
        counts = [((pairs == pair) & known).sum() for pair in range(classes * classes)]
        return torch.stack(counts).reshape(classes, classes).double()
    known = target > 0
    error = (output - torch.where(known, target, output)).abs().double()
    relative = error / torch.where(known, target, torch.ones_like(target)).double()
    return torch.stack([error.sum(), relative.sum(), known.sum().double()])


def dense_score(kind: str, statistics: Tensor) -> Tensor:
    """Return what epochs are chosen by: pixel accuracy, or one less the mean relative error."""
    if kind == SEGMENTATION:
        return statistics.diagonal().sum() / statistics.sum().clamp_min(1)
    return 1 - statistics[1] / statistics[2].clamp_min(1)
