"""Warm-up: run until times (of a case) or clocks (of a device) are flat, before samples count.

A case's warm-up ends by a slope test after pyperf's: the two halves of the last calls must agree.
If they never do, because a clock keeps sinking, a limit ends it, and the samples show noise or
drift. A device is warm when its clock has stayed within 1 % for a second; one step of NVIDIA's
clocks is 0.8 % of the highest. A device that never gets there is measured as it is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attnbench.device.base import Call, Driver

FEWEST_CALLS = 3
WINDOW = 20
FLAT = 0.01  # relative difference that counts as flat
LONGEST = 3  # times warmup_s
DEVICE_FLAT_S, DEVICE_LONGEST_S = 1.0, 8.0
_FEWEST_READINGS = 5


def warm_up(sample: Callable[[], float], clock_ns: Callable[[], int], warmup_s: float) -> float:
    """Sample until warm.

    Args:
        sample: takes one sample and returns its seconds.
        clock_ns: the host's clock.
        warmup_s: the shortest warm-up.

    Returns:
        The seconds that it took.

    """
    start = clock_ns()
    times: list[float] = []
    while True:
        elapsed_s = (clock_ns() - start) * 1e-9
        if is_warm(times, elapsed_s, warmup_s):
            return elapsed_s
        times.append(sample())


def is_warm(times: Sequence[float], elapsed_s: float, warmup_s: float) -> bool:
    """Return whether to stop: after ``warmup_s`` and 3 calls, when flat or three times as long."""
    if len(times) < FEWEST_CALLS or elapsed_s < warmup_s:
        return False
    return times_are_flat(times) or elapsed_s >= LONGEST * warmup_s


def times_are_flat(times: Sequence[float]) -> bool:
    """Return whether the halves of the last 20 times agree within 1 %; False if there are fewer."""
    if len(times) < WINDOW:
        return False
    half = WINDOW // 2
    before = statistics.median(times[-WINDOW:-half])
    after = statistics.median(times[-half:])
    return abs(after - before) <= FLAT * before


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """How long the device was kept busy, and whether its clock settled (None: not measured)."""

    seconds: float
    flat: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"warmup_s": self.seconds, "flat": self.flat}


def warm_device(driver: Driver, work: Call) -> Warmed:
    """Keep a device busy until its clock is flat; do nothing on one without telemetry.

    If the telemetry does not report the clock, the time that ``work`` takes stands in for it.
    """
    telemetry = driver.telemetry()
    if telemetry is None:
        return Warmed(seconds=0.0, flat=None)
    start = driver.clock_ns()
    readings: list[tuple[float, float]] = []
    while True:
        began = driver.clock_ns()
        work()
        clock_mhz = telemetry.read().sm_clock_mhz  # under load: an idle clock differs
        driver.synchronize()
        now = driver.clock_ns()
        elapsed_s = (now - start) * 1e-9
        readings.append((elapsed_s, clock_mhz or (now - began) * 1e-9))
        if clock_is_flat(readings):
            return Warmed(seconds=elapsed_s, flat=True)
        if elapsed_s >= DEVICE_LONGEST_S:
            return Warmed(seconds=elapsed_s, flat=False)


def clock_is_flat(readings: list[tuple[float, float]]) -> bool:
    """Return whether the last second's (time, value) readings, at least five, lie within 1 %."""
    last_s = readings[-1][0]
    recent = [value for at_s, value in readings if at_s >= last_s - DEVICE_FLAT_S]
    if last_s - readings[0][0] < DEVICE_FLAT_S or len(recent) < _FEWEST_READINGS:
        return False
    return max(recent) - min(recent) <= FLAT * statistics.median(recent)
