"""What a plan may expect of its seeds is what the verdicts then give."""

from __future__ import annotations

import pytest

from counterpoise.judging.power import expected_verdicts


def test_the_counts_are_those_of_all_numbers_and_of_twenty_one_at_most_deviates_where_the_paper_is_right():
    for found in expected_verdicts([2.0] * 10 + [0.5] * 4, 5):
        assert found.within + found.deviates + found.neither == pytest.approx(14)
        assert found.deviates < 0.06 * 14


def test_more_seeds_and_less_spread_show_more():
    few, many = (expected_verdicts([2.0] * 10, n) for n in (3, 10))
    assert all(a.within <= b.within for a, b in zip(few, many, strict=True))
    assert [found.within for found in many] == sorted((found.within for found in many), reverse=True)
    assert [found.gap for found in many] == sorted(found.gap for found in many)


def test_one_seed_promises_nothing():
    assert expected_verdicts([2.0], 1) == []
