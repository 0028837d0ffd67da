"""Image transforms: the numbers of torchvision, one box per image."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from counterpoise.data.transforms import InputTransform, crop_and_resize, crop_one, random_boxes, resample


def images(count=6, height=33, width=47, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 255


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (64, 80), (33, 47)])
def test_crops_have_the_numbers_of_torchvision(size):
    batch = images()
    boxes = random_boxes(6, (33, 47), (0.08, 1.0), (3 / 4, 4 / 3), torch.Generator().manual_seed(1))
    flips = torch.tensor([True, False] * 3)
    found = resample(batch, size, boxes, flips)
    for image, box, flip, crop in zip(batch, boxes.int().tolist(), flips, found, strict=True):
        expected = functional.resized_crop(image, *box, size=list(size), antialias=True)
        if flip:
            expected = functional.horizontal_flip(expected)
        torch.testing.assert_close(crop, expected, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (64, 80)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_eight_bit_crops_on_the_cpu_are_torchvisions_to_the_bit(size, order):
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("here torchvision resizes in floats")
    batch = images().to(torch.uint8).contiguous(memory_format=order)
    boxes = random_boxes(6, (33, 47), (0.08, 1.0), (3 / 4, 4 / 3), torch.Generator().manual_seed(1))
    found = crop_and_resize(batch, size, boxes)
    for image, box, crop in zip(batch, boxes.int().tolist(), found, strict=True):
        assert torch.equal(crop, functional.resized_crop(image, *box, size=list(size), antialias=True))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_crop_keeps_the_order_of_colours_in_memory(order):
    batch = images().to(torch.uint8).contiguous(memory_format=order)
    for box, flip in ((None, False), ([3, 5, 20, 30], False), ([3, 5, 20, 30], True)):
        crop = crop_one(batch, 2, (16, 24), box, flip)
        assert crop[None].is_contiguous(memory_format=order)


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (64, 80)])
def test_both_ways_of_cropping_eight_bit_images_agree_to_a_level(size):
    batch = images().to(torch.uint8)
    boxes = random_boxes(6, (33, 47), (0.08, 1.0), (3 / 4, 4 / 3), torch.Generator().manual_seed(1))
    flips = torch.tensor([True, False] * 3)
    one = crop_and_resize(batch, size, boxes, flips)
    other = resample(batch.float(), size, boxes, flips).round()
    assert one.dtype == torch.uint8
    assert (one.float() - other).abs().max() <= 1
    assert (one.float() - other).mean().abs() < 0.05
    whole = crop_and_resize(batch, size)
    assert (whole.float() - resample(batch.float(), size).round()).abs().max() <= 1


def test_resizing_whole_images_has_the_numbers_of_torchvision():
    batch = images()
    expected = functional.resize(batch, [24, 24], antialias=True)
    torch.testing.assert_close(resample(batch, (24, 24)), expected, atol=2e-3, rtol=1e-4)


def test_a_box_of_the_whole_image_at_its_own_size_changes_nothing():
    batch = images()
    torch.testing.assert_close(resample(batch, (33, 47)), batch)


def test_boxes_are_inside_the_image_with_area_and_aspect_in_range():
    boxes = random_boxes(5000, (60, 90), (0.3, 0.8), (0.5, 2.0), torch.Generator().manual_seed(0))
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 60).all()
    assert (left + width <= 90).all()
    share = height * width / 5400
    assert share.min() > 0.28
    assert share.max() < 0.82
    assert (width / height).min() > 0.47
    assert (width / height).max() < 2.1


def test_boxes_are_distributed_as_torchvision_draws_them():
    ours = random_boxes(4000, (60, 90), (0.08, 1.0), (3 / 4, 4 / 3), torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(8, antialias=True)
    image = torch.zeros(3, 60, 90)
    drawn = [transform.make_params([image]) for _ in range(4000)]
    theirs = torch.tensor([[box[key] for key in ("top", "left", "height", "width")] for box in drawn])
    for column in range(4):
        ranks = torch.cat([ours[:, column].float(), theirs[:, column].float()])
        grid = torch.linspace(float(ranks.min()), float(ranks.max()), 50)
        one = (ours[:, column, None] <= grid).float().mean(0)
        other = (theirs[:, column, None].float() <= grid).float().mean(0)
        # Kolmogorov-Smirnov distance: 1.63 * sqrt(2 / 4000) at 1 %.
        assert (one - other).abs().max() < 1.63 * (2 / 4000) ** 0.5


def test_an_image_too_narrow_for_any_box_gives_its_largest_central_one():
    boxes = random_boxes(3, (100, 10), (1.0, 1.0), (3 / 4, 4 / 3), torch.Generator())
    assert boxes.tolist() == [[43.0, 0.0, 13.0, 10.0]] * 3


def test_every_frame_of_a_clip_is_cropped_on_its_own():
    transform = InputTransform(size=(8, 8), crop_scale=(0.1, 0.5))
    clip = images(1).expand(4, 3, 33, 47)[None]
    draw = transform.draw(1, (4, 3, 33, 47), None, torch.Generator().manual_seed(0))
    shown = transform.apply(clip, draw)
    assert shown.shape == (1, 4, 3, 8, 8)
    assert not torch.equal(shown[0, 0], shown[0, 1])


def test_flips_happen_as_often_as_asked():
    transform = InputTransform(flip=0.25)
    draw = transform.draw(8000, (3, 4, 4), None, torch.Generator().manual_seed(0))
    assert abs(draw.flips.float().mean() - 0.25) < 0.02


def test_evaluation_draws_nothing():
    transform = InputTransform(frames=1, random_frames=True, size=(8, 8), crop_scale=(0.1, 1.0), flip=0.5)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    draw = transform.for_evaluation().draw(4, (3, 3, 16, 16), None, generator)
    assert torch.equal(generator.get_state(), before)
    assert draw.boxes is None
    assert draw.flips is None


def test_frames_are_random_over_the_whole_clip_when_one_is_shown():
    transform = InputTransform(frames=1, random_frames=True)
    draw = transform.draw(3000, (3, 3, 4, 4), None, torch.Generator().manual_seed(0))
    share = torch.bincount(draw.frames.flatten(), minlength=3) / 3000
    assert ((share - 1 / 3).abs() < 0.04).all()
