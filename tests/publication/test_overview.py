"""The picture of a published table shows the numbers that are beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.collections import PathCollection

from counterpoise.judging.compare import Comparison, judge
from counterpoise.publication.overview import draw_tables, table_picture
from counterpoise.publication.record import read_published


def points(axes) -> dict[str, list[float]]:
    found = [part for part in axes.collections if isinstance(part, PathCollection)]
    return {part.get_label(): sorted(part.get_offsets()[:, 0].tolist()) for part in found}


@pytest.fixture
def comparison(record) -> Comparison:
    read = read_published(record)
    return judge(read.papers["mmpareto"], read.results)


def accuracy(comparison: Comparison):
    rows = [row for row in comparison.rows_of("table3") if row.entry.column.id == "cg_mnist.accuracy"]
    return [row for row in rows if row.entry.ours is not None]


def test_every_seed_and_every_mean_is_where_its_number_is(comparison):
    picture = table_picture(comparison.paper.table("table3"), comparison.rows_of("table3"))
    shown, rows = points(picture.axes[0]), accuracy(comparison)
    seeds = sorted(value for row in rows for value in row.entry.ours.finished.values())
    assert shown["one seed"] == pytest.approx(seeds)
    assert shown["our mean"] == pytest.approx(sorted(row.number.mean for row in rows))
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == [row.entry.label for row in rows]


def test_a_printed_number_is_shown_only_where_it_may_be_compared(comparison):
    table, rows = comparison.paper.table("table3"), comparison.rows_of("table3")
    assert "printed" not in points(table_picture(table, rows).axes[0])
    compared = [replace(row, entry=replace(row.entry, stand_in=False)) for row in rows]
    shown = points(table_picture(table, compared).axes[0])
    assert set(shown["printed"]) == {row.entry.printed.value for row in accuracy(comparison)}


def test_pictures_are_the_same_to_the_byte_when_drawn_again(comparison, tmp_path):
    paths = draw_tables([comparison], tmp_path)
    first = [path.read_bytes() for path in paths]
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert [path.read_bytes() for path in draw_tables([comparison], tmp_path)] == first


def test_a_table_without_numbers_of_ours_has_no_picture(comparison):
    assert table_picture(comparison.paper.table("table5"), comparison.rows_of("table5")) is None
