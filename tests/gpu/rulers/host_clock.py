"""The host's clock around a call and the synchronisation after it: what needs no library at all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

_REPEATS, _WARM_CALLS = 20, 3


def measure(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median of each call in seconds; launching and waking up are in it."""
    import torch

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None

    def once_s(call: Callable[[], object]) -> float:
        wait()
        start = time.perf_counter()
        call()
        wait()
        return time.perf_counter() - start

    found = {}
    for name, call in calls.items():
        for _ in range(_WARM_CALLS):
            call()
        found[name] = statistics.median(once_s(call) for _ in range(_REPEATS))
    return found
