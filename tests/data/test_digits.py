"""The two datasets that need no download."""

import hashlib

import numpy as np
import pytest

from counterpoise.data import colour, pairs
from counterpoise.data.digits import load_digits, to_uint8
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.splits import stratified_split
from counterpoise.errors import UserError


@pytest.fixture(scope="module")
def cg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cg")
    return prepare_dataset("cg_digits", {}, folder / "raw", folder / "cg_digits.k", "k")


@pytest.fixture(scope="module")
def multi(tmp_path_factory):
    folder = tmp_path_factory.mktemp("multi")
    return prepare_dataset("multi_digits", {}, folder / "raw", folder / "multi_digits.k", "k")


def source_rows(data, split):
    return [int(name.split("-")[0]) for name in data.ids(split)]


def test_splits_are_disjoint_and_cover_every_digit(cg):
    rows = [row for split in cg.splits for row in source_rows(cg, split)]
    assert sorted(rows) == list(range(1797))


def test_every_class_has_its_share_of_every_split(cg):
    shares = np.array(cg.class_counts("test", "digit")) / np.bincount(load_digits()[1])
    assert np.all(np.abs(shares - 0.3) < 0.01)


def test_no_validation_split_when_its_share_is_zero(tmp_path):
    data = prepare_dataset("cg_digits", {"val_fraction": 0.0}, tmp_path, tmp_path / "cg_digits.k", "k")
    assert data.splits == ["train", "test"]


def test_gray_images_are_the_digits_of_their_ids(cg):
    images, labels = load_digits()
    rows = source_rows(cg, "test")
    np.testing.assert_array_equal(cg.array("test", "gray")[:, 0], to_uint8(images[rows], 1))
    np.testing.assert_array_equal(cg.array("test", "digit"), labels[rows])


def test_each_image_has_one_colour_where_its_gray_digit_is_bright(cg):
    gray, painted = cg.array("train", "gray")[:, 0], cg.array("train", "colour")
    mask = gray >= 0.3 * 255
    assert (painted.max(axis=1)[~mask] == 0).all()
    for image, foreground in zip(painted[:50], mask[:50], strict=True):
        assert len(np.unique(image[:, foreground], axis=1).T) == 1


def nearest_mean_colour(data, split):
    palette = np.array(data.manifest["settings"]["palette"])
    colours = data.array(split, "colour").max(axis=(2, 3)).astype(float)
    return np.linalg.norm(colours[:, None] - palette[None], axis=2).argmin(axis=1)


def test_colour_tells_the_digit_in_training_and_nothing_in_the_test_set(cg):
    told = {split: (nearest_mean_colour(cg, split) == cg.array(split, "digit")).mean() for split in cg.splits}
    assert told["train"] > 0.5
    assert told["val"] > 0.5
    assert told["test"] < 0.2


def test_variance_zero_gives_the_palette_itself(tmp_path):
    data = prepare_dataset("cg_digits", {"variance": 0.0}, tmp_path, tmp_path / "cg_digits.k", "k")
    palette = np.array(data.manifest["settings"]["palette"])
    colours = data.array("train", "colour").max(axis=(2, 3))
    np.testing.assert_array_equal(colours, palette[data.array("train", "digit")])


def test_each_image_is_coloured_as_often_as_asked_and_stays_in_its_split_and_group(tmp_path, cg):
    data = prepare_dataset("cg_digits", {"colourings": 3}, tmp_path, tmp_path / "cg_digits.k", "k")
    for split in data.splits:
        rows = np.array(source_rows(data, split))
        np.testing.assert_array_equal(rows, np.repeat(source_rows(cg, split), 3))
        np.testing.assert_array_equal(data.array(split, "group"), rows)
        assert len(set(data.ids(split))) == len(rows)
        drawn = data.array(split, "colour").max(axis=(2, 3)).reshape(-1, 3, 3)  # image, colouring, channel
        assert (drawn != drawn[:, :1]).any(axis=2)[:, 1:].mean() > 0.9


def test_colours_have_the_variance_asked_for():
    labels = np.zeros(20000, dtype=int)
    palette = np.full((10, 3), 0.5)
    drawn = colour.draw_colours(labels, palette, 0.01, True, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.var(axis=0), 0.01, rtol=0.05)


def test_a_colour_image_of_another_digit_is_noticed():
    images = load_digits()[0][:2]
    gray = to_uint8(images, 1)
    painted = colour.paint(gray, np.array([[1.0, 0.2, 0.1], [0.1, 0.4, 0.9]]), 0.3)
    colour.check_pairs(gray, painted, ["a", "b"])
    with pytest.raises(UserError, match="sample a"):
        colour.check_pairs(gray, painted[::-1], ["a", "b"])


