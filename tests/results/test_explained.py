"""Written explanations are read again, each from its benchmark's folder, and a damaged one is named."""

from __future__ import annotations

import pytest
from explained import effect, write_explanation

from counterpoise.errors import UserError
from counterpoise.results.explained import explanations_folder, read_explanations

NUMBER = "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"
CELL = "cg_mnist/conv4/uniform-published.000000000000"


def test_what_was_written_is_read_again(tmp_path):
    path = write_explanation(tmp_path, NUMBER, CELL, "mnist", effects=[effect("weaker", -1.0), effect("unknown")])
    ((where, found),) = read_explanations(explanations_folder(tmp_path, "mnist"), "mnist").items()
    assert where == path
    assert (found.name, found.cell, found.gap) == (NUMBER, CELL, 10.0)
    assert [one.title for one in found.known] == ["weaker"]
    assert [one.title for one in found.unknown] == ["unknown"]


def test_another_benchmark_has_its_own(tmp_path):
    write_explanation(tmp_path, NUMBER, CELL, "mnist")
    assert read_explanations(explanations_folder(tmp_path, "mosi"), "mosi") == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"schema": 1, "name"', "truncated"),
        ("[]", "mapping"),
        ('{"schema": 1, "benchmark": "mnist"}', "name"),
        ('{"schema": 2}', "schema"),
    ],
    ids=["torn", "a list", "incomplete", "of another schema"],
)
def test_a_damaged_explanation_is_named_in_one_line(tmp_path, content, what):
    path = write_explanation(tmp_path, NUMBER, CELL, "mnist")
    path.write_text(content)
    with pytest.raises(UserError, match=what) as caught:
        read_explanations(explanations_folder(tmp_path, "mnist"), "mnist")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    path = write_explanation(tmp_path, NUMBER, CELL, "mnist")
    path.write_text(path.read_text().replace('"gap": 10.0', '"gap": NaN'))
    with pytest.raises(UserError, match=r"NaN|gap"):
        read_explanations(explanations_folder(tmp_path, "mnist"), "mnist")


def test_an_explanation_in_the_folder_of_another_benchmark_is_refused(tmp_path):
    path = write_explanation(tmp_path, NUMBER, CELL, "mnist")
    path.write_text(path.read_text().replace('"mnist"', '"mosi"'))
    with pytest.raises(UserError, match="must be 'mnist'"):
        read_explanations(explanations_folder(tmp_path, "mnist"), "mnist")
