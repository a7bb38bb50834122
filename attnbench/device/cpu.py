"""The CPU as a device: torch's allocator watched by its profiler, no events, no delay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NoReturn

from torch.profiler import ProfilerActivity, profile, record_function

from attnbench.device.base import Call, Profile, collect_garbage
from attnbench.device.inductor import told_by_name
from attnbench.device.local import cpu_facts
from attnbench.device.trace import leaf_operators, memory_use
from attnbench.environment import Device


class Cpu:
    """The host's CPU through torch."""

    kind = "cpu"
    torch_name = "cpu"
    event_resolution_s = 0.0  # it has none
    clock_ns = staticmethod(time.perf_counter_ns)

    def describe(self) -> Device:
        """Describe the CPU."""
        return cpu_facts()

    def synchronize(self) -> None:
        """Return at once: CPU operators are done when they return."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Torch's CPU allocator raises a plain RuntimeError."""
        return isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        )

    def is_alive(self) -> bool:
        """A CPU survives any exception."""
        return True

    def release(self) -> None:
        """Collect cycles, so that tensors of the last case are gone."""
        collect_garbage()

    def profile(self, call: Call) -> Profile:
        """Call once; memory and operators come from one trace of the calling thread."""
        # acc_events=False: one cycle; the default would warn about accumulating.
        with (
            told_by_name(record_function),
            profile(
                activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False
            ) as trace,
        ):
            result = call()
        events = trace.profiler.kineto_results.events()
        peak, left = memory_use(events)
        return Profile(
            peak_bytes=peak, left_bytes=left, kernels=leaf_operators(events), result=result
        )

    def memory_of(self, call: Call) -> Profile:
        """Memory needs the profiler too: torch's CPU allocator keeps no counters."""
        return self.profile(call)

    def events(self) -> tuple[Any, Any]:
        """Refuse: a CPU has no timing events."""
        return _no_events()

    def delay(self, seconds: float) -> None:
        """Refuse: nothing queues on a CPU."""
        del seconds
        _no_events()

    def capture(self, calls: Sequence[Call]) -> NoReturn:
        """Refuse: graphs are of CUDA."""
        del calls
        raise NotImplementedError("a CPU has no graphs; its timer is wall")

    def kernel_span_s(self, call: Call) -> NoReturn:
        """Refuse: operators of a CPU are the host's own work."""
        del call
        raise NotImplementedError("a CPU runs no kernels; its timer is wall")

    def spin(self, seconds: float) -> None:
        """Look at the clock until the time is over: sleeping would wake late."""
        end = time.perf_counter_ns() + round(seconds * 1e9)
        while time.perf_counter_ns() < end:
            pass

    def aside(self, call: Call) -> Any:
        """Refuse: a CPU has no streams."""
        del call
        _no_events()

    def gauge(self) -> None:
        """Nobody tells a CPU's clocks in a way that holds for one process."""


def _no_events() -> NoReturn:
    raise NotImplementedError("a CPU has no events; its timer is wall")
