"""The losses and the sums of dense targets: unknown pixels never count, and batches add up to the split."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from counterpoise.metrics import absolute_error, miou, pixel_accuracy, relative_error
from counterpoise.models.tasks import DEPTH, SEGMENTATION, dense_statistics, task_loss


def test_unlabelled_pixels_count_in_no_loss():
    output, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    masked = labels.clone()
    masked[:, :2] = -1
    expected = functional.cross_entropy(output[:, :, 2:], labels[:, 2:])
    torch.testing.assert_close(task_loss(SEGMENTATION, output, masked), expected)


def test_pixels_without_a_depth_count_in_no_loss():
    depth = torch.tensor([[[[0.0, 2.0], [4.0, 0.0]]]])
    assert task_loss(DEPTH, torch.full_like(depth, 3.0), depth) == 1.0


def test_a_depth_that_is_not_a_number_counts_in_no_loss_gradient_or_statistic():
    depth = torch.tensor([[[[torch.nan, 2.0], [4.0, 0.0]]]])
    output = torch.full_like(depth, 3.5).requires_grad_()
    task_loss(DEPTH, output, depth).backward()
    assert output.grad.tolist() == [[[[0.0, 0.5], [-0.5, 0.0]]]]
    assert dense_statistics(DEPTH, output.detach(), depth).tolist() == [2.0, 1.5 / 2 + 0.5 / 4, 2.0]


@pytest.mark.parametrize(("kind", "target"), [(SEGMENTATION, -1), (DEPTH, 0.0)])
def test_a_batch_without_a_known_pixel_has_loss_zero_and_finite_gradients(kind, target):
    channels = 3 if kind == SEGMENTATION else 1
    output = torch.randn(2, channels, 2, 2, requires_grad=True)
    labels = torch.full((2, 2, 2), target) if kind == SEGMENTATION else torch.full((2, 1, 2, 2), target)
    loss = task_loss(kind, output, labels)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(output.grad).all()


def test_metrics_are_over_the_whole_split_however_it_is_cut_into_batches():
    output, labels = torch.randn(6, 3, 5, 5), torch.randint(-1, 3, (6, 5, 5))
    depth, truth = torch.rand(6, 1, 5, 5), torch.rand(6, 1, 5, 5) * (torch.rand(6, 1, 5, 5) > 0.3)
    for kind, values, target in ((SEGMENTATION, output, labels), (DEPTH, depth, truth)):
        whole = dense_statistics(kind, values, target)
        parts = zip(values.split(4), target.split(4), strict=True)
        torch.testing.assert_close(torch.stack([dense_statistics(kind, *p) for p in parts]).sum(dim=0), whole)


def test_segmentation_metrics_by_hand():
    # Labels down: class 0 has 3 pixels of which 2 are right, class 1 has 1, right; class 2 never occurs.
    confusion = dense_statistics(
        SEGMENTATION,
        functional.one_hot(torch.tensor([[[0, 0], [1, 1]]]), 3).permute(0, 3, 1, 2).float(),
        torch.tensor([[[0, 0], [0, 1]]]),
    ).numpy()
    assert (miou(confusion), pixel_accuracy(confusion)) == ((2 / 3 + 1 / 2) / 2, 3 / 4)


def test_depth_metrics_by_hand():
    truth = torch.tensor([[[[2.0, 4.0], [0.0, 0.0]]]])
    sums = dense_statistics(DEPTH, torch.tensor([[[[3.0, 3.0], [9.0, 9.0]]]]), truth).numpy()
    assert (absolute_error(sums), relative_error(sums)) == (1.0, (1 / 2 + 1 / 4) / 2)
