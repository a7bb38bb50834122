"""Timers: each a function from a call to one sample in seconds, each its own estimand.

``wall`` is what the host sees: clock, call, synchronise. ``event`` is the device time of one call
between two CUDA events, with the launch hidden behind a delay kernel. A timer that a device lacks
is an answer (``Unsupported``), never a silent change to another one, and a time that cannot be is
one too (``Implausible``), never a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from attnbench.device.base import Call, Driver
from attnbench.errors import Unsupported
from attnbench.measure.outcome import Implausible

Sampler = Callable[[], float]
Flusher = Callable[[], None]

# Work after the end event counts from here: the host takes some microseconds to ask.
_ASTRAY_S, _ASTRAY_SHARE, _ASTRAY_LOOKS = 50e-6, 0.05, 3


@dataclass(slots=True)
class LaunchBound:
    """Counts the samples whose launch the delay kernel did not hide."""

    samples: int = 0
    bound: int = 0

    @property
    def mostly(self) -> bool:
        """True where at least half of the samples were bound by the launch."""
        return self.samples > 0 and 2 * self.bound >= self.samples


@dataclass(slots=True)
class Timer:
    """A ready timer: ``sample()`` returns one observation in seconds."""

    sample: Sampler
    launches: LaunchBound = field(default_factory=LaunchBound)


def wall(driver: Driver, call: Call, flush: Flusher | None) -> Timer:
    """Host time of a call and the synchronisation after it."""
    clock_ns, synchronize = driver.clock_ns, driver.synchronize

    def sample() -> float:
        if flush is not None:
            flush()
        synchronize()
        start = clock_ns()
        result = call()
        synchronize()
        took_s = (clock_ns() - start) * 1e-9
        del result  # to free it is no part of the call
        return possible(took_s, "the host's clock")

    return Timer(sample=sample)


def event(driver: Driver, call: Call, flush: Flusher | None) -> Timer:
    """Device time of a call; a sample whose start event was already done is launch-bound."""
    try:
        driver.events()
    except NotImplementedError as error:
        raise Unsupported(f"timer event: {error}") from error
    count = LaunchBound()

    def sample() -> float:
        start, end = driver.events()
        if flush is not None:
            flush()
        driver.delay()
        start.record()
        call()
        end.record()
        # The delay still runs unless enqueueing took longer than it.
        count.bound += start.query()
        count.samples += 1
        driver.synchronize()
        return possible(float(start.elapsed_time(end)) * 1e-3, "the events around the call")

    return Timer(sample=sample, launches=count)


def possible(seconds: float, source: str) -> float:
    """Pass a time on.

    Raises:
        Implausible: it is zero, negative or no number; a rate over it would be infinite.

    """
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    raise Implausible(f"{source} read {seconds:g} s: no call takes that")


def refuse_stray_work(driver: Driver, call: Call) -> None:
    """Look whether the device goes on after the event that ought to end a call.

    Events see the current stream alone; a call that leaves work on another one looks fast.

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


TIMERS: dict[str, Callable[[Driver, Call, Flusher | None], Timer]] = {"wall": wall, "event": event}


def make_timer(name: str, driver: Driver, call: Call, flush: Flusher | None) -> Timer:
    """Return the timer of that name.

    Raises:
        Unsupported: this attnbench or this device has no such timer.

    """
    if name not in TIMERS:
        raise Unsupported(f"timer {name} is not built yet; this version has {', '.join(TIMERS)}")
    return TIMERS[name](driver, call, flush)
