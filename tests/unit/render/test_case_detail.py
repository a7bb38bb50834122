from __future__ import annotations

import pytest

from attnbench.render.case_detail import histogram, sparkline


def test_a_sparkline_goes_from_the_lowest_to_the_highest():
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"


def test_equal_values_are_a_flat_line():
    assert sparkline([2.0, 2.0, 2.0]) == "▁▁▁"


@pytest.mark.parametrize("count", [1, 59, 60, 61, 200])
def test_a_sparkline_is_at_most_as_wide_as_it_may_be(count):
    assert len(sparkline(list(range(count)))) == min(count, 60)


def test_a_histogram_counts_every_value_once():
    bins = list(histogram([1, 1, 2, 3, 9, 9, 9]))

    assert sum(count for _, _, count, _ in bins) == 7
    assert bins[0][0] == 1
    assert bins[-1][1] == 9
    assert len(max(bins, key=lambda one: one[2])[3]) == 40


def test_a_histogram_of_one_value_is_one_bar():
    assert list(histogram([5.0, 5.0])) == [(5.0, 5.0, 2, "█" * 40)]
