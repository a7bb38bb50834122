"""When a win is a win: one rule for the report's crossover map and for advice.

A win is a tie when it is under 2 %, or when the 95 % intervals between processes overlap.
"""

from __future__ import annotations

from attnbench.analysis.table import Latency

SMALLEST_WIN = 0.02


def is_tie(best: Latency, other: Latency, *, without_interval: float = SMALLEST_WIN) -> bool:
    """Whether ``best`` cannot be told from a slower ``other``.

    ``without_interval`` is the smallest win where one of them has no interval.
    """
    win = other.centre / best.centre - 1
    if best.high is None or other.low is None:
        return win < max(SMALLEST_WIN, without_interval)
    return win < SMALLEST_WIN or best.high >= other.low
