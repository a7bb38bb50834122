"""The protocol through which measuring reaches a device.

Rules (when to stop, what is noise) live in ``measure`` and are tested against scripted devices;
what only a device can answer lives behind these few methods.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from attnbench.environment import Device

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One profiled call: bytes above what was allocated before it, and what ran.

    ``peak_bytes`` is the highest point during the call, ``left_bytes`` what was still allocated at
    its end (outputs, or what ``prepare`` keeps). ``result`` is what the call returned.
    """

    peak_bytes: int
    left_bytes: int
    kernels: tuple[str, ...]
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A device's state at one moment; None for what it does not tell.

    ``throttled`` names what lowers the clocks, the empty tuple where nothing does. ``foreign``
    holds the ids of other processes that compute on the device.
    """

    sm_clock_mhz: float | None = None
    mem_clock_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    foreign: tuple[int, ...] | None = None


class Gauge(Protocol):
    """Who tells a device's state. Asking costs milliseconds, so never ask between samples."""

    def read(self) -> Reading:
        """Ask for everything but energy."""
        ...

    def energy_j(self) -> float | None:
        """Return the joules that the device has used since some fixed moment."""
        ...


def collect_garbage() -> None:
    """Free cycles that were made since the last call, and look at what survived no more.

    Torch keeps a million objects alive; looking at all of them takes a tenth of a second a case.
    What was frozen is still freed by its reference count.
    """
    gc.collect()
    gc.freeze()


class Driver(Protocol):
    """A device as the worker sees it."""

    kind: str
    torch_name: str
    # What two events in a row are apart at least; a time of a few of these says little.
    event_resolution_s: float

    def clock_ns(self) -> int:
        """Return the host's monotonic clock; a scripted device keeps a clock of its own."""
        ...

    def describe(self) -> Device:
        """Describe the device; ``free_bytes`` as of now."""
        ...

    def synchronize(self) -> None:
        """Wait until all work given to the device is done."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Say whether this exception means that memory ran out."""
        ...

    def is_alive(self) -> bool:
        """Say whether the device still answers, and this process may go on using it."""
        ...

    def release(self) -> None:
        """Give cached memory back between cases."""
        ...

    def profile(self, call: Call) -> Profile:
        """Call once under the profiler."""
        ...

    def memory_of(self, call: Call) -> Profile:
        """Call once, watching memory alone."""
        ...

    def events(self) -> tuple[Any, Any]:
        """Return a pair of timing events (CUDA).

        Raises:
            NotImplementedError: the device has none.

        """
        ...

    def delay(self, seconds: float) -> None:
        """Keep the current stream busy, so that what is launched next queues up behind (CUDA)."""
        ...

    def capture(self, calls: Sequence[Call]) -> Call:
        """Capture calls one after the other in one graph; return what replays it (CUDA).

        Raises:
            NotImplementedError: the device has no graphs.
            Exception: whatever the device or a call says against being captured.

        """
        ...

    def kernel_span_s(self, call: Call) -> float | None:
        """Seconds from the start of a call's first kernel to the end of its last (CUDA).

        None where the device's trace holds none.

        Raises:
            NotImplementedError: the device runs no kernels.

        """
        ...

    def spin(self, seconds: float) -> None:
        """Keep the device busy for a time: a call whose length is known."""
        ...

    def aside(self, call: Call) -> Any:
        """Call on another stream than the current one, which does not wait for it (CUDA).

        Raises:
            NotImplementedError: the device has no streams.

        """
        ...

    def gauge(self) -> Gauge | None:
        """Return who tells clocks and power; None for a kind of device that has no such thing."""
        ...
