"""CREMA-D: the real split lists, and a miniature of the real tree."""

import shutil

import data_trees
import numpy as np
import pytest

from counterpoise.data.datasets.crema_d import EMOTIONS, CremaD
from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.prepare import make_dataset, prepare_dataset
from counterpoise.data.sources import RawFiles
from counterpoise.errors import UserError

NAMES = data_trees.CREMA_D
TINY = {"frame_size": [24, 32], "frames": 3}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return data_trees.crema_d(tmp_path_factory.mktemp("crema_d"))


def prepare(folder, tree, **settings):
    return prepare_dataset(
        "crema_d",
        {**TINY, **settings},
        folder / "raw",
        folder / "crema_d.k",
        "k",
        data_roots={"crema_d": tree},
        workers=0,
    )


def test_the_real_lists_have_their_counts(shared):
    raw = RawFiles((shared / "mirror/crema_d",))
    splits = CremaD().listed_items(raw)
    assert {split: len(items) for split, items in splits.items()} == {"train": 6698, "test": 744}
    counts = {
        split: np.bincount([item.targets["emotion"] for item in items]).tolist() for split, items in splits.items()
    }
    assert counts["train"] == [1166, 1142, 1138, 1148, 973, 1131]
    assert counts["test"] == [105, 129, 133, 123, 114, 140]


@pytest.mark.parametrize(("fold", "sizes"), [(1, (4043, 878, 899)), (2, (4024, 881, 915)), (3, (4017, 869, 934))])
def test_the_real_folds_have_their_counts_and_share_no_actor(shared, fold, sizes):
    splits = CremaD(split="mlb", fold=fold).listed_items(RawFiles((shared / "mirror/crema_d",)))
    assert tuple(len(items) for items in splits.values()) == sizes
    actors = [{item.group for item in items} for items in splits.values()]
    assert [len(found) for found in actors] == [63, 14, 14]
    assert not actors[0] & actors[1]
    assert not actors[0] & actors[2]
    assert not actors[1] & actors[2]


def test_every_official_file_has_its_size_and_digest(shared):
    raw = RawFiles((shared / "mirror/crema_d",))
    sources = make_dataset("crema_d", {}).listed_sources(raw)
    assert len(sources) == 2 * 7442
    assert all(source.sha256 is not None and source.size is not None for source in sources)
    assert sources[0].urls[0].endswith("/AudioWAV/1001_DFA_ANG_XX.wav")


def test_a_media_file_that_is_not_the_official_one_is_refused(tmp_path, shared):
    raw = tmp_path / "raw/crema_d"
    shutil.copytree(shared / "mirror/crema_d", raw)
    (raw / "AudioWAV").mkdir()
    source = make_dataset("crema_d", {}).listed_sources(RawFiles((raw,)))[0]
    (raw / source.path).write_bytes(bytes(source.size))
    with pytest.raises(UserError, match=r"1001_DFA_ANG_XX\.wav: sha256 is"):
        fetch_dataset("crema_d", {}, tmp_path / "raw", mirror=shared / "mirror")


def test_the_list_split_is_prepared_and_its_shared_actors_are_flagged(tmp_path, tree):
    data = prepare(tmp_path, tree)
    assert data.ids("train") == NAMES[::2]
    assert data.modalities["audio"]["shape"] == [1, 128, 1024]
    assert data.modalities["visual"]["shape"] == [3, 3, 24, 32]
    for name, label in zip(data.ids("test"), data.array("test", "emotion"), strict=True):
        assert label == EMOTIONS[name.split("_")[2]]
    leaks = {leak["kind"]: leak for leak in data.manifest["leaks"]}
    assert leaks["same actor"]["expected"] is True


def test_the_folds_share_no_actor_and_have_a_validation_split(tmp_path, tree):
    data = prepare(tmp_path, tree, split="mlb", front_end="ogm", audio_normalisation="measured")
    assert data.splits == ["train", "val", "test"]
    assert data.manifest["leaks"] == []
    assert data.modalities["audio"]["mean"] is not None


