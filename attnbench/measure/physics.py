"""The physics check: a rate above what the device can do is not a result."""

from __future__ import annotations

from attnbench.cost import Cost
from attnbench.device.rates import Ceilings

# Room above a measured ceiling: a ceiling is a sample of the best, a CPU's clock wanders more.
TOLERANCE = {"cuda": 1.05, "cpu": 1.25}


def is_resident(working_set_bytes: int, llc_bytes: int | None, l2: str) -> bool:
    """Say whether everything a warm call touches fits in the last-level cache."""
    return l2 == "warm" and llc_bytes is not None and working_set_bytes < llc_bytes


def excess(
    cost: Cost,
    latency_s: float,
    ceilings: Ceilings,
    device_kind: str,
    *,
    cached_bytes: int | None,
) -> str | None:
    """Say which ceiling a latency would break, or None.

    ``cached_bytes`` is how much of the traffic the last-level cache may have served; None switches
    the bandwidth check off. The arithmetic check uses the best matrix rate of any dtype.
    """
    tolerance = TOLERANCE[device_kind]
    best_flops, best_bandwidth = ceilings.best_tflops, ceilings.peak_bandwidth_gbps
    tflops = cost.flops / latency_s / 1e12
    if best_flops is not None and tflops > tolerance * best_flops:
        return (
            f"{tflops:.3g} TFLOP/s, but the best matrix product here reaches {best_flops:.3g}: "
            "the call cannot have done the work"
        )
    if cached_bytes is None or best_bandwidth is None:
        return None
    gbps = max(0, cost.min_bytes - cached_bytes) / latency_s / 1e9
    if gbps > tolerance * best_bandwidth:
        return (
            f"{gbps:.4g} GB/s of memory traffic, but this device reaches {best_bandwidth:.4g}: "
            "the call cannot have read its inputs"
        )
    return None
