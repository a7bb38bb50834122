"""``profiler``: from the start of a call's first kernel to the end of its last.

The time comes from the device's own trace, so it contains gaps between kernels but neither launches
nor events. The profiler starts for each sample, which is slow: use it to explain a figure.
"""

from __future__ import annotations

from attnbench.errors import Unsupported
from attnbench.measure.timers.base import Target, Timer, host_seconds, possible


def make(target: Target) -> Timer:
    """Return a timer that traces single calls, each after a flush if the target has one.

    Raises:
        Unsupported: the trace has no kernel, and events would be another estimand.

    """
    driver, call, flush = target.driver, target.call, target.flush

    def sample() -> float:
        if flush is not None:
            flush()
        driver.synchronize()
        seconds = driver.kernel_span_s(call)
        if seconds is None:
            raise Unsupported(
                "timer profiler: torch's profiler saw no kernel of this call; CUPTI may be taken "
                "by another profiler or refused by the container"
            )
        return possible(seconds, "the profiler's trace of the call")

    sample()
    return Timer(sample=sample, host_s=host_seconds(driver, call))
