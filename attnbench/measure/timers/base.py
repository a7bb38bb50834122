"""What all timers share: what is timed, a ready timer, and how the launch is kept out of a time."""

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
_HOST_LOOKS, _HOST_LOOKS_S, _FEWEST_LOOKS = 11, 0.05, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a timer is to time.

    ``calls`` is the same call bound to each copy of the inputs, one where nothing rotates.
    ``flush`` empties the last-level cache, for timers that read one call at a time.
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
        """True where at least half of the samples were bound by the launch."""
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

    ``sample()`` returns one observation in seconds a call, the mean of ``calls`` calls. ``host_s``
    is what the host needs to enqueue one call; None where the call itself is the host's work.
    """

    sample: Sampler
    calls: int = 1
    host_s: float | None = None
    launches: Launches = field(default_factory=Launches)

    def is_launch_bound(self, latency_s: float) -> bool:
        """Say whether calls come slower than the device does them.

        The one rule: enqueueing a call takes the host at least as long as the call takes the
        device, or in at least half of the samples the device stood waiting for the host.
        """
        slower = self.host_s is not None and self.host_s >= latency_s
        return slower or self.launches.mostly


def possible(seconds: float, source: str) -> float:
    """Pass a time on.

    Raises:
        Implausible: it is zero, negative or no number; a rate over it would be infinite.

    """
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    raise Implausible(f"{source} read {seconds:g} s: no call takes that")


def host_seconds(driver: Driver, call: Call) -> float:
    """Return what the host needs to enqueue one call: the median of a few, on an idle device."""
    times: list[float] = []
    began = driver.clock_ns()
    while len(times) < _HOST_LOOKS:
        if len(times) >= _FEWEST_LOOKS and driver.clock_ns() - began > _HOST_LOOKS_S * 1e9:
            break
        driver.synchronize()
        start = driver.clock_ns()
        call()
        times.append((driver.clock_ns() - start) * 1e-9)
    driver.synchronize()
    return statistics.median(times)


def delay_for(host_s: float) -> float:
    """How long the device must be busy so that twice this much enqueueing is hidden behind it.

    Bounded: a call that waits for the device itself would wait for the delay, too.
    """
    return min(max(_SHORTEST_DELAY_S, 2 * host_s), _LONGEST_DELAY_S)


def between_events(
    driver: Driver, work: Call, *, delay_s: float, flush: Flusher | None = None
) -> tuple[float, bool]:
    """Seconds of the device from before to after some work, and whether it waited for the host."""
    start, end = driver.events()
    if flush is not None:
        flush()
    driver.delay(delay_s)
    start.record()
    work()
    end.record()
    # The delay still runs unless enqueueing took longer than it.
    waited = bool(start.query())
    driver.synchronize()
    return possible(float(start.elapsed_time(end)) * 1e-3, "the events around the call"), waited


# An interval this many resolutions long is read to half a per cent.
RESOLUTIONS = 200
MOST_CALLS = 4096
_ROOM = 1.1  # the next interval may be a little shorter than the one that was tried


def long_enough(interval: Callable[[int], float], resolution_s: float, *, turn: int = 1) -> int:
    """Return how many calls make an interval of at least 200 resolutions.

    ``interval(calls)`` times so many; ``calls`` is always a multiple of ``turn``.

    Raises:
        Implausible: thousands of calls are too short.

    """
    shortest_s, most = RESOLUTIONS * resolution_s, max(turn, MOST_CALLS // turn * turn)
    calls = turn
    while (took_s := interval(calls)) < shortest_s:
        if calls == most:
            raise Implausible(
                f"{calls} calls back to back take {took_s * 1e6:.3g} us in all: "
                "no call that does the work is as short"
            )
        wanted = math.ceil(_ROOM * calls * shortest_s / took_s / turn) * turn
        calls = min(most, max(calls + turn, wanted))
    return calls


# Work after the end event counts from here: the host takes some microseconds to ask.
_ASTRAY_S, _ASTRAY_SHARE, _ASTRAY_LOOKS = 50e-6, 0.05, 3


def refuse_side_stream_work(driver: Driver, call: Call) -> None:
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
