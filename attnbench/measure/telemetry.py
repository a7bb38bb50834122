"""Clocks, power, other processes and energy of the device while a case is sampled.

The device's state is read twice under the case's own load, before and after the samples; never
between them, and not at all on a CPU. A pure rule turns the two states into columns and notes.

Energy is measured separately from time, if the suite asks for it. Samples are separated by flushes
and by delays that hide launches, which also draw power, and a few tenths of a second are too short
for the board's counter. So energy comes from back-to-back calls over the same copies of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from attnbench.device.base import Call, DeviceState, Driver, Telemetry
from attnbench.method import ENERGY_WINDOW_S

# NVIDIA's clocks move in steps of 15 MHz, 0.8 % of 1980; a drift is more than two of them.
DRIFT = 0.02
# Flushes, delays and an idle device also draw power; calls must fill nearly all of the time.
BUSY_SHARE = 0.9
_LOAD_S, _LOAD_CALLS = 0.02, 64
# The host synchronises once per this many seconds of calls: its cost is negligible, and the queue
# stays below what a stream holds (1024 launches; a call may need several).
_BATCH_S, _MOST_CALLS = 0.05, 128
# Share of the time: a host that needs more of it to enqueue the calls leaves the device waiting.
_HOST_SHARE = 0.9
# Calls that are this much quicker than their timed latency found the cache warm.
_QUICKER = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """From the first sample to the last: joules of the board, seconds, and the calls' own time."""

    energy_j: float | None
    seconds: float
    busy_s: float
    calls: int

    @property
    def energy_j_per_call(self) -> float | None:
        """Joules per call, if the counter and the calls' share of the time allow it."""
        if self.energy_j is None or self.calls == 0 or self.seconds < ENERGY_WINDOW_S:
            return None
        return self.energy_j / self.calls if self.busy_s >= BUSY_SHARE * self.seconds else None


def account(
    before: DeviceState, after: DeviceState, stretch: Stretch
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the columns and the notes of two states and the stretch between them.

    Clocks, power and temperature are those after the samples; throttling counts from either state.
    """
    slowed = dict.fromkeys((*(before.throttled or ()), *(after.throttled or ())))
    columns = {
        "sm_clock_mhz": after.sm_clock_mhz,
        "mem_clock_mhz": after.mem_clock_mhz,
        "power_w": after.power_w,
        "temperature_c": after.temperature_c,
        "throttle_reasons": ", ".join(slowed) or None,
        "energy_j_per_call": stretch.energy_j_per_call,
    }
    found = {
        "THROTTLED": bool(slowed),
        "CLOCK_DRIFT": _drifted(before.sm_clock_mhz, after.sm_clock_mhz)
        or _drifted(before.mem_clock_mhz, after.mem_clock_mhz),
        "FOREIGN_PROCESS": bool(before.foreign or after.foreign),
        "NO_TELEMETRY": after.sm_clock_mhz is None or after.throttled is None,
    }
    return columns, tuple(note for note, is_so in found.items() if is_so)


def _drifted(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return False
    return not math.isclose(before, after, rel_tol=DRIFT)


class TelemetryRecorder:
    """Reads the device before and after the samples of one case; does nothing without telemetry.

    Args:
        driver: the device.
        call: the case's call, which loads the device while it is read.
        call_s: about how long the call takes.

    """

    def __init__(self, driver: Driver, call: Call, call_s: float) -> None:
        self._driver = driver
        self._telemetry: Telemetry | None = driver.telemetry()
        self._call = call
        self._calls = max(1, min(_LOAD_CALLS, math.ceil(_LOAD_S / max(call_s, 1e-9))))

    def begin(self) -> None:
        """Read the device under load, then its energy at rest."""
        if self._telemetry is None:
            return
        self._before = self._under_load(self._telemetry)
        self._joules, self._since = self._telemetry.energy_j(), self._driver.clock_ns()

    def end(
        self, samples: list[float], *, calls: int = 1
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Read the same in reverse order; return columns and notes.

        Args:
            samples: seconds per call, each the mean of ``calls`` calls.
            calls: calls per sample.

        """
        if self._telemetry is None:
            return {}, ()
        seconds = (self._driver.clock_ns() - self._since) * 1e-9
        joules = self._telemetry.energy_j()
        used = None if joules is None or self._joules is None else joules - self._joules
        stretch = Stretch(
            energy_j=used,
            seconds=seconds,
            busy_s=calls * math.fsum(samples),
            calls=calls * len(samples),
        )
        return account(self._before, self._under_load(self._telemetry), stretch)

    def _under_load(self, telemetry: Telemetry) -> DeviceState:
        """Read while calls of the case are queued, because an idle device has other clocks."""
        for _ in range(self._calls):
            self._call()
        state = telemetry.read()
        self._driver.synchronize()
        return state


def joules_per_call(
    driver: Driver, calls: Sequence[Call], call_s: float, window_s: float
) -> float | None:
    """Run calls back to back and return the joules of one.

    Args:
        driver: the device.
        calls: the same call on each copy of the inputs.
        call_s: the latency that was measured.
        window_s: how long to run.

    Returns:
        None without an energy counter; if the host cannot keep the device busy, because idle power
        would be charged to the calls; or if the calls are quicker than ``call_s``, because they
        found a warm cache.

    """
    telemetry = driver.telemetry()
    if telemetry is None or telemetry.energy_j() is None:
        return None
    batch = max(1, min(_MOST_CALLS, math.ceil(_BATCH_S / max(call_s, 1e-9))))
    turn = cycle(calls)

    def run() -> float:
        """Return the seconds that the host needs to enqueue a batch."""
        began = driver.clock_ns()
        for _ in range(batch):
            next(turn)()
        enqueued = driver.clock_ns()
        driver.synchronize()
        return (enqueued - began) * 1e-9

    run()  # lets the clock of an idle device rise
    before, since, count, host_s = telemetry.energy_j(), driver.clock_ns(), 0, 0.0
    while (seconds := (driver.clock_ns() - since) * 1e-9) < window_s:
        host_s += run()
        count += batch
    after = telemetry.energy_j()
    if before is None or after is None or host_s > _HOST_SHARE * seconds:
        return None
    return (after - before) / count if count * call_s <= _QUICKER * seconds else None