def test_frames_are_one_per_second_and_counted(tmp_path, tree, gray):
    data = prepare(tmp_path, tree)
    for split in data.splits:
        frames = data.array(split, "visual")
        for place, name in enumerate(data.ids(split)):
            number = NAMES.index(name)
            count = data.array(split, "visual_frames")[place]
            assert count == min(3, int(np.ceil(1.2 + 0.4 * (number % 6) - 1e-6)))
            for second in range(count):
                assert abs(frames[place, second].mean() - gray(number + 30 * second)) < 7
            # What is missing is the last frame again.
            for second in range(count, 3):
                np.testing.assert_array_equal(frames[place, second], frames[place, count - 1])


@pytest.mark.parametrize(
    ("front_end", "shape"),
    [("ogm", [1, 257, 188]), ("pmr", [1, 257, 1004]), ("wave", [48000]), ("fbank", [1, 128, 1024])],
)
def test_every_front_end_of_the_papers_can_be_chosen(tmp_path, tree, front_end, shape):
    assert prepare(tmp_path, tree, front_end=front_end).modalities["audio"]["shape"] == shape


def test_a_waves_statistics_ignore_its_padding(tmp_path, tree):
    data = prepare(tmp_path, tree, front_end="wave", audio_seconds=5.0, audio_normalisation="measured")
    waves, lengths = data.array("train", "audio"), data.array("train", "audio_length")
    real = np.concatenate([wave[:length] for wave, length in zip(waves, lengths, strict=True)]) / 32768.0
    assert data.modalities["audio"]["std"][0] == pytest.approx(real.std(), rel=1e-4)


def broken_copy(tree, folder):
    shutil.copytree(tree, folder)
    return folder


def test_broken_clips_are_left_out_by_name_with_the_reason(tmp_path, tree):
    own = broken_copy(tree, tmp_path / "own")
    train = NAMES[::2]
    (own / f"VideoFlash/{train[0]}.flv").write_bytes(b"")
    (own / f"VideoFlash/{train[1]}.flv").write_text("this is text\n" * 50)
    (own / f"AudioWAV/{train[2]}.wav").unlink()
    data = prepare(tmp_path, own, max_dropped=0.5)
    reasons = {entry["id"]: entry["reason"] for entry in data.manifest["dropped"]}
    assert set(reasons) == set(train[:3])
    assert "empty" in reasons[train[0]]
    assert "not a media file" in reasons[train[1]]
    assert "missing" in reasons[train[2]]
    assert data.ids("train") == train[3:]


def test_too_many_broken_clips_fail_and_say_how_to_get_them(tmp_path, tree):
    own = broken_copy(tree, tmp_path / "own")
    shutil.rmtree(own / "VideoFlash")
    with pytest.raises(UserError, match=r"the file is missing.*git-lfs"):
        prepare(tmp_path, own)
    assert not (tmp_path / "crema_d.k").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1001_DFA_JOY_XX,JOY", "unknown label 'JOY'"),
        ("1001_DFA_ANG_XX,HAP", "is labelled happy, its name says anger"),
        ("1001_DFA_ANG_XX", "1 fields, 2 expected"),
        ("hello,ANG", "actor_sentence_EMOTION_level"),
    ],
)
def test_a_bad_line_of_a_list_is_named(tmp_path, tree, line, message):
    own = broken_copy(tree, tmp_path / "own")
    with (own / "ogm_ge/train.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=rf"train\.csv.*{message}"):
        prepare(tmp_path, own)


def test_a_clip_listed_twice_is_an_error(tmp_path, tree):
    own = broken_copy(tree, tmp_path / "own")
    with (own / "ogm_ge/train.csv").open("a") as file:
        file.write(f"{NAMES[0]},{NAMES[0].split('_')[2]}\n")
    with pytest.raises(UserError, match=f"1 ids twice: {NAMES[0]}"):
        prepare(tmp_path, own)


def test_a_missing_list_is_named(tmp_path, tree):
    own = broken_copy(tree, tmp_path / "own")
    (own / "ogm_ge/test.csv").unlink()
    with pytest.raises(UserError, match=r"ogm_ge/test\.csv: is not there"):
        prepare(tmp_path, own)


def test_a_frame_size_that_is_none_is_refused(tmp_path, tree):
    with pytest.raises(UserError, match="frame_size"):
        prepare(tmp_path, tree, frame_size=[24])