@pytest.mark.parametrize("palette", [[[0, 0, 0]], [[0, 0, 256]] * 10, [["red"]] * 10, [[0, 0]] * 10])
def test_a_palette_that_is_not_ten_colours_is_refused(tmp_path, palette):
    with pytest.raises(UserError, match="palette"):
        prepare_dataset("cg_digits", {"palette": palette}, tmp_path, tmp_path / "cg_digits.k", "k")


def test_two_preparations_are_equal_to_the_byte(tmp_path, cg, multi):
    for name, first in (("cg_digits", cg), ("multi_digits", multi)):
        again = prepare_dataset(name, {}, tmp_path, tmp_path / f"{name}.k", "k")
        for file in sorted(path for path in first.path.rglob("*") if path.is_file()):
            other = again.path / file.relative_to(first.path)
            assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def test_another_generation_seed_gives_another_split(tmp_path, cg):
    other = prepare_dataset("cg_digits", {"generation_seed": 1}, tmp_path, tmp_path / "cg_digits.k", "k")
    assert other.ids("test") != cg.ids("test")


def test_prepared_data_that_is_there_is_returned_untouched(tmp_path):
    first = prepare_dataset("cg_digits", {}, tmp_path, tmp_path / "cg_digits.k", "k")
    before = (first.path / "manifest.json").stat().st_mtime_ns
    again = prepare_dataset("cg_digits", {}, tmp_path, tmp_path / "cg_digits.k", "k")
    assert (again.path / "manifest.json").stat().st_mtime_ns == before


def test_a_wrong_setting_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match="variance"):
        prepare_dataset("cg_digits", {"varianse": 0.1}, tmp_path, tmp_path / "cg_digits.k", "k")
    with pytest.raises(UserError, match="variance"):
        prepare_dataset("cg_digits", {"variance": -1.0}, tmp_path, tmp_path / "cg_digits.k", "k")
    assert list(tmp_path.iterdir()) == []


def test_both_digits_of_a_picture_differ_and_are_of_its_split(multi):
    labels = load_digits()[1]
    rows = {}
    for split in multi.splits:
        couples = [tuple(int(part) for part in name.split("-")[:2]) for name in multi.ids(split)]
        left, right = (np.array(side) for side in zip(*couples, strict=True))
        np.testing.assert_array_equal(labels[left], multi.array(split, "left"))
        np.testing.assert_array_equal(labels[right], multi.array(split, "right"))
        assert (labels[left] != labels[right]).all()
        rows[split] = set(left) | set(right)
    assert not rows["train"] & rows["test"]
    assert not rows["val"] & (rows["train"] | rows["test"])


def test_left_half_is_clean_and_right_half_is_noisy(tmp_path, multi):
    clean = prepare_dataset("multi_digits", {"noise": 0.0}, tmp_path, tmp_path / "multi_digits.k", "k")
    pictures, pure = multi.array("test", "image"), clean.array("test", "image")
    half = pictures.shape[-1] // 2
    np.testing.assert_array_equal(pictures[..., :half], pure[..., :half])
    changed = pictures[..., half:] != pure[..., half:]
    replaced_with_itself = ((pure[..., half:] == 0) | (pure[..., half:] == 255)).mean() * 0.25
    assert abs(changed.mean() + replaced_with_itself - 0.5) < 0.02
    assert set(np.unique(pictures[..., half:][changed])) == {0, 255}


def test_partners_are_uniform_over_the_other_classes():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    partners = pairs.different_partners(labels, 2000, np.random.RandomState(0))
    for own, allowed in ((0, 50), (1, 40), (2, 30)):
        drawn = np.bincount(partners[labels == own].ravel(), minlength=60)
        assert (drawn[labels == own] == 0).all()
        expected = drawn.sum() / allowed
        assert np.all(np.abs(drawn[labels != own] / expected - 1) < 0.2)


def test_overlapping_columns_keep_the_brighter_pixel():
    left, right = np.full((1, 2, 3), 100, np.uint8), np.full((1, 2, 3), 50, np.uint8)
    picture = pairs.side_by_side(left, right, 1)
    np.testing.assert_array_equal(picture[0, 0], [100, 100, 100, 50, 50])


@pytest.mark.parametrize("fractions", [{"test": 1.0}, {"test": -0.1}, {"test": 0.6, "val": 0.5}, {"train": 0.5}])
def test_split_shares_that_leave_nothing_to_train_on_are_refused(fractions):
    with pytest.raises(UserError, match="split fractions"):
        stratified_split(np.arange(10), fractions, 0)
