"""AVE: the real lists with their duplicates, and a miniature of the dataset's folder."""

import data_trees
import numpy as np
import pytest

from counterpoise.data.datasets.ave import Ave
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.sources import RawFiles
from counterpoise.data.store import ArrayStore
from counterpoise.errors import UserError

LISTS = data_trees.AVE
TINY = {"frame_size": [24, 32]}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return data_trees.ave(tmp_path_factory.mktemp("ave"))


def prepare(folder, tree, **settings):
    return prepare_dataset(
        "ave", {**TINY, **settings}, folder / "raw", folder / "ave.k", "k", data_roots={"ave": tree}, workers=0
    )


def test_the_real_lists_have_their_counts_duplicates_and_empty_event(tmp_path, shared):
    raw = RawFiles((shared / "mirror/ave",))
    store = ArrayStore(tmp_path / "ave.k", dataset="ave", key="k", settings={})
    splits = Ave().listed_items(raw)
    for split in splits:
        Ave()._note_oddities(raw, split, store)
    notes = store._notes
    assert {split: notes[f"{split}: listed"] for split in splits} == {"train": 3339, "val": 402, "test": 402}
    assert notes["train: events without length"] == ["VWi2ENBuTbw"]
    assert len(notes["train: listed more than once"]) == 3339 - 3312
    # One of the 3,312 training ids has only the event without length.
    assert {split: len(items) for split, items in splits.items()} == {"train": 3311, "val": 401, "test": 402}
    ids = {split: {item.id for item in items} for split, items in splits.items()}
    assert len(ids["train"] & ids["test"]) == 8
    assert len({item.targets["event"] for item in splits["test"]}) == 28


def test_clips_count_once_and_leaks_are_reported(tmp_path, tree):
    data = prepare(tmp_path, tree)
    assert data.ids("train") == ["aaaaaaaaaaa", "bbbbbbbbbbb", "ddddddddddd", "eeeeeeeeeee"]
    notes = data.manifest["notes"]
    assert notes["train: listed more than once"] == ["bbbbbbbbbbb"]
    assert notes["train: events without length"] == ["ccccccccccc"]
    leak = next(leak for leak in data.manifest["leaks"] if leak["kind"] == "same id")
    assert (leak["splits"], leak["examples"]) == (["train", "test"], ["eeeeeeeeeee"])


def test_leaked_clips_can_be_left_out_of_training(tmp_path, tree):
    data = prepare(tmp_path, tree, remove_leaks=True)
    assert "eeeeeeeeeee" not in data.ids("train")
    assert "eeeeeeeeeee" in data.ids("test")
    assert data.manifest["leaks"] == []


def test_frames_and_sound_are_those_of_the_event(tmp_path, tree, gray):
    data = prepare(tmp_path, tree)
    names = data.ids("train")
    frames = data.array("train", "visual").mean(axis=(2, 3, 4))
    # Ten seconds: the first four. One second, 4 to 5: four frames within it.
    np.testing.assert_allclose(frames[names.index("aaaaaaaaaaa")], [gray(10 * s) for s in range(4)], atol=6)
    goat = names.index("ddddddddddd")
    np.testing.assert_allclose(frames[goat], [gray(3 + n) for n in (40, 42, 45, 47)], atol=8)
    lengths = data.array("train", "audio_length")
    assert lengths[goat] == 16000
    assert data.modalities["audio"]["shape"] == [1, 257, 1004]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Dinosaur&iiiiiiiiiii&good&0&10", "unknown label 'Dinosaur'"),
        ("Cat&iiiiiiiiiii&good&0", "is not class&id&quality&start&end"),
        ("Cat&iiiiiiiiiii&good&0&12", "end: 12; allowed: 0 to 10"),
    ],
)
def test_a_bad_line_is_named(tmp_path, tree, line, message):
    own = tmp_path / "own"
    own.mkdir()
    for split, lines in LISTS.items():
        (own / f"{split}Set.txt").write_text("\n".join(lines if split != "val" else [*lines, line]))
    (own / "AVE").symlink_to(tree / "AVE_Dataset/AVE")
    with pytest.raises(UserError, match=rf"valSet\.txt: .*{message}"):
        prepare(tmp_path, own)
