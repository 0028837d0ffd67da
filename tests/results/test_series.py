"""Series of runs are read plain or gzipped, and what is none is named."""

from __future__ import annotations

import gzip
import math

import pytest

from counterpoise.errors import UserError
from counterpoise.results import series
from counterpoise.results.series import read_series

TEXT = "epoch,loss\n0,1.5\n1,\n"


def test_columns_are_numbers_and_an_empty_field_is_none(tmp_path):
    (tmp_path / "history.csv").write_text(TEXT)
    found = read_series(tmp_path / "history.csv")
    assert found["epoch"].tolist() == [0.0, 1.0]
    assert found["loss"][0] == 1.5
    assert math.isnan(found["loss"][1])


def test_a_gzipped_series_stands_in_for_a_plain_one(tmp_path):
    (tmp_path / "history.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert read_series(tmp_path / "history.csv")["epoch"].tolist() == [0.0, 1.0]
    (tmp_path / "history.csv").write_text("epoch\n7\n")
    assert read_series(tmp_path / "history.csv")["epoch"].tolist() == [7.0]


def test_a_series_that_is_not_there_has_no_columns(tmp_path):
    assert read_series(tmp_path / "history.csv") == {}


def test_a_header_alone_has_columns_without_rows(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n")
    assert {name: values.shape for name, values in read_series(tmp_path / "history.csv").items()} == {
        "epoch": (0,),
        "loss": (0,),
    }


@pytest.mark.parametrize("content", [b"", b"epoch\nnone\n", b"epoch,loss\n0\n", b"\xff\xfe\x00"])
def test_what_is_no_table_of_numbers_is_refused_by_name(tmp_path, content):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"history\.csv"):
        read_series(tmp_path / "history.csv")


def test_a_torn_archive_and_one_that_unpacks_to_too_much_are_refused_by_name(tmp_path, monkeypatch):
    packed = tmp_path / "history.csv.gz"
    packed.write_bytes(gzip.compress(TEXT.encode())[:-6])
    with pytest.raises(UserError, match=r"history\.csv\.gz"):
        read_series(tmp_path / "history.csv")
    monkeypatch.setattr(series, "LARGEST", 1000)
    packed.write_bytes(gzip.compress(b"epoch\n" + b"0\n" * 1000))
    with pytest.raises(UserError, match=r"history\.csv\.gz"):
        read_series(tmp_path / "history.csv")
