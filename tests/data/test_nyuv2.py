"""NYUv2: MTAN's layout of arrays, masks kept."""

import shutil

import data_trees
import numpy as np
import pytest

from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError


@pytest.fixture
def tree(tmp_path):
    return data_trees.nyuv2(tmp_path / "own")


def prepare(folder, tree, **settings):
    return prepare_dataset(
        "nyuv2",
        {"train_images": 3, "test_images": 2, **settings},
        folder / "raw",
        folder / "nyuv2.k",
        "k",
        data_roots={"nyuv2": tree},
        workers=0,
    )


def test_arrays_and_masks_are_kept(tmp_path, tree):
    data = prepare(tmp_path, tree)
    assert (data.size("train"), data.size("test")) == (3, 2)
    for number in range(3):
        label = np.load(tree / f"train/label/{number}.npy")
        np.testing.assert_array_equal(data.array("train", "segmentation")[number], label)
        depth = np.load(tree / f"train/depth/{number}.npy")[..., 0].astype(np.float32)
        np.testing.assert_array_equal(data.array("train", "depth")[number, 0], depth)
        image = np.load(tree / f"train/image/{number}.npy").transpose(2, 0, 1).astype(np.float32)
        np.testing.assert_array_equal(data.array("train", "image")[number], image)
    assert data.array("train", "segmentation").min() == -1
    assert (data.array("train", "depth") == 0).any()
    assert data.targets["segmentation"]["ignore"] == -1


def test_batches_give_labels_as_integers_and_depth_as_floats(tmp_path, tree):
    import torch

    from counterpoise.data.batches import ResidentBatches

    inputs, targets, _ = next(ResidentBatches(prepare(tmp_path, tree), "train").batches(torch.arange(2), 2))
    assert inputs["image"].shape == (2, 3, 288, 384)
    assert targets["segmentation"].dtype == torch.int64
    assert targets["depth"].dtype == torch.float32
    assert targets["depth"].shape == (2, 1, 288, 384)


def test_scenes_are_those_numbered_from_zero_in_order(tmp_path, tree):
    for kind in ("image", "label", "depth"):
        for number in range(3, 11):
            shutil.copy(tree / f"train/{kind}/0.npy", tree / f"train/{kind}/{number}.npy")
        shutil.copy(tree / f"train/{kind}/0.npy", tree / f"train/{kind}/0 copy.npy")
    assert prepare(tmp_path, tree, train_images=11).ids("train") == [f"train/{number}" for number in range(11)]


def test_folders_may_be_in_capitals(tmp_path, tree):
    for kind in ("image", "depth"):
        (tree / f"train/{kind}").rename(tree / f"train/{kind.upper()}")
    (tree / "train").rename(tree / "Train")
    assert prepare(tmp_path, tree).size("train") == 3


def test_a_missing_scene_is_named(tmp_path, tree):
    (tree / "train/image/1.npy").unlink()
    with pytest.raises(UserError, match=r"1 of 3 items cannot be used.*the file is missing: 1; train/1\."):
        prepare(tmp_path, tree)
    assert prepare(tmp_path, tree, max_dropped=0.4).ids("train") == ["train/0", "train/2"]


def test_the_official_counts_are_the_default(tmp_path, tree):
    with pytest.raises(UserError, match=r"792 of 795 items cannot be used.*the file is missing"):
        prepare_dataset("nyuv2", {}, tmp_path / "raw", tmp_path / "nyuv2.k", "k", data_roots={"nyuv2": tree})


@pytest.mark.parametrize(
    ("kind", "array", "message"),
    [
        ("label", np.full((288, 384), 13.0), "allowed are -1 to 12"),
        ("depth", np.zeros((10, 10, 1)), r"its depth is \(10, 10, 1\)"),
        ("image", np.full((288, 384, 3), np.nan), "NaN"),
        ("label", np.full((288, 384), "wall"), "label/1.npy is an array of <U4, not of numbers"),
        ("image", np.zeros((288, 384, 3), complex), "image/1.npy is an array of complex128, not of numbers"),
    ],
)
def test_an_array_that_is_wrong_is_named(tmp_path, tree, kind, array, message):
    np.save(tree / f"train/{kind}/1.npy", array)
    with pytest.raises(UserError, match=rf"1 of 3 .*{message}.*train/1"):
        prepare(tmp_path, tree)


def test_several_arrays_in_one_file_are_no_array(tmp_path, tree):
    np.savez(tree / "packed.npz", np.zeros((288, 384, 3)))
    (tree / "packed.npz").replace(tree / "train/image/1.npy")
    with pytest.raises(UserError, match=r"image/1.npy is not an array"):
        prepare(tmp_path, tree)


def test_an_array_of_objects_is_not_loaded(tmp_path, tree):
    np.save(tree / "train/image/1.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="is not an array"):
        prepare(tmp_path, tree)
