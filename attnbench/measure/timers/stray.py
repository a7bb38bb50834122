"""Work that events cannot see: on a stream that the current one does not wait for."""

from __future__ import annotations

from attnbench.device.base import Call, Driver
from attnbench.measure.outcome import Implausible

# Work after the end event counts from here: the host takes some microseconds to ask.
_ASTRAY_S, _ASTRAY_SHARE, _ASTRAY_LOOKS = 50e-6, 0.05, 3


def refuse_stray_work(driver: Driver, call: Call) -> None:
    """Look whether the device goes on after the event that ought to end a call.

    Events see the current stream alone, and a graph captures it alone; a call that leaves work on
    another one looks fast.

    Raises:
        Implausible: it does.

    """
    outside_s, seen_s = min(_outlived(driver, call) for _ in range(_ASTRAY_LOOKS))
    if outside_s > max(_ASTRAY_S, _ASTRAY_SHARE * seen_s):
        raise Implausible(
            f"the device works {outside_s * 1e6:.0f} us beyond the event after the call, which saw "
            f"{seen_s * 1e6:.0f} us: the call leaves work on a stream that it does not join"
        )


def _outlived(driver: Driver, call: Call) -> tuple[float, float]:
    """Seconds from the end event to an idle device, and between the events."""
    # No delay here: work on another stream would be done while it spins.
    driver.synchronize()
    start, end = driver.events()
    start.record()
    call()
    end.record()
    end.synchronize()
    done = driver.clock_ns()
    driver.synchronize()
    return (driver.clock_ns() - done) * 1e-9, float(start.elapsed_time(end)) * 1e-3
