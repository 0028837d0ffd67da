"""A run's files are read plain, gzipped or compact, and are those on record or an error."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from counterpoise.errors import UserError
from counterpoise.metrics import Classification, metrics_of
from counterpoise.results.arrays import pack_arrays
from counterpoise.results.run_files import COMPACT, PREDICTIONS, compact, expand, read_predictions, read_run_file


def values_of(logits: np.ndarray, labels: np.ndarray, bins: int) -> dict[str, float]:
    output = Classification(logits=logits, labels=labels, ece_bins=bins)
    return {metric.name: metric.compute(output) for metric in metrics_of("classification")}


@settings(max_examples=200, deadline=None)
@given(
    logits=arrays_of.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 12)),
        elements=st.one_of(st.sampled_from([0.0, 1.0, -1.0, 100.0, 3e38, -3e38]), st.floats(-20, 20, width=32)),
    ),
    bins=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_every_metric_comes_out_of_classes_and_confidences_as_of_logits(logits, bins, seed):
    labels = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
    small = compact({"last.logits.joint": logits, "labels.digit": labels}, bins)
    assert small["last.confidence.joint"].dtype == np.float32
    again = expand(small, "x")
    np.testing.assert_array_equal(again["labels.digit"], labels)
    np.testing.assert_array_equal(again["last.logits.joint"].argmax(axis=1), logits.argmax(axis=1))
    before, after = values_of(logits, labels, bins), values_of(again["last.logits.joint"], labels, bins)
    assert after == pytest.approx(before, abs=1e-6)


def test_a_confidence_on_the_edge_of_a_bin_stays_in_its_bin():
    """Two equal logits are 0.5 sure, and so on: an edge of even bins, where one bit decides."""
    for classes in (2, 3, 4, 5, 8, 10):
        logits = np.zeros((7, classes), np.float32)
        labels = np.zeros(7, np.int64)
        for bins in range(1, 21):
            again = expand(compact({"last.logits.joint": logits}, bins), "x")["last.logits.joint"]
            one, other = (Classification(logits=each, labels=labels, ece_bins=bins) for each in (logits, again))
            np.testing.assert_array_equal(other.calibration[:, 0], one.calibration[:, 0])


def test_ten_classes_take_an_eighth_before_packing():
    logits = np.random.default_rng(0).normal(size=(1000, 10)).astype(np.float32)
    small = compact({"last.logits.joint": logits}, 15)
    assert sum(array.nbytes for array in small.values()) <= logits.nbytes / 8 + 8


def test_dense_outputs_and_labels_stay_as_they_are():
    given = {"labels.digit": np.arange(3), "last.statistics.segmentation": np.eye(3)}
    assert list(expand(compact(given, 15), "x")) == list(given)


@pytest.mark.parametrize(
    "change",
    [
        {"last.confidence.joint": np.full(3, 1.5, np.float32)},
        {"last.confidence.joint": np.full(3, np.nan, np.float32)},
        {"last.confidence.joint": np.full(2, 0.5, np.float32)},
        {"last.predicted.joint": np.array([0, 1, 9])},
        {"last.predicted.joint": np.array([0, 1, -1])},
        {"last.predicted.joint": np.zeros((3, 1), int)},
        {"last.classes.joint": np.array(0)},
        {"last.classes.joint": np.array(10**12)},
        {"last.classes.joint": np.array([4])},
        {"last.classes.joint": np.array(4.5)},
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(change):
    small = compact({"last.logits.joint": np.eye(4, dtype=np.float32)[:3]}, 15)
    with pytest.raises(UserError, match=r"x: .*last\.predicted\.joint"):
        expand({**small, **change}, "x")


def test_a_file_is_read_plain_or_gzipped_and_is_the_one_on_record(tmp_path):
    sha256 = hashlib.sha256(b"epoch\n1\n").hexdigest()
    assert read_run_file(tmp_path, "history.csv", sha256) is None
    (tmp_path / "history.csv.gz").write_bytes(gzip.compress(b"epoch\n1\n"))
    assert read_run_file(tmp_path, "history.csv", sha256) == b"epoch\n1\n"
    (tmp_path / "history.csv").write_bytes(b"epoch\n2\n")  # the plain one comes first
    with pytest.raises(UserError, match=r"history\.csv: was changed or truncated"):
        read_run_file(tmp_path, "history.csv", sha256)


def test_full_predictions_come_before_compact_ones(tmp_path):
    logits = np.eye(4, dtype=np.float32)
    data = pack_arrays({"last.logits.joint": logits})
    sha256 = hashlib.sha256(data).hexdigest()
    assert read_predictions(tmp_path, sha256) is None
    (tmp_path / COMPACT).write_bytes(pack_arrays(compact({"last.logits.joint": logits}, 15)))
    assert read_predictions(tmp_path, sha256)["last.logits.joint"].dtype == np.float64
    (tmp_path / PREDICTIONS).write_bytes(data)
    np.testing.assert_array_equal(read_predictions(tmp_path, sha256)["last.logits.joint"], logits)
    with pytest.raises(UserError, match="its digest is not the one on record"):
        read_predictions(tmp_path, "0" * 64)
