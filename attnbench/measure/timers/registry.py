"""The timers by name. A new one is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attnbench.device.base import Call, Driver
from attnbench.errors import Unsupported
from attnbench.measure.timers import event, event_batched, graph, profiler, wall
from attnbench.measure.timers.sample import Flusher, Target, Timer

TIMERS: dict[str, Callable[[Target], Timer]] = {
    "wall": wall.make,
    "event": event.make,
    "event_batched": event_batched.make,
    "graph": graph.make,
    "profiler": profiler.make,
}


# Events stand on one stream, and a graph holds one: work on another must be looked for apart.
SEE_ONE_STREAM = ("event", "event_batched", "graph")


def make_timer(
    name: str,
    driver: Driver,
    call: Call,
    flush: Flusher | None = None,
    *,
    others: Sequence[Call] = (),
) -> Timer:
    """Return the timer of that name; ``others`` are the same call on other copies of the inputs.

    Raises:
        Unsupported: this attnbench, this device or this call has no such timer.

    """
    if name not in TIMERS:
        raise Unsupported(f"there is no timer {name}; this version has {', '.join(TIMERS)}")
    try:
        return TIMERS[name](Target(driver=driver, calls=(call, *others), flush=flush))
    except NotImplementedError as error:
        raise Unsupported(f"timer {name}: {error}") from error
