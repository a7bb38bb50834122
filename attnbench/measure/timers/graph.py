"""``graph``: the mean of calls that are replayed from one CUDA graph.

This is what an inference engine that replays graphs sees: no launch from Python between calls. The
graph contains a call for every copy of the inputs, so that a cold call finds none of its data in
the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnbench.device.base import Call, Driver
from attnbench.errors import Unsupported
from attnbench.measure.timers.base import (
    Launches,
    Target,
    Timer,
    between_events,
    delay_for,
    host_seconds,
    long_enough,
)

_CAUSE_LENGTH = 200


def make(target: Target) -> Timer:
    """Return a timer of replays, each of whole turns of the rotation and long enough.

    Raises:
        Unsupported: the call cannot be captured, and no other timer has this estimand.

    """
    driver, turn = target.driver, len(target.calls)
    driver.events()  # raises on a device without events
    for call in target.calls:
        call()  # compilers and autotuners must finish before the capture
    driver.synchronize()
    replays: dict[int, _Replay] = {}

    def interval(calls: int) -> float:
        replays.clear()  # a graph holds memory
        replays[calls] = _Replay.of(driver, target.calls * (calls // turn))
        return replays[calls].seconds()

    calls = long_enough(interval, driver.event_resolution_s, turn=turn)
    replay = replays[calls]
    replay.count.clear()
    return Timer(
        sample=lambda: replay.seconds() / calls,
        calls=calls,
        host_s=replay.host_s / calls,
        launches=replay.count,
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes: the error of a broken capture hides the first one."""
    while error is not None:
        yield error
        error = error.__context__


class _Replay:
    """One captured graph and the host's time to launch it."""

    def __init__(self, driver: Driver, launch: Call) -> None:
        self._driver, self._launch = driver, launch
        launch()  # the first replay uploads the graph
        self.host_s = host_seconds(driver, launch)
        self.count = Launches()

    @classmethod
    def of(cls, driver: Driver, calls: tuple[Call, ...]) -> _Replay:
        """Capture calls one after another."""
        try:
            launch = driver.capture(calls)
        except (Unsupported, NotImplementedError):
            raise
        except Exception as error:
            if short := next(filter(driver.is_out_of_memory, _chain(error)), None):
                raise short from None
            cause = " ".join(str(error).split())[:_CAUSE_LENGTH]
            raise Unsupported(
                f"timer graph: the call cannot be captured in a CUDA graph ({cause})"
            ) from error
        return cls(driver, launch)

    def seconds(self) -> float:
        """Time one replay."""
        took_s, waited = between_events(self._driver, self._launch, delay_s=delay_for(self.host_s))
        self.count.add(waited=waited)
        return took_s
