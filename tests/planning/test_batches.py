"""Batches of seeds share a rule where they end alike, and every batch is found again exactly once."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from counterpoise.planning.batches import batch_shapes


def batches_of(seeds: list[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(seeds[start : start + size]) for start in range(0, len(seeds), size)]


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=60), st.integers(1, 7))
def test_the_shapes_hold_every_batch_once_and_nothing_else(seeds, size):
    batches = batches_of(seeds, size)
    shapes = batch_shapes(batches)
    found = [shape.seeds(stem) for shape in shapes for stem in shape.stems]
    assert sorted(found) == sorted(batches)


@given(st.integers(1, 400), st.sampled_from([1, 2, 5, 10]))
def test_however_many_batches_of_a_size_that_divides_ten_take_few_shapes(count, size):
    assert len(batch_shapes(batches_of(list(range(count * size)), size))) <= 10 // size + (size == 10)


def test_batches_across_a_carry_keep_all_their_digits():
    shapes = batch_shapes([(8, 9, 10), (18, 19, 20), (98, 99, 100), (118, 119, 120)])
    assert [shape.endings for shape in shapes] == [("8", "9", "10"), ("18", "19", "20"), ("98", "99", "100")]
    assert shapes[1].stems == ("", "1")


def test_the_pattern_of_a_shape_matches_its_stems_alone():
    (shape,) = batch_shapes([(0, 1), (10, 11), (120, 121)])
    for stem in ("", "1", "12"):
        assert re.fullmatch(shape.pattern, stem)
    for other in ("0", "2", "121"):
        assert not re.fullmatch(shape.pattern, other)
