"""A latency over processes, ties between two of them, and means over many cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnbench.stats.latency import (
    Latency,
    geometric_mean,
    is_tie,
    latencies_of,
    mean_ratio,
    over_processes,
)


def test_a_latency_is_the_geometric_mean_of_its_processes():
    found = over_processes([1.0, 4.0])

    assert found.seconds == pytest.approx(2.0)
    assert (found.low, found.high, found.half_width) == (None, None, None)


def test_from_three_processes_on_there_is_a_t_interval_on_the_log_scale():
    found = over_processes([math.exp(x) for x in (0.0, 1.0, 2.0)])

    # t(0.975, 2) = 4.302653, standard error 1/sqrt(3)
    assert math.log(found.low) == pytest.approx(1 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert math.log(found.high) == pytest.approx(1 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_equal_processes_have_an_interval_of_no_width():
    assert over_processes([3.0, 3.0, 3.0]).half_width == pytest.approx(0.0)


def test_many_cases_at_once_have_the_latencies_that_each_has():
    log = np.random.default_rng(1).normal(-11, 0.1, (4, 5))
    log[1, 2:], log[2, 1:], log[3] = np.nan, np.nan, np.nan

    found = latencies_of(log)

    for row, one in zip(log[:3], found, strict=False):
        expected = over_processes(np.exp(row[np.isfinite(row)]).tolist())
        assert one.seconds == pytest.approx(expected.seconds)
        assert (one.low, one.high) == pytest.approx((expected.low, expected.high))
        assert one.half_width == pytest.approx(expected.half_width)
        assert one.processes == expected.processes
    assert found[3] is None


def test_a_geometric_mean_is_scipys():
    gmean = pytest.importorskip("scipy.stats").gmean

    assert geometric_mean([1.0, 2.0, 8.0]) == pytest.approx(gmean([1.0, 2.0, 8.0]))


def test_a_mean_ratio_is_over_matched_cases_with_the_missing_counted():
    one, two, four = (over_processes([seconds]) for seconds in (1.0, 2.0, 4.0))

    found = mean_ratio([one, two, None, four], [two, four, one, None])

    assert (found.ratio, found.n, found.missing) == (pytest.approx(2), 2, 2)
    assert mean_ratio([None], [one]).ratio is None
    with pytest.raises(ValueError, match="argument"):
        mean_ratio([one], [])


def latency(centre, reach=0.0):
    low, high = (None, None) if reach is None else (centre * (1 - reach), centre * (1 + reach))
    return Latency(seconds=centre, low=low, high=high, half_width=reach, processes=3)


@pytest.mark.parametrize(
    ("best", "other", "tied"),
    [
        (latency(1.0), latency(1.019), True),  # under 2 %
        (latency(1.0), latency(1.021), False),
        (latency(1.0, 0.05), latency(1.08, 0.05), True),  # the intervals overlap
        (latency(1.0, 0.01), latency(1.08, 0.01), False),
        (latency(1.0, None), latency(1.03, None), False),  # without an interval 2 % alone decide
        (latency(1.0, None), latency(1.01, None), True),
        (latency(1.0, 0.5), latency(1.03, None), False),
    ],
)
def test_a_win_is_one_when_it_is_large_and_sure(best, other, tied):
    assert is_tie(best, other) is tied


def test_a_caller_may_ask_for_more_where_there_is_no_interval():
    alone, other = latency(1.0, None), latency(1.08, None)

    assert is_tie(alone, other, without_interval=0.1)
    assert not is_tie(latency(1.0, 0.001), latency(1.08, 0.001), without_interval=0.1)
