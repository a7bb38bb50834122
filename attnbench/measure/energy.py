"""Joules a call, in a stretch of nothing but calls that is long enough for the board's counter.

Samples are parted by flushes and by delays that hide launches; those draw power as well, and a few
tenths of a second are less than the counter can tell. So energy is read apart from time, where the
suite asks for it: calls back to back, round the same copies of the inputs that the samples went
round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle

from attnbench.device.base import Call, Driver

# The host waits for the device once in so many seconds of calls: what that costs is nothing, and
# what is queued stays below what a stream holds (1024 launches, of which a call may be several).
_BATCH_S, _MOST_CALLS = 0.05, 128
# Of the time: a host that needs more of it to enqueue the calls leaves the device waiting.
_HOST_SHARE = 0.9
# Calls that are so much quicker here than they were timed found the cache warm; they are others.
_QUICKER = 1.1


def joules_a_call(
    driver: Driver, calls: Sequence[Call], call_s: float, window_s: float
) -> float | None:
    """Spend ``window_s`` on calls and return the joules of one; ``call_s`` is what each takes.

    None where there is no counter, where the host cannot keep the device busy (what it drew while
    it waited would be charged to the calls), and where calls are quicker than ``call_s``.
    """
    telemetry = driver.telemetry()
    if telemetry is None or telemetry.energy_j() is None:
        return None
    batch = max(1, min(_MOST_CALLS, math.ceil(_BATCH_S / max(call_s, 1e-9))))
    turn = cycle(calls)

    def run() -> float:
        """Return the seconds that the host needed to enqueue a batch."""
        began = driver.clock_ns()
        for _ in range(batch):
            next(turn)()
        enqueued = driver.clock_ns()
        driver.synchronize()
        return (enqueued - began) * 1e-9

    run()  # the clock of a device that waited comes up
    before, since, count, host_s = telemetry.energy_j(), driver.clock_ns(), 0, 0.0
    while (seconds := (driver.clock_ns() - since) * 1e-9) < window_s:
        host_s += run()
        count += batch
    after = telemetry.energy_j()
    if before is None or after is None or host_s > _HOST_SHARE * seconds:
        return None
    return (after - before) / count if count * call_s <= _QUICKER * seconds else None
