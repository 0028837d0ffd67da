"""Data of one's own: files in a folder, described by settings alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.errors import UserError

KEY = "0123456789ab"


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.csv").write_text(text)


def prepare(root: Path, **settings) -> PreparedData:
    given = {"path": "mine", "modalities": {"a": "a_{split}.csv"}, "labels": "y_{split}.csv"} | settings
    return prepare_dataset("folder", given, root / "raw", root / f"prepared/mine.{KEY}", KEY, workers=0)


@pytest.fixture
def by_file(tmp_path) -> Path:
    """A folder with a modality and labels as CSV, a file for each split."""
    write(
        tmp_path / "raw/mine",
        a_train="x,y\n1,2\n3,4\n5,6\n",
        y_train="label\ncat\ndog\ncat\n",
        a_test="x,y\n7,8\n",
        y_test="label\ndog\n",
    )
    return tmp_path


def test_a_file_per_split_becomes_that_split(by_file):
    data = prepare(by_file)
    assert data.array("train", "a").tolist() == [[1, 2], [3, 4], [5, 6]]
    assert data.array("test", "label").tolist() == [1]
    assert data.targets["label"]["names"] == ["cat", "dog"]
    assert data.modalities["a"]["mean"] == [3.0, 4.0]


def test_arrays_keep_their_shape_and_a_small_type(by_file):
    for split, count in (("train", 3), ("test", 1)):
        np.save(by_file / f"raw/mine/b_{split}.npy", np.full((count, 3, 2, 2), 7, np.uint8))
        np.save(by_file / f"raw/mine/c_{split}.npy", np.full((count, 5), 0.5, np.float64))
        np.save(by_file / f"raw/mine/z_{split}.npy", np.array([10, 9, 10][:count]))
    modalities = {name: f"{name}_{{split}}.npy" for name in "bc"}
    data = prepare(by_file, modalities=modalities, labels="z_{split}.npy", normalise=False)
    assert (data.modalities["b"]["shape"], data.modalities["b"]["dtype"]) == ([3, 2, 2], "uint8")
    assert (data.modalities["c"]["dtype"], data.modalities["c"]["mean"]) == ("float32", None)
    assert data.targets["label"]["names"] == ["9", "10"]


def test_one_table_may_have_features_labels_names_and_splits(tmp_path):
    rows = ["id,x,label,part", "p,1,0,train", "q,2,1,train", "r,3,1,test", "s,4,0,val"]
    write(tmp_path / "raw/mine", all="\n".join(rows) + "\n")
    data = prepare(
        tmp_path, modalities={"a": "all.csv"}, labels="all.csv", id_column="id", split_column="part", normalise=False
    )
    assert {split: data.ids(split) for split in data.splits} == {"train": ["p", "q"], "val": ["s"], "test": ["r"]}
    assert data.array("val", "a").tolist() == [[4]]


def test_without_a_column_a_share_of_each_class_is_held_out(tmp_path):
    rows = [f"{number},{'even' if number % 2 == 0 else 'odd'}" for number in range(40)]
    write(tmp_path / "raw/mine", all="\n".join(["x,label", *rows]) + "\n")
    data = prepare(tmp_path, modalities={"a": "all.csv"}, labels="all.csv", test_fraction=0.25, val_fraction=0.1)
    assert [data.class_counts(split, "label") for split in ("train", "val", "test")] == [[13, 13], [2, 2], [5, 5]]
    named = {name for split in data.splits for name in data.array(split, "a")[:, 0].tolist()}
    assert len(named) == 40


@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        ({"a_test": "x,y\n7,eight\n"}, {}, "a_test.csv: line 2: column 'y': 'eight' is not a finite number"),
        ({"a_test": "x,y\n7,nan\n"}, {}, "a_test.csv: line 2: column 'y': 'nan'"),
        ({"a_train": "x,y\n1,2\n3\n5,6\n"}, {}, "a_train.csv: line 3 has 1 fields, the first line 2"),
        ({"a_train": "x,y\n1,2\n"}, {}, "a_train.csv: has 1 samples, .*y_train.csv has 3"),
        ({"y_train": 'label\n"cat\n' + "dog\n" * 80_000}, {}, r"y_train.csv: line \d+ is not a line of fields"),
        ({"a_train": "x,y\n", "y_train": "label\n"}, {}, "y_train.csv: has a heading and no lines below it"),
        ({"a_test": "x,y,z\n7,8,9\n"}, {}, r"a_test.csv: a sample has shape \(3,\)"),
        ({"y_test": "label\ndgo\n"}, {}, "y_test.csv: the class 'dgo' is in 'test' and not in 'train'"),
        ({"y_train": "label\ncat\n  \ncat\n"}, {}, "y_train.csv: line 3: column 'label' is empty"),
        (
            {"y_train": "label,clip\ncat,a\ndog,b\ncat,a\n", "y_test": "label,clip\ndog,a\n"},
            {"id_column": "clip"},
            "y_train.csv: line 4: column 'clip': 'a' names a sample of 'train' before it",
        ),
        ({}, {"label_column": "lable"}, "has no column 'lable'; did you mean 'label'"),
        ({}, {"splits": ["train", "tset"]}, "'tset' is no split; did you mean 'test'"),
        ({}, {"splits": ["train"]}, "must have 'train' and 'test'"),
        ({}, {"labels": "y_train.csv"}, "either all of 'modalities' and 'labels' contain"),
        ({}, {"modalities": {"a": "b_{split}.csv"}}, "b_train.csv: is not there; put it there, or correct the name"),
        ({}, {"modalities": {"label": "a_{split}.csv"}}, "modalities: none can be called 'label'"),
        ({}, {"modalities": {"ids": "a_{split}.csv"}}, "modalities: none can be called 'ids'"),
        ({}, {"modalities": {"../a": "a_{split}.csv"}}, "modalities: none can be called '../a'"),
        ({}, {"modalities": {}}, "'path' and 'modalities' must be given"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_column(by_file, texts, settings, said):
    write(by_file / "raw/mine", **texts)
    with pytest.raises(UserError, match=said):
        prepare(by_file, **settings)


def test_an_array_with_a_value_that_is_not_finite_is_named_by_its_row(by_file):
    for split, count in (("train", 3), ("test", 1)):
        array = np.zeros((count, 2), np.float32)
        array[-1, 1] = np.inf if split == "train" else 0
        np.save(by_file / f"raw/mine/b_{split}.npy", array)
    with pytest.raises(UserError, match=r"b_train.npy: row 2, element 1 is not finite"):
        prepare(by_file, modalities={"b": "b_{split}.npy"})


def test_pickled_objects_are_refused(by_file):
    for split in ("train", "test"):
        np.save(by_file / f"raw/mine/b_{split}.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"b_train.npy: is no array that can be read"):
        prepare(by_file, modalities={"b": "b_{split}.npy"})


def test_a_file_that_holds_no_single_array_is_named(by_file):
    packed, single = io.BytesIO(), io.BytesIO()
    np.savez(packed, x=np.zeros((3, 2)))
    np.save(single, np.zeros((3, 2)))
    contents = {
        "empty": b"",
        "archive": packed.getvalue(),
        "half an archive": packed.getvalue()[:60],
        "damaged header": single.getvalue().replace(b"(3, 2)", b"(3, 2("),
    }
    np.save(by_file / "raw/mine/b_test.npy", np.zeros((1, 2)))
    for content in contents.values():
        (by_file / "raw/mine/b_train.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"b_train.npy: is no array that can be read"):
            prepare(by_file, modalities={"b": "b_{split}.npy"})


def test_splits_of_other_types_are_refused_and_not_cut_to_that_of_the_first(by_file):
    np.save(by_file / "raw/mine/b_train.npy", np.full((3, 2), 7, np.uint8))
    np.save(by_file / "raw/mine/b_test.npy", np.full((1, 2), 300.7))
    with pytest.raises(UserError, match=r"b_test.npy: its numbers are float64, in the first split they are uint8"):
        prepare(by_file, modalities={"b": "b_{split}.npy"})


def test_labels_that_only_look_like_numbers_are_words(by_file):
    write(by_file / "raw/mine", y_train=f"label\n--5\n{'1' * 5000}\n10\n", y_test="label\n--5\n")
    assert prepare(by_file).targets["label"]["names"] == ["--5", "10", "1" * 5000]


def test_a_file_without_a_single_number_is_named(by_file):
    for split, count in (("train", 3), ("test", 1)):
        np.save(by_file / f"raw/mine/b_{split}.npy", np.zeros((count, 0), np.float32))
    for file in ("b_{split}.npy", "y_{split}.csv"):  # the labels' file has a column of labels and no other
        with pytest.raises(UserError, match=r"_train\..*: has no numbers: a sample has shape \(0,\)"):
            prepare(by_file, modalities={"b": file})


def test_files_that_changed_since_an_interrupted_attempt_are_read_again(by_file, monkeypatch):
    append = ArrayStore.append

    def interrupted(store, split, *rest, **arrays):
        if split == "test":
            raise KeyboardInterrupt
        append(store, split, *rest, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayStore, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(by_file)
    write(by_file / "raw/mine", a_train="x,y\n1,2\n3,4\n5,60\n")
    assert prepare(by_file).array("train", "a").tolist() == [[1, 2], [3, 4], [5, 60]]
