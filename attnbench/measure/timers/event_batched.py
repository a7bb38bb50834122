"""``event_batched``: the mean of back-to-back calls between two events.

A pair of events resolves about half a microsecond, which is a tenth of a short decode. One interval
therefore holds enough calls to last 200 resolutions. Each call uses the next copy of the inputs, so
that a cold call finds none of its data in the cache.
"""

from __future__ import annotations

from itertools import cycle, islice

from attnbench.measure.timers.base import (
    Launches,
    Target,
    Timer,
    between_events,
    delay_for,
    host_seconds,
    long_enough,
)


def make(target: Target) -> Timer:
    """Return a timer of intervals that hold as many calls as their precision needs."""
    driver = target.driver
    driver.events()  # raises on a device without events
    for call in target.calls:
        call()  # the first call on a copy must not be part of a sample
    host_s = host_seconds(driver, target.call)
    rotation = cycle(target.calls)
    count = Launches()

    def interval(calls: int) -> float:
        # Selected before the events, so that no interval contains the host's time for it.
        chosen = tuple(islice(rotation, calls))

        def run() -> None:
            for call in chosen:
                call()

        took_s, waited = between_events(driver, run, delay_s=delay_for(calls * host_s))
        count.add(waited=waited)
        return took_s

    calls = long_enough(interval, driver.event_resolution_s)
    count.clear()
    return Timer(sample=lambda: interval(calls) / calls, calls=calls, host_s=host_s, launches=count)
