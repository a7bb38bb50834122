"""Timers: each a function from a call to one sample in seconds, each its own estimand.

``wall`` is what the host sees: clock, call, synchronise. ``event`` is the device time of one call
between two CUDA events, with the launch hidden behind a delay kernel. A timer that a device lacks
is an answer (``Unsupported``), never a silent change to another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from attnbench.device.base import Call, Driver
from attnbench.errors import Unsupported

Sampler = Callable[[], float]
Flusher = Callable[[], None]


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

    def sample() -> float:
        if flush is not None:
            flush()
        driver.synchronize()
        start = time.perf_counter_ns()
        call()
        driver.synchronize()
        return (time.perf_counter_ns() - start) * 1e-9

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
        return float(start.elapsed_time(end)) * 1e-3

    return Timer(sample=sample, launches=count)


TIMERS: dict[str, Callable[[Driver, Call, Flusher | None], Timer]] = {"wall": wall, "event": event}


def make_timer(name: str, driver: Driver, call: Call, flush: Flusher | None) -> Timer:
    """Return the timer of that name.

    Raises:
        Unsupported: this attnbench or this device has no such timer.

    """
    if name not in TIMERS:
        raise Unsupported(f"timer {name} is not built yet; this version has {', '.join(TIMERS)}")
    return TIMERS[name](driver, call, flush)
