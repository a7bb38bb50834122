"""Warming up until the times are flat: caches, clocks and allocators settle before samples count.

A slope test after pyperf's: the two halves of the last calls must agree. Where they never do (a
clock that keeps sinking) a limit ends it, and the samples show the rest as noise or drift.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

FEWEST_CALLS = 3
WINDOW = 20
FLAT = 0.01  # relative difference between the medians of the window's halves
LONGEST = 3  # times warmup_s


def is_warm(times: Sequence[float], elapsed_s: float, warmup_s: float) -> bool:
    """Say whether to stop: ``warmup_s`` and 3 calls at least, then flat or three times as long."""
    if len(times) < FEWEST_CALLS or elapsed_s < warmup_s:
        return False
    return is_flat(times) or elapsed_s >= LONGEST * warmup_s


def is_flat(times: Sequence[float]) -> bool:
    """Say whether the two halves of the last 20 times agree within 1 %; fewer say nothing."""
    if len(times) < WINDOW:
        return False
    half = WINDOW // 2
    before = statistics.median(times[-WINDOW:-half])
    after = statistics.median(times[-half:])
    return abs(after - before) <= FLAT * before


def warm_up(sample: Callable[[], float], clock_ns: Callable[[], int], warmup_s: float) -> float:
    """Sample until warm; return how many seconds that took."""
    start = clock_ns()
    times: list[float] = []
    while True:
        elapsed_s = (clock_ns() - start) * 1e-9
        if is_warm(times, elapsed_s, warmup_s):
            return elapsed_s
        times.append(sample())
