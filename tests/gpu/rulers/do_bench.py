"""Triton's own timer: events around each call, a buffer of the cache's size zeroed before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_WARMUP_MS, _REP_MS = 50, 300


def measure(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median of each call in seconds."""
    from triton.testing import do_bench

    return {
        name: 1e-3 * do_bench(call, warmup=_WARMUP_MS, rep=_REP_MS, return_mode="median")
        for name, call in calls.items()
    }
