"""Pickles: arrays come out, nothing runs."""

import os
import pickle

import numpy as np
import pytest

from counterpoise.data.pickles import load_object_array, load_pickle
from counterpoise.errors import UserError


class Calls:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


DATA = {"train": {"text": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "id": ["a"], "n": np.int64(3)}}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_in_containers_are_read(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(DATA, protocol))
    found = load_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(found["train"]["text"], DATA["train"]["text"])
    assert found["train"]["n"] == 3


def test_a_pickle_that_calls_something_is_refused_before_it_does(tmp_path):
    mark = tmp_path / "was-here"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": Calls(mark)}))
    with pytest.raises(UserError, match="system"):
        load_pickle(tmp_path / "a.pkl")
    assert not mark.exists()


@pytest.mark.parametrize("text", [b"cbuiltins\neval\n(S'1'\ntR.", b"cnumpy\nload\n(S'/etc/passwd'\ntR."])
def test_functions_of_allowed_packages_are_refused_too(tmp_path, text):
    (tmp_path / "a.pkl").write_bytes(text)
    with pytest.raises(UserError, match="has no need of"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(DATA)[:50]])
def test_what_is_no_whole_pickle_is_named(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.pkl"):
        load_pickle(tmp_path / "a.pkl")


def test_a_missing_pickle_is_named(tmp_path):
    with pytest.raises(UserError, match="is not there"):
        load_pickle(tmp_path / "a.pkl")


def test_the_object_in_an_npy_file_is_read_the_same_way(tmp_path):
    np.save(tmp_path / "a.npy", DATA, allow_pickle=True)
    found = load_object_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(found["train"]["text"], DATA["train"]["text"])
    np.save(tmp_path / "b.npy", {"x": Calls(tmp_path / "was-here")}, allow_pickle=True)
    with pytest.raises(UserError, match="system"):
        load_object_array(tmp_path / "b.npy")
    assert not (tmp_path / "was-here").exists()
    np.save(tmp_path / "c.npy", np.arange(3))
    with pytest.raises(UserError, match="not of objects"):
        load_object_array(tmp_path / "c.npy")
