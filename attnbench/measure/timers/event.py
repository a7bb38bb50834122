"""``event``: the device's time of one call, between two events, its launch hidden by a delay."""

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
    """Time one call at a time, after a flush where the cache is to be cold."""
    driver, call = target.driver, target.call
    driver.events()  # a device without them says so here
    host_s = host_seconds(driver, call)
    delay_s = delay_for(host_s)
    count = Launches()

    def sample() -> float:
        took_s, waited = between_events(driver, call, delay_s=delay_s, flush=target.flush)
        count.add(waited=waited)
        return took_s

    return Timer(sample=sample, host_s=host_s, launches=count)
