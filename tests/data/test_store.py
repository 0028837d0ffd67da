"""The array store: whole or not there, resumable, and the same bytes each time."""

import hashlib
import json

import numpy as np
import pytest

from counterpoise.data.normalise import measure
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.errors import UserError

ROWS = 10
IMAGES = np.arange(ROWS * 12, dtype=np.uint8).reshape(ROWS, 3, 2, 2)
LABELS = np.arange(ROWS) % 3


def open_store(folder, key="k1"):
    store = ArrayStore(folder / f"toy.{key}", dataset="toy", key=key, settings={"a": 1})
    store.modality("image", shape=(3, 2, 2), dtype="uint8", mean=[0.5, 0.5, 0.5], std=[1, 1, 1])
    store.target("label", names=["x", "y", "z"])
    return store


def add(store, split, start, stop):
    ids = [f"s{number}" for number in range(start, stop)]
    store.append(split, ids, image=IMAGES[start:stop], label=LABELS[start:stop])


def write_all(folder):
    with open_store(folder) as store:
        add(store, "train", 0, 4)
        add(store, "train", 4, 7)
        add(store, "test", 7, 10)
    return folder / "toy.k1"


def begin_and_die(folder):
    """Append the first four rows, then be killed."""
    try:
        with open_store(folder) as store:
            add(store, "train", 0, 4)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not (folder / "toy.k1").exists()


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_was_appended_is_read_back(tmp_path):
    data = PreparedData.open(write_all(tmp_path))
    assert data.splits == ["train", "test"]
    assert data.size("train") == 7
    np.testing.assert_array_equal(data.array("train", "image"), IMAGES[:7])
    np.testing.assert_array_equal(data.array("test", "label"), LABELS[7:])
    assert data.ids("test") == ["s7", "s8", "s9"]
    assert data.class_counts("train", "label") == [3, 2, 2]
    data.verify()


def test_the_order_of_bytes_in_the_file_shows_in_speed_only(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 4, 3, 5, 7)).astype(np.uint8)
    manifests = []
    for key, channels_last in (("k1", False), ("k2", True)):
        store = ArrayStore(tmp_path / f"toy.{key}", dataset="toy", key=key, settings={})
        store.modality("frames", shape=(4, 3, 5, 7), dtype="uint8", channels_last=channels_last)
        with store:
            store.append("train", [str(n) for n in range(6)], frames=images[:6])
            np.testing.assert_array_equal(store.read("train", "frames"), images[:6])
            store.append("train", [str(n) for n in range(6, ROWS)], frames=images[6:])
            measure(store, "frames")
        data = PreparedData.open(store.destination)
        np.testing.assert_array_equal(data.array("train", "frames"), images)
        data.verify()
        manifests.append(data.modalities["frames"])
    assert np.load(tmp_path / "toy.k2/train/frames.npy").shape == (ROWS, 4, 5, 7, 3)
    assert {key: manifests[1][key] for key in manifests[0]} == manifests[0]


def test_arrays_are_memory_mapped(tmp_path):
    data = PreparedData.open(write_all(tmp_path))
    array = data.array("train", "image")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


def test_same_rows_in_other_batches_give_the_same_bytes(tmp_path):
    one = digests(write_all(tmp_path / "a"))
    with open_store(tmp_path / "b") as store:
        for start in range(7):
            add(store, "train", start, start + 1)
        add(store, "test", 7, 10)
    assert digests(tmp_path / "b" / "toy.k1") == one


def test_interrupted_work_resumes_to_the_same_bytes(tmp_path):
    whole = digests(write_all(tmp_path / "a"))
    begin_and_die(tmp_path / "b")
    with open_store(tmp_path / "b") as store:
        assert store.consumed("train") == 4
        add(store, "train", 4, 7)
        add(store, "test", 7, 10)
    assert digests(tmp_path / "b" / "toy.k1") == whole


def test_rows_written_after_the_last_journal_entry_are_cut_off(tmp_path):
    whole = digests(write_all(tmp_path / "a"))
    begin_and_die(tmp_path / "b")
    with (tmp_path / "b" / ".toy.k1.partial" / "train" / "image.npy").open("ab") as file:
        file.write(b"torn row")
    with open_store(tmp_path / "b") as store:
        add(store, "train", 4, 7)
        add(store, "test", 7, 10)
    assert digests(tmp_path / "b" / "toy.k1") == whole


def test_partial_work_of_other_settings_is_not_resumed(tmp_path):
    begin_and_die(tmp_path)
    other = ArrayStore(tmp_path / "toy.k1", dataset="toy", key="k1", settings={"a": 2})
    other.modality("image", shape=(3, 2, 2), dtype="uint8")
    other.target("label", names=["x", "y", "z"])
    with other as store:
        assert store.consumed("train") == 0
        add(store, "train", 0, 2)
    assert PreparedData.open(tmp_path / "toy.k1").size("train") == 2


