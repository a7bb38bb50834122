"""CUPTI's own records: from the start of a call's first kernel to the end of its last."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

_REPEATS, _WARM_CALLS, _FORCED = 30, 3, 1
_FLUSH_BYTES, _BUFFER_BYTES = 2**28, 8 * 2**20


def measure(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median span of each call in seconds; gaps between its kernels count."""
    import torch
    from cupti import cupti

    kinds = [cupti.ActivityKind.CONCURRENT_KERNEL, cupti.ActivityKind.MEMCPY]
    kinds.append(cupti.ActivityKind.MEMSET)
    records: list[tuple[int, int]] = []

    def completed(activities: list) -> None:
        records.extend((one.start, one.end) for one in activities if one.kind in kinds)

    cupti.activity_register_callbacks(lambda: (_BUFFER_BYTES, 0), completed)
    for kind in kinds:
        cupti.activity_enable(kind)
    buffer = torch.empty(_FLUSH_BYTES, dtype=torch.uint8, device="cuda")

    def span_s(call: Callable[[], object]) -> float:
        buffer.zero_()
        torch.cuda.synchronize()
        cupti.activity_flush_all(_FORCED)
        records.clear()
        call()
        torch.cuda.synchronize()
        cupti.activity_flush_all(_FORCED)
        return (max(end for _, end in records) - min(start for start, _ in records)) * 1e-9

    found = {}
    for name, call in calls.items():
        for _ in range(_WARM_CALLS):
            call()
        found[name] = statistics.median(span_s(call) for _ in range(_REPEATS))
    for kind in kinds:
        cupti.activity_disable(kind)
    return found
