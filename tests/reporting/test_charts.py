"""Charts put numbers where their axes say, and keep what they leave out small."""

from __future__ import annotations

import re

import numpy as np
import pytest

from counterpoise.reporting.pages.charts import (
    MOST_POINTS,
    Axis,
    Values,
    confusion,
    dot_plot,
    line_chart,
    mean_of,
    reliability_chart,
    strip,
    thinned,
)


def points(path: str) -> np.ndarray:
    """The absolute points of a path, in units of the chart."""
    numbers = np.array([int(number) for number in re.findall(r"-?\d+", path)]).reshape(-1, 2)
    return np.cumsum(numbers, axis=0) / 10


def test_a_line_passes_through_its_points():
    values = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 0.1, 0.9, 0.4]])
    chart = line_chart("t", {"a": [values]}, "epoch", "loss")
    drawn = points(chart.lines[0].mean)
    for x, y, place in zip(*values, drawn, strict=True):
        assert place == pytest.approx([chart.x(x), chart.y(y)], abs=0.11)


def test_each_seed_has_its_path_and_the_mean_is_theirs():
    seeds = [np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 2.0], [1.0, 2.0]])]
    chart = line_chart("t", {"a": seeds}, "epoch", "loss")
    assert len(chart.lines[0].seeds) == 2
    assert mean_of(seeds).tolist() == [[1.0, 2.0], [0.5, 1.5]]


def test_seeds_of_different_lengths_are_averaged_where_all_are():
    seeds = [np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 9.0]]), np.array([[1.0, 2.0], [1.0, 2.0]])]
    assert mean_of(seeds).tolist() == [[1.0, 2.0], [0.5, 1.5]]


def test_gaps_and_infinities_are_left_out():
    values = np.array([[1.0, 2.0, 3.0], [0.5, np.nan, np.inf]])
    chart = line_chart("t", {"a": [values]}, "epoch", "loss")
    assert chart.y.high < 1
    assert line_chart("t", {"a": [values[:, 1:]]}, "epoch", "loss") is None


@pytest.mark.parametrize("length", [1, 99, 100, 101, 250, 10_000])
def test_long_lines_become_means_of_stretches(length):
    values = np.stack([np.arange(length, dtype=float), np.ones(length)])
    found = thinned(values)
    assert found.shape[1] == min(length, MOST_POINTS)
    assert found[1] == pytest.approx(np.ones(found.shape[1]))
    assert (np.diff(found[0]) > 0).all()


def axis(low: float, high: float, whole: bool = False) -> Axis:
    return Axis(low=low, high=high, start=0, end=100, label="loss", whole=whole)


def test_ticks_are_round_and_inside_the_axis():
    ticks = axis(0.0, 0.93).ticks
    assert [tick.text for tick in ticks] == ["0", "0.2", "0.4", "0.6", "0.8"]
    assert all(0 <= tick.at <= 100 for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high"), [(-1, 1), (0, 1e-9), (54.2, 88.8), (1e6, 1.1e6), (-3e-5, 2e-5), (99.999, 100.0)]
)
def test_an_axis_of_any_size_has_a_few_ticks(low, high):
    ticks = axis(low, high).ticks
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-6 * (high - low) <= float(tick.text) <= high + 1e-6 * (high - low) for tick in ticks)


def test_epochs_have_whole_ticks():
    for last in (2, 4, 7, 100):
        ticks = axis(1, last, whole=True).ticks
        assert len(ticks) >= 2
        assert all("." not in tick.text for tick in ticks)


def test_confusion_adds_the_seeds_and_shades_by_row():
    one = np.array([[3, 1], [0, 2]])
    found = confusion("joint", [one, one], ["cat", "dog"])
    assert found.counts == ((6, 2), (0, 4))
    assert found.levels == ((6, 2), (0, 8))
    assert found.right == pytest.approx(10 / 12)
    assert found.worst == (("cat", "dog", 2, 0.25),)


def test_without_names_classes_have_numbers():
    assert confusion("joint", [np.eye(3, dtype=int)], []).names == ("0", "1", "2")


def test_reliability_pools_seeds_by_their_counts():
    one = np.array([[10, 0.2, 0.4], [0, np.nan, np.nan]])
    two = np.array([[30, 0.4, 0.0], [4, 0.9, 1.0]])
    chart = reliability_chart("joint", [one, two], [(0, 1.0), (1, 2.0)])
    low, high = chart.bins
    assert (low.count, low.confidence, low.accuracy) == (40, pytest.approx(35.0), pytest.approx(10.0))
    assert (high.low, high.high, high.accuracy) == (50.0, 100.0, 100.0)


def test_without_predictions_there_is_no_reliability_diagram():
    assert reliability_chart("joint", [np.array([[0, np.nan, np.nan]])], []) is None


def test_a_dot_plot_shows_rows_that_ran_in_their_order():
    rows = [Values(label="a", seeds=[1.0, 3.0], mean=2.0, low=0.0, high=4.0, printed=5.0), Values(label="b", seeds=[])]
    plot = dot_plot("column", rows, "accuracy, %")
    assert [row.label for row in plot.rows] == ["a"]
    row = plot.rows[0]
    assert row.low < row.seeds[0] < row.mean < row.seeds[1] < row.high < row.printed
    assert dot_plot("column", rows[1:], "accuracy, %") is None


def test_the_margin_is_drawn_around_the_printed_value_and_is_on_the_axis():
    row = Values(label="a", seeds=[1.0], mean=1.0, printed=3.0, margin=2.0)
    plot = dot_plot("column", [row], "accuracy, %")
    low, high = plot.rows[0].band
    assert (low + high) / 2 == pytest.approx(plot.rows[0].printed, abs=0.1)
    assert low == pytest.approx(plot.x(1.0))
    assert plot.x.start <= low < high <= plot.x.end
    without = dot_plot("column", [Values(label="a", seeds=[1.0], mean=1.0, margin=2.0)], "accuracy, %")
    assert without.rows[0].band is None


def test_a_strip_puts_differences_where_its_axis_says_and_piles_up_equal_ones():
    chart = strip([(1.0, "reproduced"), (1.0, "reproduced"), (-3.0, "deviates")], 2.0, "points")
    assert sorted(dot.x for dot in chart.dots) == [chart.x(-3.0), chart.x(1.0), chart.x(1.0)]
    assert len({(dot.x, dot.y) for dot in chart.dots}) == 3
    assert chart.band == (chart.x(-2.0), chart.x(2.0))
    assert "3 differences" in chart.summary
    assert "from -3.00 to +1.00 points" in chart.summary
    assert strip([], 2.0, "points") is None


def test_a_strip_of_no_differences_at_all_has_an_axis():
    chart = strip([(0.0, "reproduced")], None, "points")
    assert chart.dots[0].x == chart.x(0.0) == 150
