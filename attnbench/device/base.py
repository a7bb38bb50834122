"""The protocol through which measuring reaches a device.

Rules (when to stop, what is noise) live in ``measure`` and are tested against scripted devices;
these few methods hold what only a device can answer. A new kind of device is a class with these
methods, and a line in ``measure.context.DeviceContext.open``.
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
    """One profiled call: memory relative to what was allocated before it, and what ran.

    ``peak_bytes`` is the highest point during the call; ``left_bytes`` is what was still allocated
    at its end (outputs, or what ``prepare`` keeps). ``kernels`` are names, each once, in order;
    ``result`` is what the call returned.
    """

    peak_bytes: int
    left_bytes: int
    kernels: tuple[str, ...]
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """The state of a device at one moment; None for what it does not report.

    ``throttled`` names what lowers the clocks and is empty if nothing does. ``foreign`` holds the
    ids of other processes that compute on the device.
    """

    sm_clock_mhz: float | None = None
    mem_clock_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    foreign: tuple[int, ...] | None = None


class Telemetry(Protocol):
    """Reports a device's state. A query takes milliseconds, so never query between samples."""

    def read(self) -> DeviceState:
        """Return everything but energy."""
        ...

    def energy_j(self) -> float | None:
        """Return the joules that the device has used since some fixed moment."""
        ...


def collect_garbage() -> None:
    """Free unreachable cycles, and freeze survivors so that later collections skip them.

    Torch keeps a million objects alive, and scanning them takes a tenth of a second per case.
    Frozen objects are still freed by their reference counts.
    """
    gc.collect()
    gc.freeze()


class Driver(Protocol):
    """A device as the worker sees it.

    ``kind`` is cpu or cuda, ``torch_name`` what torch calls the device (``cuda:0``).
    ``event_resolution_s`` is the least time that two consecutive events can measure; a time of only
    a few of these is imprecise. Times are in seconds unless a name says otherwise.
    """

    kind: str
    torch_name: str
    event_resolution_s: float

    def clock_ns(self) -> int:
        """Return the host's monotonic clock; a scripted device keeps its own."""
        ...

    def describe(self) -> Device:
        """Describe the device; ``free_bytes`` is measured now."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished all work, on every stream."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether this exception means that memory ran out."""
        ...

    def is_alive(self) -> bool:
        """Return whether the device still responds and this process may keep using it."""
        ...

    def release(self) -> None:
        """Return cached memory to the device between cases."""
        ...

    def profile(self, call: Call) -> Profile:
        """Call once under the profiler: memory and kernel names."""
        ...

    def memory_of(self, call: Call) -> Profile:
        """Call once and watch only its memory; ``kernels`` may be empty."""
        ...

    def events(self) -> tuple[Any, Any]:
        """Return a start and an end event with the methods of ``torch.cuda.Event``.

        Raises:
            NotImplementedError: the device has none.

        """
        ...

    def delay(self, seconds: float) -> None:
        """Keep the current stream busy, so that later launches queue up behind it (CUDA)."""
        ...

    def capture(self, calls: Sequence[Call]) -> Call:
        """Capture calls one after another in one graph, and return the function that replays it.

        Raises:
            NotImplementedError: the device has no graphs.
            Exception: whatever the device or a call raises when it cannot be captured.

        """
        ...

    def kernel_span_s(self, call: Call) -> float | None:
        """Return the time from the start of a call's first kernel to the end of its last.

        None if the device's trace contains no kernel.

        Raises:
            NotImplementedError: the device runs no kernels.

        """
        ...

    def spin(self, seconds: float) -> None:
        """Keep the device busy for a known time."""
        ...

    def on_side_stream(self, call: Call) -> Any:
        """Run the call on a new stream that the current one does not wait for (CUDA).

        Raises:
            NotImplementedError: the device has no streams.

        """
        ...

    def telemetry(self) -> Telemetry | None:
        """Return what reports clocks and power; None for a kind of device without it."""
        ...
