"""CMU-MOSI from the real public features, and from a pickle in MulT's layout."""

import csv
import pickle
import shutil

import numpy as np
import pytest

from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError


@pytest.fixture(scope="module")
def mirror(shared):
    return shared / "mirror"


@pytest.fixture(scope="module")
def utterances(mirror):
    with (mirror / "cmu_mosi/utterances.csv").open(encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def prepare(folder, mirror, **settings):
    fetch_dataset("cmu_mosi", settings, folder / "raw", mirror=mirror)
    return prepare_dataset("cmu_mosi", settings, folder / "raw", folder / "cmu_mosi.k", "k")


def test_the_public_split_has_its_counts(tmp_path, mirror):
    data = prepare(tmp_path, mirror)
    assert (data.size("train"), data.size("test")) == (1447, 752)
    assert data.class_counts("train", "sentiment") == [738, 709]
    assert data.class_counts("test", "sentiment") == [285, 467]
    assert data.manifest["leaks"] == []
    digest = "161440ebea417b02f98d41698efc054ecc859cf8a3b0ddb3c95eb2c819e3e42b"
    assert data.manifest["splits"]["test"]["arrays"]["audio"]["sha256"] == digest


def test_every_row_is_given_its_own_utterance(tmp_path, mirror, utterances):
    data = prepare(tmp_path, mirror)
    for split in data.splits:
        for place, name in enumerate(data.ids(split)):
            row = utterances[name]
            assert (row["poria_split"], int(row["poria_row"])) == (split, place)
            assert int(row["label_binary"]) == data.array(split, "sentiment")[place]


def test_the_utterances_of_a_video_are_a_group(tmp_path, mirror, utterances):
    data = prepare(tmp_path, mirror)
    videos = [name.rpartition("_")[0] for name in data.ids("test")]
    pairs = set(zip(videos, data.array("test", "group").tolist(), strict=True))
    assert len(pairs) == len(set(videos)) == 31


def test_features_are_those_of_the_files(tmp_path, mirror):
    data = prepare(tmp_path, mirror)
    rows = list(csv.reader((mirror / "cmu_mosi/audio_test0.csv").open()))
    found = data.array("test", "audio")
    assert found.shape == (752, 73)
    np.testing.assert_allclose(found[300], np.array(rows[300][:-1], dtype=np.float32))


def test_the_standard_split_has_its_counts_and_is_flagged(tmp_path, mirror):
    data = prepare(tmp_path, mirror, split="standard")
    assert [data.size(split) for split in ("train", "val", "test")] == [1284, 229, 686]
    leak = data.manifest["leaks"][0]
    assert leak["kind"] == "features learned with test labels"
    assert (leak["count"], leak["expected"]) == (558, False)


def test_folds_can_be_read_from_cmus_own_file(tmp_path, mirror):
    import json

    raw = tmp_path / "raw/cmu_mosi"
    raw.mkdir(parents=True)
    folds = json.loads((mirror / "cmu_mosi/std_folds.json").read_text())
    lines = [f"standard_{name}_fold = {videos!r}" for name, videos in folds.items()]
    (raw / "cmu_mosi_std_folds.py").write_text("\n".join(["import os", *lines]))
    for path in (mirror / "cmu_mosi").glob("*.csv"):
        shutil.copyfile(path, raw / path.name)
    data = prepare_dataset("cmu_mosi", {"split": "standard"}, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")
    assert [data.size(split) for split in ("train", "val", "test")] == [1284, 229, 686]


def test_neutral_utterances_can_be_left_out_and_are_then_counted(tmp_path, mirror):
    data = prepare(tmp_path, mirror, neutral="drop")
    assert data.size("train") + data.size("test") == 2199 - 96
    assert len(data.manifest["dropped"]) == 96


def test_three_classes_are_cut_at_the_thresholds(tmp_path, mirror, utterances):
    data = prepare(tmp_path, mirror, labels="three")
    for name, label in zip(data.ids("test"), data.array("test", "sentiment"), strict=True):
        value = float(utterances[name]["label_regression"])
        assert label == (0 if value < -0.5 else 2 if value > 0.5 else 1)


def test_labels_that_need_the_ratings_say_so_when_they_are_missing(tmp_path, mirror):
    fetch_dataset("cmu_mosi", {}, tmp_path / "raw", mirror=mirror)
    (tmp_path / "raw/cmu_mosi/utterances.csv").unlink()
    with pytest.raises(UserError, match=r"utterances\.csv"):
        prepare_dataset("cmu_mosi", {"labels": "three"}, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")


def test_a_feature_file_cut_short_is_named(tmp_path, mirror):
    own = tmp_path / "own"
    own.mkdir()
    for path in (mirror / "cmu_mosi").iterdir():
        shutil.copyfile(path, own / path.name)
    lines = (own / "video_test0.csv").read_text().splitlines()
    for content, message in (
        ("\n".join(lines[:-3]), "749 rows, 752 transcripts"),
        ("\n".join([*lines[:-1], lines[-1][:40]]), "line 752 has"),
        ("\n".join([lines[1], lines[0], *lines[2:]]).replace('"1"\n', '"7"\n', 1), "unknown label 7"),
    ):
        (own / "video_test0.csv").write_text(content)
        with pytest.raises(UserError, match=rf"video_test0\.csv.*{message}"):
            prepare_dataset(
                "cmu_mosi", {}, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k", data_roots={"cmu_mosi": own}
            )


def mult(folder, **change):
    """Write a pickle laid out like MulT's."""
    random = np.random.default_rng(0)
    data = {}
    for split, count in (("train", 12), ("valid", 5), ("test", 7)):
        audio = random.normal(size=(count, 6, 5))
        audio[0, 0] = -np.inf
        text = random.normal(size=(count, 6, 300)).astype(np.float32)
        text[1, 3:] = 0
        labels = random.uniform(-3, 3, (count, 1, 1))
        labels[2] = 0.0
        data[split] = {
            "text": text,
            "audio": audio,
            "vision": random.normal(size=(count, 6, 20)),
            "labels": labels,
            "id": [[b"x"]] * count,
        }
    data.update(change)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mosi_data.pkl").write_bytes(pickle.dumps(data, 2))
    return data


MULT = {"features": "mult", "split": "standard"}


def test_mult_sequences_keep_their_steps(tmp_path):
    made = mult(tmp_path / "raw/cmu_mosi")
    data = prepare_dataset("cmu_mosi", MULT, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")
    assert [data.size(split) for split in ("train", "val", "test")] == [12, 5, 7]
    assert data.modalities["audio"]["shape"] == [6, 5]
    np.testing.assert_allclose(data.array("test", "text"), made["test"]["text"])
    np.testing.assert_array_equal(data.array("train", "audio")[0, 0], np.zeros(5))
    expected = (made["valid"]["labels"].reshape(-1) >= 0).astype(int)
    np.testing.assert_array_equal(data.array("val", "sentiment"), expected)


def test_mult_sequences_can_be_pooled_over_real_steps(tmp_path):
    made = mult(tmp_path / "raw/cmu_mosi")
    settings = {**MULT, "pool": "mean"}
    data = prepare_dataset("cmu_mosi", settings, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")
    expected = made["test"]["text"][1, :3].mean(axis=0)
    np.testing.assert_allclose(data.array("test", "text")[1], expected, rtol=1e-5)


def test_mult_features_have_the_standard_split_only(tmp_path):
    mult(tmp_path / "raw/cmu_mosi")
    with pytest.raises(UserError, match="split"):
        prepare_dataset("cmu_mosi", {"features": "mult"}, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")


def test_a_pickle_without_a_split_is_named(tmp_path):
    mult(tmp_path / "raw/cmu_mosi", valid=None)
    with pytest.raises(UserError, match=r"mosi_data\.pkl: has no valid split"):
        prepare_dataset("cmu_mosi", MULT, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")


def test_without_the_pickle_the_user_is_told_where_it_is(tmp_path):
    with pytest.raises(UserError, match="Multimodal-Transformer"):
        prepare_dataset("cmu_mosi", MULT, tmp_path / "raw", tmp_path / "cmu_mosi.k", "k")
