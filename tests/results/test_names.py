"""A number's name leads to its place in the layout, and a wrong one to the nearest that is there."""

from __future__ import annotations

import pytest
from made_results import MadeResults

from counterpoise.errors import UserError
from counterpoise.results.names import find_values, value_name


@pytest.fixture(scope="module")
def layout():
    return MadeResults(
        "mmpareto", {"table3": {"cg_mnist": "cg_mnist"}}, variants={"mmpareto": ["published", "released"]}
    ).layout


def names(layout, name: str) -> list[str]:
    return [value_name(value) for value in find_values(layout, name)]


@pytest.mark.parametrize("row", ["Uniform baseline", "uniform_baseline", "UNIFORM BASELINE", "uniform"])
def test_a_row_is_named_as_printed_or_in_other_letters_or_by_its_method(layout, row):
    assert names(layout, f"mmpareto.table3.{row}.cg_mnist.accuracy") == [
        "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"
    ]


def test_a_row_of_several_variants_is_several_numbers_unless_one_is_chosen(layout):
    both = names(layout, "mmpareto.table3.MMPareto.cg_mnist.accuracy")
    assert both == [f"mmpareto.table3.MMPareto@{v}.cg_mnist.accuracy" for v in ("published", "released")]
    for chosen in ("MMPareto@released", "MMPareto (released)", "MMPareto [released]"):
        assert names(layout, f"mmpareto.table3.{chosen}.cg_mnist.accuracy") == both[1:]


def test_every_name_that_is_given_leads_back(layout):
    for value in layout.values:
        assert find_values(layout, value_name(value)) == [value]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mmpareto.table3", "must be <paper>.<table>.<row>.<column>"),
        ("mmpareta.table3.MMPareto.cg_mnist.accuracy", "mmpareto"),
        ("mmpareto.table2.MMPareto.cg_mnist.accuracy", "table3"),
        ("mmpareto.table3.MMParetto.cg_mnist.accuracy", "did you mean 'MMPareto'"),
        ("mmpareto.table3.MMPareto.cg_mnist.acuracy", "did you mean 'cg_mnist.accuracy'"),
        ("mmpareto.table3.MMPareto@relesed.cg_mnist.accuracy", "did you mean 'released'"),
        ("mmpareto.table3.Uniform baseline@released.cg_mnist.accuracy", "'released'"),
    ],
)
def test_a_wrong_name_says_which_part_and_what_is_near(layout, name, said):
    with pytest.raises(UserError) as caught:
        find_values(layout, name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
