"""How a case ends: its status and reason, and the plausibility check against the ceilings.

A rate above what the device can reach is not a result.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from attnbench.cost import Cost
from attnbench.device.base import Driver
from attnbench.device.rates import Ceilings
from attnbench.errors import Unsupported

_REASON_LENGTH = 600


class TooSlow(Exception):
    """After the first calls, the case would clearly take far longer than its limit."""


class Incorrect(Exception):
    """The output did not pass the check."""


class Implausible(Exception):
    """The latency is impossible on this device."""


def outcome(error: Exception, driver: Driver) -> tuple[str, str]:
    """Return the status and the reason of a case that ended with this error."""
    if driver.is_out_of_memory(error):
        return "oom", _first_lines(error)
    status = {
        Unsupported: "unsupported",
        TooSlow: "skipped",
        Incorrect: "incorrect",
        Implausible: "implausible",
    }.get(type(error), "failed")
    if status != "failed":
        return status, str(error)
    return status, f"{type(error).__name__}: {_first_lines(error)} ({_where(error)})"


def _first_lines(error: Exception) -> str:
    """Return the message on one line, cut to a readable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]}…"


def _where(error: Exception) -> str:
    """Return file and line of the innermost frame outside torch, for the backend's author."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if f"{Path('torch')}/" not in one.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"


# Tolerance above a measured ceiling, which is a sample of the best; a CPU's clock varies more.
TOLERANCE = {"cuda": 1.05, "cpu": 1.25}


def is_resident(working_set_bytes: int, llc_bytes: int | None, l2: str) -> bool:
    """Return whether everything that a warm call touches fits into the last-level cache."""
    return l2 == "warm" and llc_bytes is not None and working_set_bytes < llc_bytes


def excess(
    cost: Cost,
    latency_s: float,
    ceilings: Ceilings,
    device_kind: str,
    *,
    cached_bytes: int | None,
) -> str | None:
    """Return which ceiling a latency exceeds, in words, or None.

    The arithmetic check uses the matrix rate of the fastest dtype.

    Args:
        cost: FLOPs and bytes of the problem.
        latency_s: the measured latency.
        ceilings: of this device.
        device_kind: cpu or cuda, for the tolerance.
        cached_bytes: how much traffic the last-level cache may have served; None skips the
            bandwidth check.

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
