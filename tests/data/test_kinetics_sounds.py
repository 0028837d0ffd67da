"""Kinetics-Sounds: the real lists, and a miniature Kinetics folder."""

import data_trees
import numpy as np
import pytest

from counterpoise.data.datasets.kinetics_sounds import KineticsSounds, possible_stems
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.sources import RawFiles
from counterpoise.errors import UserError

TINY = {"frame_size": [24, 32], "max_dropped": 0.5}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return data_trees.kinetics_sounds(tmp_path_factory.mktemp("kinetics_sounds"))


def prepare(folder, tree, **settings):
    return prepare_dataset(
        "kinetics_sounds",
        {**TINY, **settings},
        folder / "raw",
        folder / "kinetics_sounds.k",
        "k",
        data_roots={"kinetics_sounds": tree},
        workers=0,
    )


def test_the_real_lists_have_their_counts(shared):
    splits = KineticsSounds().listed_items(RawFiles((shared / "mirror/kinetics_sounds",)))
    assert {split: len(items) for split, items in splits.items()} == {"train": 14799, "test": 2597}
    counts = np.bincount([item.targets["action"] for item in splits["train"]])
    assert (len(counts), counts.min(), counts.max()) == (31, 197, 690)
    assert not {item.group for item in splits["train"]} & {item.group for item in splits["test"]}


def test_both_forms_of_a_clips_name_are_understood():
    assert possible_stems("--4-0ihtnBU_000058_000068")[0] == "--4-0ihtnBU_000058_000068"
    assert "-3Mwkq-7TV4_000002_000012" in possible_stems("-3Mwkq-7TV4_2")


def test_clips_are_found_flat_and_in_class_folders(tmp_path, tree):
    data = prepare(tmp_path, tree)
    assert data.size("test") == 4
    assert data.modalities["visual"]["shape"] == [3, 3, 24, 32]


def test_survivors_are_counted_per_class_and_the_lost_are_named(tmp_path, tree):
    data = prepare(tmp_path, tree)
    reasons = {entry["id"][:11]: entry["reason"] for entry in data.manifest["dropped"]}
    assert reasons == {"video000005": "the file is missing", "video000006": "3 frames, 4 are needed"}
    assert data.class_counts("train", "action")[:3] == [2, 3, 1]
    assert data.manifest["notes"]["listed"]["train"][:3] == [3, 3, 2]


def test_three_frames_are_spread_over_the_clip(tmp_path, tree, gray):
    data = prepare(tmp_path, tree)
    shown = data.array("test", "visual").mean(axis=(2, 3, 4))
    for place, frames in enumerate(shown):
        expected = [gray(place + 10 * second) for second in (1, 3, 5)]
        np.testing.assert_allclose(frames, expected, atol=6)


def test_too_few_survivors_are_an_error_that_says_what_to_do(tmp_path, tree):
    with pytest.raises(UserError, match=r"1 of 8 .* allowed are 5\.0% .* data_roots"):
        prepare(tmp_path, tree, max_dropped=0.05, min_frames=4)


def test_a_validation_split_can_be_taken_from_train(tmp_path, tree):
    # So small a share that the class of which a clip is missing keeps both of its clips in train; a short clip is used.
    data = prepare(tmp_path, tree, val_fraction=0.2, min_frames=3)
    assert data.splits == ["train", "val", "test"]
    assert not set(data.ids("train")) & set(data.ids("val"))


@pytest.mark.parametrize(
    ("line", "message"),
    [("video999999_1,10,31", "31; allowed: 0 to 30"), ("video999999_1,10,x", "'x' is not a whole number")],
)
def test_an_unknown_class_is_named_with_its_line(tmp_path, tree, line, message):
    (tmp_path / "mine.txt").write_text((tree / "my_train.txt").read_text() + "\n" + line)
    (tree / "mine.txt").write_text((tmp_path / "mine.txt").read_text())
    with pytest.raises(UserError, match=rf"mine\.txt: line 9: class.*{message}"):
        prepare(tmp_path, tree, train_list="mine.txt")


def test_a_list_that_is_not_there_is_named(tmp_path, tree):
    with pytest.raises(UserError, match=r"no_such\.txt: is not there; put your own list"):
        prepare(tmp_path, tree, test_list="no_such.txt")


@pytest.mark.parametrize("start", ["\u00b2", "9" * 5000])
def test_a_start_that_is_no_number_of_seconds_is_part_of_a_name(start):
    assert possible_stems(f"abcdefghijk_{start}") == [f"abcdefghijk_{start}", "abcdefghijk"]
