"""An archive of arrays is read only if it is what it says."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import UserError
from counterpoise.results import arrays


def archive(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return packed.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    """An ``.npy`` file with a header of one's own."""
    body = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + data


def test_arrays_are_read_back_and_packed_the_same_each_time():
    given = {"a|0|last|joint": np.arange(6).reshape(2, 3), "b": np.array([True, False]), "c": np.float32(1.5)}
    data = arrays.pack_arrays(given)
    assert arrays.pack_arrays(given) == data
    found = arrays.parse_arrays(data, "x")
    assert list(found) == list(given)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "member",
    [
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", bytes(8)),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999)}", bytes(8)),
        header("{'descr': '|O', 'fortran_order': False, 'shape': ()}", bytes(8)),
        header("{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        header("__import__('os').abort()"),
        b"no array",
        b"",
    ],
)
def test_an_array_that_is_not_what_its_header_says_is_refused(member):
    with pytest.raises(UserError, match="x: not an archive of arrays of numbers"):
        arrays.parse_arrays(archive(a=member), "x")


def test_an_archive_that_unpacks_to_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST", 1000)
    with pytest.raises(UserError, match="x: unpacks to more than 1,000 bytes"):
        arrays.parse_arrays(arrays.pack_arrays({"a": np.zeros(1000)}), "x")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_in_one_line_or_read(data):
    whole = bytearray(arrays.pack_arrays({"a": np.arange(50), "b": np.ones((3, 4))}))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        assert "\n" not in refusal(damaged)


def refusal(damaged: bytes) -> str:
    try:
        arrays.parse_arrays(damaged, "x")
    except UserError as error:
        return str(error)
    return ""
