"""What all timers share: the target, a ready timer, and hiding the launch from a time.

An interval between two events contains the device's work only if the work is already queued when
the device reaches the first event. So a delay kernel keeps the device busy while the host enqueues.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from attnbench.device.base import Call, Driver
from attnbench.measure.outcome import Implausible

Sampler = Callable[[], float]
Flusher = Callable[[], None]

_SHORTEST_DELAY_S, _LONGEST_DELAY_S = 200e-6, 20e-3
_HOST_CALLS, _HOST_CALLS_S, _FEWEST_HOST_CALLS = 11, 0.05, 3
# An interval of this many resolutions is precise to half a per cent.
RESOLUTIONS = 200
MOST_CALLS = 4096
_MARGIN = 1.1  # the next interval may be a little shorter than the one that was tried
# Work after the end event counts from here on: the host needs some microseconds to query.
_LATE_S, _LATE_SHARE, _LATE_TRIES = 50e-6, 0.05, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a timer is to time.

    ``calls`` is the same call bound to each copy of the inputs; a single one without rotation.
    ``flush`` empties the last-level cache, for timers that time one call per sample.
    """

    driver: Driver
    calls: tuple[Call, ...]
    flush: Flusher | None = None

    @property
    def call(self) -> Call:
        """The call on the inputs that everything else was measured on."""
        return self.calls[0]


@dataclass(slots=True)
class Launches:
    """Counts the samples in which the device had to wait for the host."""

    samples: int = 0
    bound: int = 0

    @property
    def mostly(self) -> bool:
        """True if at least half of the samples were launch-bound."""
        return self.samples > 0 and 2 * self.bound >= self.samples

    def add(self, *, waited: bool) -> None:
        """Count one sample."""
        self.samples += 1
        self.bound += waited

    def clear(self) -> None:
        """Forget what came before the samples."""
        self.samples = self.bound = 0


@dataclass(slots=True, kw_only=True)
class Timer:
    """A ready timer.

    ``sample()`` returns one observation in seconds per call, the mean of ``calls`` calls.
    ``host_s`` is the host's time to enqueue one call; None if the call is the host's own work.
    """

    sample: Sampler
    calls: int = 1
    host_s: float | None = None
    launches: Launches = field(default_factory=Launches)

    def is_launch_bound(self, latency_s: float) -> bool:
        """Return whether the host issues calls more slowly than the device executes them.

        That is: enqueueing a call takes the host at least as long as the call takes the device, or
        the device waited for the host in at least half of the samples.
        """
        slower = self.host_s is not None and self.host_s >= latency_s
        return slower or self.launches.mostly


def possible(seconds: float, source: str) -> float:
    """Return the time unchanged.

    Raises:
        Implausible: it is zero, negative or not finite, so a rate over it would be meaningless.

    """
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    raise Implausible(f"{source} read {seconds:g} s: no call takes that")


def host_seconds(driver: Driver, call: Call) -> float:
    """Return the host's time to enqueue one call: the median of a few, on an idle device."""
    times: list[float] = []
    began = driver.clock_ns()
    while len(times) < _HOST_CALLS:
        if len(times) >= _FEWEST_HOST_CALLS and driver.clock_ns() - began > _HOST_CALLS_S * 1e9:
            break
        driver.synchronize()
        start = driver.clock_ns()
        call()
        times.append((driver.clock_ns() - start) * 1e-9)
    driver.synchronize()
    return statistics.median(times)


def delay_for(host_s: float) -> float:
    """Return the seconds of delay that hide twice this much enqueueing.

    It is bounded, because a call that waits for the device would also wait for the delay.
    """
    return min(max(_SHORTEST_DELAY_S, 2 * host_s), _LONGEST_DELAY_S)


def between_events(
    driver: Driver, work: Call, *, delay_s: float, flush: Flusher | None = None
) -> tuple[float, bool]:
    """Time some work on the device.

    Args:
        driver: the device.
        work: what to time.
        delay_s: how long the device is kept busy while the host enqueues the work.
        flush: empties the last-level cache before.

    Returns:
        Seconds between the events, and whether the device had to wait for the host.

    Raises:
        Implausible: the events read an impossible time.

    """
    start, end = driver.events()
    if flush is not None:
        flush()
    driver.delay(delay_s)
    start.record()
    work()
    end.record()
    # If the device has already reached the start, enqueueing took longer than the delay.
    waited = bool(start.query())
    driver.synchronize()
    return possible(float(start.elapsed_time(end)) * 1e-3, "the events around the call"), waited


def long_enough(interval: Callable[[int], float], resolution_s: float, *, turn: int = 1) -> int:
    """Return how many calls make an interval of at least 200 event resolutions.

    Args:
        interval: times so many calls, in seconds; it is only asked for multiples of ``turn``.
        resolution_s: the resolution of an event.
        turn: calls in one turn over all copies of the inputs.

    Raises:
        Implausible: even thousands of calls are too short.

    """
    shortest_s, most = RESOLUTIONS * resolution_s, max(turn, MOST_CALLS // turn * turn)
    calls = turn
    while (took_s := interval(calls)) < shortest_s:
        if calls == most:
            raise Implausible(
                f"{calls} calls back to back take {took_s * 1e6:.3g} us in all: "
                "no call that does the work is as short"
            )
        wanted = math.ceil(_MARGIN * calls * shortest_s / took_s / turn) * turn
        calls = min(most, max(calls + turn, wanted))
    return calls


def refuse_side_stream_work(driver: Driver, call: Call) -> None:
    """Check that the device is idle after the event that ends a call.

    Events and graphs see only the current stream, so a call that leaves work on another stream
    would look fast.

    Raises:
        Implausible: the device is still working.

    """
    after_s, between_s = min(_work_after_end(driver, call) for _ in range(_LATE_TRIES))
    if after_s > max(_LATE_S, _LATE_SHARE * between_s):
        raise Implausible(
            f"the device works {after_s * 1e6:.0f} us beyond the event after the call, which saw "
            f"{between_s * 1e6:.0f} us: the call leaves work on a stream that it does not join"
        )


def _work_after_end(driver: Driver, call: Call) -> tuple[float, float]:
    """Return the seconds from the end event to an idle device, and between the events."""
    # No delay here: work on another stream would finish during it.
    driver.synchronize()
    start, end = driver.events()
    start.record()
    call()
    end.record()
    end.synchronize()
    done = driver.clock_ns()
    driver.synchronize()
    return (driver.clock_ns() - done) * 1e-9, float(start.elapsed_time(end)) * 1e-3
