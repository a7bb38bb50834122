"""``event_batched``: the mean of calls back to back between two events.

One pair of events resolves about half a microsecond, which is a tenth of a short decode. So many
calls stand in one interval that it is at least 200 resolutions long, and each goes to the next copy
of the inputs, so that a cold call finds nothing of its own in the cache.
"""

from __future__ import annotations

from itertools import cycle, islice

from attnbench.device.base import Call
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
    """Find how many calls an interval needs, then time that many at a time."""
    driver = target.driver
    driver.events()  # a device without them says so here
    for call in target.calls:
        call()  # whatever a copy's first call does is in no sample
    host_s = host_seconds(driver, target.call)
    rotation = cycle(target.calls)
    count = Launches()

    def interval(calls: int) -> float:
        # Chosen before the events: the host's time for the choice is in no interval.
        chosen = tuple(islice(rotation, calls))
        took_s, waited = between_events(
            driver, lambda: _run(chosen), delay_s=delay_for(calls * host_s)
        )
        count.add(waited=waited)
        return took_s

    calls = long_enough(interval, driver.event_resolution_s)
    count.clear()
    return Timer(sample=lambda: interval(calls) / calls, calls=calls, host_s=host_s, launches=count)


def _run(calls: tuple[Call, ...]) -> None:
    for call in calls:
        call()
