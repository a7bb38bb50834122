"""``event``: device time of one call between two events; a delay hides its launch."""

from __future__ import annotations

from attnbench.measure.timers.base import (
    Launches,
    Target,
    Timer,
    between_events,
    delay_for,
    host_seconds,
)


def make(target: Target) -> Timer:
    """Return a timer of single calls, each after a flush if the target has one."""
    driver, call = target.driver, target.call
    driver.events()  # raises on a device without events
    host_s = host_seconds(driver, call)
    delay_s = delay_for(host_s)
    count = Launches()

    def sample() -> float:
        took_s, waited = between_events(driver, call, delay_s=delay_s, flush=target.flush)
        count.add(waited=waited)
        return took_s

    return Timer(sample=sample, host_s=host_s, launches=count)
