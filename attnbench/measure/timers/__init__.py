"""Timers: one file each, one estimand each, and none ever silently replaced by another.

``wall`` is what the host sees. ``event`` is the device time of one call between two events,
``event_batched`` the mean of several back-to-back calls between two events, ``graph`` the same
replayed from a CUDA graph, and ``profiler`` the span of the kernels in the device's own trace. A
timer that cannot time this call on this device raises ``Unsupported``, and an impossible time
raises ``Implausible``; neither becomes a sample. A new timer is a file in this package and a line
in ``TIMERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attnbench.device.base import Call, Driver
from attnbench.errors import Unsupported
from attnbench.measure.timers import event, event_batched, graph, profiler, wall
from attnbench.measure.timers.base import Flusher, Target, Timer

TIMERS: dict[str, Callable[[Target], Timer]] = {
    "wall": wall.make,
    "event": event.make,
    "event_batched": event_batched.make,
    "graph": graph.make,
    "profiler": profiler.make,
}
# These see only the current stream, so work on other streams must be looked for separately.
SEE_ONE_STREAM = ("event", "event_batched", "graph")


def make_timer(
    name: str,
    driver: Driver,
    call: Call,
    flush: Flusher | None = None,
    *,
    others: Sequence[Call] = (),
) -> Timer:
    """Return a ready timer.

    Args:
        name: one of ``TIMERS``.
        driver: the device to time on.
        call: what to time.
        flush: empties the last-level cache before a sample; None for a warm cache.
        others: the same call bound to further copies of the inputs.

    Raises:
        Unsupported: there is no timer of this name, or it cannot time this call on this device.

    """
    if name not in TIMERS:
        raise Unsupported(f"there is no timer {name}; this version has {', '.join(TIMERS)}")
    try:
        return TIMERS[name](Target(driver=driver, calls=(call, *others), flush=flush))
    except NotImplementedError as error:
        raise Unsupported(f"timer {name}: {error}") from error
