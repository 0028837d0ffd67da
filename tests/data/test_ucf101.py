"""UCF101: the real folds, and a miniature of the dataset's folder."""

import shutil

import data_trees
import numpy as np
import pytest

from counterpoise.data.datasets.ucf101 import CLASSES, PUBLISHED, Ucf101
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.sources import RawFiles, is_published
from counterpoise.errors import UserError

TINY = {"frame_size": [24, 32], "max_dropped": 0.5, "val_fraction": 0.3}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return data_trees.ucf101(tmp_path_factory.mktemp("ucf101"))


def prepare(folder, tree, **settings):
    return prepare_dataset(
        "ucf101", {**TINY, **settings}, folder / "raw", folder / "ucf101.k", "k", data_roots={"ucf101": tree}, workers=0
    )


def test_the_classes_with_sound_are_51_of_the_official_names(shared):
    lines = (shared / "mirror/ucf101/classInd.txt").read_text().split()
    assert len(CLASSES) == len(set(CLASSES)) == 51
    assert set(CLASSES) <= set(lines[1::2])


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_the_real_folds_keep_groups_apart_and_every_class(shared, fold):
    splits = Ucf101(fold=fold).listed_items(RawFiles((shared / "mirror/ucf101",)))
    groups = {split: {item.group for item in items} for split, items in splits.items()}
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & groups["test"]
    for items in splits.values():
        assert len({item.targets["action"] for item in items}) == 51
    lines = (shared / f"mirror/ucf101/trainlist0{fold}.txt").read_text().splitlines()
    listed = sum(line.split("/")[0] in CLASSES for line in lines)
    assert len(splits["train"]) + len(splits["val"]) == listed


def test_clips_without_sound_or_with_too_few_frames_are_left_out(tmp_path, tree):
    data = prepare(tmp_path, tree)
    reasons = {entry["id"].split("/")[1]: entry["reason"] for entry in data.manifest["dropped"]}
    assert reasons == {"v_Typing_g02_c01": "it has no audio stream", "v_Archery_g02_c02": "2 frames, 4 are needed"}
    assert data.size("test") == 6


def test_fewer_frames_than_a_clip_must_have_can_be_stored(tmp_path, tree):
    data = prepare(tmp_path, tree, frames=2)
    assert data.array("test", "visual").shape[:2] == (6, 2)
    assert len(data.manifest["dropped"]) == 2


def test_silent_classes_and_odd_spellings_are_handled(tmp_path, tree):
    data = prepare(tmp_path, tree)
    names = [name for split in data.splits for name in data.ids(split)]
    assert not any("Biking" in name for name in names)
    assert any("v_HandStandPushups" in name for name in names)


def test_validation_takes_whole_groups(tmp_path, tree):
    data = prepare(tmp_path, tree)
    groups = {split: {name.rsplit("_", 1)[0] for name in data.ids(split)} for split in data.splits}
    assert groups["val"]
    assert not groups["train"] & groups["val"]
    assert data.manifest["leaks"] == [] or {leak["kind"] for leak in data.manifest["leaks"]} == {"same content"}


def test_the_first_frames_and_the_first_channel_are_taken(tmp_path, tree, gray):
    data = prepare(tmp_path, tree, front_end="wave", audio_seconds=3.0)
    frames = data.array("test", "visual").mean(axis=(2, 3, 4))
    np.testing.assert_allclose(frames[0], [gray(1 + 10 * second) for second in range(4)], atol=6)
    loudness = np.abs(data.array("test", "audio")[0].astype(float)).max() / 32768
    assert abs(loudness - 0.5) < 0.06


def test_a_bad_line_is_named(tmp_path, tree):
    own = tmp_path / "own/ucfTrainTestlist"
    own.mkdir(parents=True)
    (own / "testlist01.txt").write_text((tree / "ucfTrainTestlist/testlist01.txt").read_text())
    (own / "trainlist01.txt").write_text("Archery/clip.avi 1\n")
    (own.parent / "UCF-101").symlink_to(tree / "UCF-101")
    with pytest.raises(UserError, match=r"trainlist01\.txt: line 1: 'Archery/clip.avi'"):
        prepare(tmp_path, own.parent)


def test_a_list_of_classes_without_sound_alone_is_named(tmp_path, tree):
    own = tmp_path / "own"
    (own / "ucfTrainTestlist").mkdir(parents=True)
    (own / "ucfTrainTestlist/testlist01.txt").write_text((tree / "ucfTrainTestlist/testlist01.txt").read_text())
    (own / "ucfTrainTestlist/trainlist01.txt").write_text("Biking/v_Biking_g08_c01.avi 11\n")
    (own / "UCF-101").symlink_to(tree / "UCF-101")
    with pytest.raises(UserError, match=r"trainlist01\.txt: the split list names no clip of the 51 classes with sound"):
        prepare(tmp_path, own)


def test_a_missing_fold_list_says_where_to_get_it(tmp_path, tree):
    with pytest.raises(UserError, match=r"trainlist02\.txt.*UCF101TrainTestSplits"):
        prepare(tmp_path, tree, fold=2)


def test_a_fold_list_in_other_capitals_is_named(tmp_path):
    own = data_trees.ucf101(tmp_path / "own") / "ucfTrainTestlist"
    (own / "trainlist01.txt").rename(own / "trainList01.txt")
    with pytest.raises(UserError, match=r"trainlist01\.txt: is not there; .*/trainList01\.txt is there, which differs"):
        prepare(tmp_path, own.parent)


def test_a_list_that_spells_a_class_otherwise_loses_no_clip(tmp_path, tree):
    """Copies of the first fold's lists go round with HandstandPushups in place of HandStandPushups."""
    own = tmp_path / "own/ucfTrainTestlist"
    own.mkdir(parents=True)
    (own.parent / "UCF-101").symlink_to(tree / "UCF-101")
    for name in ("trainlist01.txt", "testlist01.txt"):
        text = (tree / "ucfTrainTestlist" / name).read_text()
        assert "v_HandStandPushups" in text
        (own / name).write_text(text.replace("v_HandStandPushups", "v_HandstandPushups"))
    data = prepare(tmp_path, own.parent)
    number = data.targets["action"]["names"].index("HandstandPushups")
    assert data.class_counts("test", "action")[number] == 2


def test_the_official_lists_are_the_published_ones_whatever_their_line_ends(shared, tmp_path):
    for name, (size, _) in PUBLISHED.items():
        text = (shared / "mirror/ucf101" / name).read_bytes().replace(b"v_HandstandPushups", b"v_HandStandPushups")
        assert len(text) == size
        (tmp_path / name).write_bytes(text.replace(b"\n", b"\r\n"))
    for fold in (1, 2, 3):
        for source in Ucf101(fold=fold).sources()[:2]:
            assert is_published(tmp_path / source.path, source) is True


def test_a_class_that_a_list_spells_as_no_other_does_is_said_to_be_gone(tmp_path, tree, monkeypatch):
    monkeypatch.setattr("counterpoise.data.datasets.ucf101.CLASSES", ("Archery", "HandstandPushups", "Typing"))
    assert not [what for what in prepare(tmp_path / "as it is", tree).manifest["departures"] if "class" in what]
    own = shutil.copytree(tree, tmp_path / "own")
    path = own / "ucfTrainTestlist/testlist01.txt"
    path.write_text(path.read_text().replace("Typing/v_Typing", "Typng/v_Typing"))
    departures = prepare(tmp_path / "spelled", own).manifest["departures"]
    assert "test: no item is listed of 1 of its classes: Typing" in departures
