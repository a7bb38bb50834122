from __future__ import annotations

import pytest

from attnbench.analysis.table import Latency
from attnbench.analysis.ties import is_tie


def latency(centre, reach=0.0):
    low, high = (None, None) if reach is None else (centre * (1 - reach), centre * (1 + reach))
    return Latency(centre=centre, low=low, high=high, processes=3)


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