def test_dropped_items_are_counted_and_listed(tmp_path):
    with open_store(tmp_path) as store:
        store.append("train", ["s0"], image=IMAGES[:1], label=LABELS[:1], dropped=[("s1", "no audio stream")])
        assert store.consumed("train") == 2
        assert store.dropped("train") == 1
    data = PreparedData.open(tmp_path / "toy.k1")
    assert data.manifest["dropped"] == [{"split": "train", "id": "s1", "reason": "no audio stream"}]


def test_two_processes_cannot_prepare_the_same_data(tmp_path):
    with open_store(tmp_path) as store:
        with pytest.raises(UserError, match="another process"):
            open_store(tmp_path).__enter__()
        add(store, "train", 0, 4)
    assert PreparedData.open(tmp_path / "toy.k1").size("train") == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.array([3])}, "label 3; allowed: 0 to 2"),
        ({"label": np.array([-1])}, "label -1"),
        ({"ids": ["same"]}, "'same' occurs twice"),
        ({"ids": ["x" * 65]}, "1 to 64 bytes"),
    ],
)
def test_bad_rows_are_refused_by_name(tmp_path, change, message):
    row = {"ids": ["new"], "image": IMAGES[:1], "label": np.array([0]), **change}
    ids = row.pop("ids")
    with open_store(tmp_path) as store:
        store.append("train", ["same"], image=IMAGES[:1], label=np.array([0]))
        with pytest.raises(UserError, match=message):
            store.append("train", ids, **row)
    assert PreparedData.open(tmp_path / "toy.k1").ids("train") == ["same"]


def test_not_a_number_is_refused_by_name(tmp_path):
    store = ArrayStore(tmp_path / "toy.k", dataset="toy", key="k", settings={})
    store.modality("feature", shape=(2,), dtype="float32")
    with pytest.raises(UserError, match="sample b holds NaN"), store:
        store.append("train", ["a", "b"], feature=np.array([[0, 1], [np.nan, 1]], np.float32))


def test_a_full_disk_is_one_line_and_work_can_go_on(tmp_path, monkeypatch):
    whole = digests(write_all(tmp_path / "a"))
    real = ArrayStore._handle

    def full(self, split, name):
        if split == "test":
            raise OSError(28, "No space left on device")
        return real(self, split, name)

    monkeypatch.setattr(ArrayStore, "_handle", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_all(tmp_path / "b")
    assert not (tmp_path / "b" / "toy.k1").exists()
    monkeypatch.undo()
    with open_store(tmp_path / "b") as store:
        assert store.consumed("train") == 7
        add(store, "test", 7, 10)
    assert digests(tmp_path / "b" / "toy.k1") == whole


def test_measured_statistics_are_those_of_the_train_split(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 3, 4, 4)).astype(np.uint8)
    features = random.normal(3.0, 2.0, (50, 5)).astype(np.float32)
    store = ArrayStore(tmp_path / "toy.k", dataset="toy", key="k", settings={})
    store.modality("image", shape=(3, 4, 4), dtype="uint8")
    store.modality("feature", shape=(5,), dtype="float32")
    with store:
        store.append("train", [str(n) for n in range(40)], image=images[:40], feature=features[:40])
        store.append("test", [str(n) for n in range(10)], image=images[40:], feature=features[40:])
        measure(store, "image")
        measure(store, "feature")
    entry = PreparedData.open(tmp_path / "toy.k").modalities
    np.testing.assert_allclose(entry["image"]["mean"], (images[:40] / 255).mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(entry["image"]["std"], (images[:40] / 255).std(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(entry["feature"]["mean"], features[:40].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(entry["feature"]["std"], features[:40].std(axis=0), rtol=1e-5)


def test_manifest_of_another_key_is_refused(tmp_path):
    folder = write_all(tmp_path)
    folder.rename(tmp_path / "toy.k2")
    with pytest.raises(UserError, match=r"holds 'toy.k1', but its folder is named 'toy.k2'"):
        PreparedData.open(tmp_path / "toy.k2")


def test_truncated_manifest_is_refused(tmp_path):
    folder = write_all(tmp_path)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match=r"manifest\.json"):
        PreparedData.open(folder)


def test_manifest_without_its_parts_is_refused(tmp_path):
    folder = write_all(tmp_path)
    (folder / "manifest.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(UserError, match=r"manifest\.json"):
        PreparedData.open(folder)


def test_truncated_array_is_refused(tmp_path):
    folder = write_all(tmp_path)
    path = folder / "train" / "image.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"image\.npy"):
        PreparedData.open(folder)


def test_changed_array_fails_verification(tmp_path):
    folder = write_all(tmp_path)
    path = folder / "train" / "image.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(UserError, match="sha256"):
        PreparedData.open(folder).verify()


def test_unknown_split_and_array_are_named_with_the_nearest(tmp_path):
    data = PreparedData.open(write_all(tmp_path))
    with pytest.raises(UserError, match="did you mean 'train'"):
        data.size("trian")
    with pytest.raises(UserError, match="did you mean 'image'"):
        data.array("train", "imge")
