"""``wall``: what the host sees of one call."""

from __future__ import annotations

from attnbench.measure.timers.base import Target, Timer, host_seconds, possible


def make(target: Target) -> Timer:
    """Return a timer of the host's time for a call and the synchronisation after it."""
    driver, call, flush = target.driver, target.call, target.flush
    clock_ns, synchronize = driver.clock_ns, driver.synchronize

    def sample() -> float:
        if flush is not None:
            flush()
        synchronize()
        start = clock_ns()
        result = call()
        synchronize()
        took_s = (clock_ns() - start) * 1e-9
        del result  # freeing it is not part of the call
        return possible(took_s, "the host's clock")

    # On a CPU the host does the work itself, so there is no enqueueing to measure.
    return Timer(
        sample=sample, host_s=host_seconds(driver, call) if driver.kind == "cuda" else None
    )
