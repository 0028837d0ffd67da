"""The picture of a published table shows the numbers that stand beside it."""

from __future__ import annotations

import csv
import io

import pytest
from matplotlib.collections import PathCollection

from counterpoise.publication.overview import draw_tables, table_picture
from counterpoise.publication.record import read_published


def points(axes) -> dict[str, list[float]]:
    found = [part for part in axes.collections if isinstance(part, PathCollection)]
    return {part.get_label(): sorted(part.get_offsets()[:, 0].tolist()) for part in found}


def rows(path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.fixture
def table(record):
    return read_published(record).plan.papers["mmpareto"].table("table3")


def test_every_seed_and_every_mean_is_where_its_number_is(record, table):
    picture = table_picture(table, record / "comparison")
    shown = points(picture.axes[0])
    column = "cg_mnist.accuracy"
    seeds = [r for r in rows(record / "comparison/mmpareto.seeds.csv") if r["column"] == column]
    assert shown["one seed"] == pytest.approx(sorted(float(row["value"]) for row in seeds))
    ours = [r for r in rows(record / "comparison/mmpareto.csv") if r["column"] == column and r["mean"]]
    assert shown["our mean"] == pytest.approx(sorted(float(row["mean"]) for row in ours))
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == [row["row"] for row in ours]


def test_a_printed_number_is_shown_only_where_it_may_be_compared(record, table):
    assert "printed" not in points(table_picture(table, record / "comparison").axes[0])
    path = record / "comparison/mmpareto.seeds.csv"
    changed = rows(path)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(changed[0]))
        writer.writeheader()
        writer.writerows({**row, "stand_in": "no"} for row in changed)
    shown = points(table_picture(table, record / "comparison").axes[0])
    accuracy = next(column for column in table.columns if column.id == "cg_mnist.accuracy")
    names = {row["row"].partition(" [")[0] for row in changed}
    printed = [float(table.value(name, accuracy.id).printed) for name in names]
    assert set(shown["printed"]) == set(printed)


def test_pictures_are_the_same_to_the_byte_when_drawn_again(record):
    paths = draw_tables(read_published(record).plan, record)
    first = [path.read_bytes() for path in paths]
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert [path.read_bytes() for path in draw_tables(read_published(record).plan, record)] == first


def test_a_table_without_numbers_of_ours_has_no_picture(record):
    other = read_published(record).plan.papers["mmpareto"].table("table5")
    assert table_picture(other, record / "comparison") is None
