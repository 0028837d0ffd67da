"""From lists of clips to arrays: nothing lost in silence, the same bytes however it was made."""

import dataclasses
import hashlib
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from counterpoise.data.clips import Item, prepare_items, report_leaks
from counterpoise.data.media import MediaError
from counterpoise.data.normalise import measure
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.errors import UserError

ERRORS = {
    -2: AssertionError("window size is larger\nthan the sound"),
    -3: AttributeError("'NoneType' object has no attribute 'decode'"),
    -4: MemoryError(),
    -5: IndexError("list index out of range"),
    -6: RuntimeError("a codec's own"),
    -7: UserError("a list of the item"),
    -8: FileNotFoundError(2, "No such file"),
}
ODD = {-9: np.array([1.0, np.nan, 1.0], np.float32), -10: np.zeros(0, np.float32), -11: np.zeros(3, np.float64)}


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads a file of one number; refuses 13, dies on -1, and goes wrong in other ways on other numbers."""

    def __call__(self, item):
        number = int(item.files[0].read_text())
        if number == 13:
            raise MediaError("unlucky")
        if number == -1:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in ERRORS:
            raise ERRORS[number]
        if number in ODD:
            return {"value": ODD[number]}
        return {"value": np.full(3, number, np.float32)}


def make_items(folder, numbers, group=""):
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for place, number in enumerate(numbers):
        path = folder / f"{place}.txt"
        path.write_text(str(number))
        items.append(Item(f"{folder.name}/{place}", {"label": place % 2}, (path,), group or f"g{place}"))
    return items


def prepare(folder, splits, work=None, max_dropped=0.1, reader=None):
    store = ArrayStore(folder / "toy.k", dataset="toy", key="k", settings={})
    store.modality("value", shape=(3,), dtype="float32")
    store.target("label", names=["even", "odd"])
    with store:
        prepare_items(store, splits, reader or Reader(), work or Work(), max_dropped=max_dropped, how_to_get="Do this.")
        report_leaks(store, splits, group="speaker")
    return PreparedData.open(folder / "toy.k")


def digests(folder: Path):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    numbers = [13 if place == 40 else place for place in range(200)]
    splits = {"train": make_items(tmp_path / "a", numbers), "test": make_items(tmp_path / "b", range(30))}
    found = [digests(prepare(tmp_path / f"w{n}", splits, Work(n)).path) for n in (1, 2, 3)]
    assert found[0] == found[1] == found[2]


def test_a_killed_preparation_goes_on_to_the_same_bytes(tmp_path):
    splits = {"train": make_items(tmp_path / "a", range(200)), "test": make_items(tmp_path / "b", range(30))}
    whole = digests(prepare(tmp_path / "whole", splits).path)
    done = []

    def stop(split, count, total):
        if split == "train" and count == 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "broken", splits, Work(1, stop))
    resumed = prepare(tmp_path / "broken", splits, Work(1, lambda split, count, total: done.append((split, count))))
    assert digests(resumed.path) == whole
    # Two appends of 64 rows were on the disk.
    assert done[0] == ("train", 128)


def test_unusable_items_are_left_out_with_their_reason(tmp_path):
    data = prepare(tmp_path, {"train": make_items(tmp_path / "a", [1, 13, 3] + [0] * 20)})
    assert data.size("train") == 22
    (dropped,) = data.manifest["dropped"]
    assert (dropped["split"], dropped["id"], dropped["reason"]) == ("train", "a/1", "unlucky")
    np.testing.assert_array_equal(data.array("train", "value")[:2, 0], [1, 3])
    np.testing.assert_array_equal(data.array("train", "label")[:3], [0, 0, 1])


def test_too_many_unusable_items_fail_by_name_and_start_over(tmp_path):
    items = make_items(tmp_path / "a", [13, 1, 13, 2])
    with pytest.raises(UserError, match=r"train: 2 of 4 .* 10.0% .* unlucky: 2; a/0, a/2\. Do this\."):
        prepare(tmp_path, {"train": items})
    assert not (tmp_path / "toy.k").exists()
    items[0].files[0].write_text("5")
    items[2].files[0].write_text("6")
    data = prepare(tmp_path, {"train": items})
    np.testing.assert_array_equal(data.array("train", "value")[:, 0], [5, 1, 6, 2])


def test_missing_files_are_noticed_before_anything_is_decoded(tmp_path):
    items = make_items(tmp_path / "a", range(10))
    for item in items[:3]:
        item.files[0].unlink()

    def never(item):
        raise AssertionError("decoded")

    with pytest.raises(UserError, match=r"3 of 10 .* the file is missing: 3"):
        prepare(tmp_path, {"train": items}, reader=never)


def test_a_decoder_that_crashes_loses_its_clip_only(tmp_path):
    numbers = [-1 if place == 7 else 100 + place for place in range(40)]
    data = prepare(tmp_path, {"train": make_items(tmp_path / "a", numbers)}, Work(2))
    assert data.size("train") == 39
    assert "ended the process" in data.manifest["dropped"][0]["reason"]


def test_a_repeated_id_is_an_error(tmp_path):
    items = make_items(tmp_path / "a", range(4))
    with pytest.raises(UserError, match="1 ids twice: a/0"):
        prepare(tmp_path, {"train": [*items, items[0]]})


def test_an_empty_split_is_an_error(tmp_path):
    with pytest.raises(UserError, match="train: its list names no items"):
        prepare(tmp_path, {"train": []})


def test_what_splits_share_is_reported(tmp_path):
    train = make_items(tmp_path / "a", [1, 2, 3], group="")
    test = make_items(tmp_path / "b", [7, 3, 8], group="")
    test[0] = dataclasses.replace(train[0], group="g9")
    data = prepare(tmp_path, {"train": train, "test": test})
    found = {leak["kind"]: leak for leak in data.manifest["leaks"]}
    assert found["same id"]["examples"] == ["a/0"]
    assert found["same speaker"]["examples"] == ["g1", "g2"]
    # The same bytes under another name, besides the clip that is itself in both.
    assert found["same content"]["examples"] == ["a/0 = a/0", "a/2 = b/1"]


def test_splits_that_share_nothing_report_nothing(tmp_path):
    splits = {
        "train": make_items(tmp_path / "a", [1, 2], group="x"),
        "test": make_items(tmp_path / "b", [3, 4], group="y"),
    }
    assert prepare(tmp_path, splits).manifest["leaks"] == []


@pytest.mark.parametrize("workers", [0, 2])
def test_whatever_goes_wrong_with_an_item_it_alone_is_left_out(tmp_path, workers):
    odd = [*ERRORS, *ODD]
    items = make_items(tmp_path / "a", [*range(100, 104), *odd, *range(200, 204)])
    data = prepare(tmp_path, {"train": items}, Work(workers), max_dropped=0.9)
    assert data.array("train", "value")[:, 0].tolist() == [100, 101, 102, 103, 200, 201, 202, 203]
    dropped = {entry["id"]: entry["reason"] for entry in data.manifest["dropped"]}
    assert list(dropped) == sorted(f"a/{4 + place}" for place in range(len(odd)))
    reasons = [dropped[f"a/{4 + place}"] for place in range(len(odd))]
    for reason, part in zip(
        reasons,
        [
            "AssertionError: window size is larger than",
            "AttributeError",
            "too much memory",
            "IndexError",
            "RuntimeError",
        ],
        strict=False,
    ):
        assert part in reason
    assert reasons[6] == "the file is missing"
    assert "NaN" in reasons[7]
    assert "expected float32 (3,)" in reasons[8]
    assert all("\n" not in reason for reason in reasons)


def test_batches_of_which_every_item_is_dropped_are_no_trouble(tmp_path):
    # Appends are of 64 rows: the first is all dropped, and so is the last, lone item.
    data = prepare(tmp_path, {"train": make_items(tmp_path / "a", [13] * 64 + [1, 2] * 32 + [13])}, max_dropped=0.9)
    assert data.size("train") == 64


def test_a_class_of_which_no_item_is_left_is_an_error_that_names_it(tmp_path):
    items = make_items(tmp_path / "a", [1, 13, 3, 13, 5, 13])
    with pytest.raises(UserError, match=r"train: no item is left of 1 classes of label: odd \(3\); unlucky\. Do this"):
        prepare(tmp_path, {"train": items}, max_dropped=1.0)


def test_a_split_of_which_no_item_is_left_is_an_error(tmp_path):
    with pytest.raises(UserError, match="train: none of its 2 items"):
        prepare(tmp_path, {"train": make_items(tmp_path / "a", [13, 13])}, max_dropped=1.0)


@dataclasses.dataclass(frozen=True)
class Damaged:
    def __call__(self, item):
        return {**Reader()(item), "faults": ["cut short"] if item.id == "a/1" else []}


def test_what_is_used_although_damaged_is_noted(tmp_path):
    data = prepare(tmp_path, {"train": make_items(tmp_path / "a", range(4))}, reader=Damaged())
    assert data.size("train") == 4
    assert data.manifest["faults"] == [{"fault": "cut short", "id": "a/1", "split": "train"}]


def test_files_that_changed_since_an_interrupted_attempt_are_read_again(tmp_path):
    splits = {"train": make_items(tmp_path / "a", range(100, 300))}

    def stop(split, count, total):
        if count == 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, splits, Work(0, stop))
    splits["train"][3].files[0].write_text("777")
    assert prepare(tmp_path, splits).array("train", "value")[3, 0] == 777


def test_the_manifest_has_one_digest_of_everything_that_was_read(tmp_path):
    def digest(folder, numbers):
        return prepare(tmp_path / folder, {"train": make_items(tmp_path / folder / "a", numbers)}).manifest["raw"]

    first = digest("one", [1, 2, 3, 4])
    assert digest("same", [1, 2, 3, 4]) == first
    assert digest("other", [1, 2, 3, 5]) != first
    assert digest("swapped", [2, 1, 3, 4]) != first


MEGABYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Large:
    """Eight megabytes per item."""

    def __call__(self, item):
        return {"value": np.full(8 * MEGABYTE, int(item.files[0].read_text()), np.uint8)}


def test_memory_is_a_few_items_whatever_the_size_of_the_dataset(tmp_path):
    import tracemalloc

    count = 30
    items = make_items(tmp_path / "items", range(count))
    store = ArrayStore(tmp_path / "toy.k", dataset="toy", key="k", settings={})
    store.modality("value", shape=(8 * MEGABYTE,), dtype="uint8")
    store.target("label", names=["even", "odd"])
    store.extra("length")
    tracemalloc.start()
    try:
        with store:
            prepare_items(store, {"train": items}, WithLength(), Work(), max_dropped=0.0, how_to_get="")
            measure(store, "value", lengths="length")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    data = PreparedData.open(tmp_path / "toy.k")
    assert data.array("train", "value").nbytes == count * 8 * MEGABYTE
    assert data.array("train", "value")[:, -1].tolist() == list(range(count))
    # An append holds some items twice; the arrays take 240 MB.
    assert peak < 120 * MEGABYTE


@dataclasses.dataclass(frozen=True)
class WithLength:
    def __call__(self, item):
        return {**Large()(item), "length": np.int64(MEGABYTE)}


def test_who_is_in_a_clip_is_kept_beside_its_label(tmp_path):
    alone, shared = make_items(tmp_path / "a", [1, 2, 3]), make_items(tmp_path / "b", [4, 5], group="one speaker")
    items = [*alone, *shared, *(dataclasses.replace(item, id=f"{item.id}-none", group="") for item in alone[:2])]
    data = prepare(tmp_path, {"train": items, "test": items[:2]})
    groups = data.array("train", "group").tolist()
    assert len(set(groups)) == 6, "the two of one speaker are one group, and a clip of nobody is one of its own"
    assert groups[3] == groups[4]
    assert data.array("test", "group").tolist() == groups[:2], "in every split the same number"
