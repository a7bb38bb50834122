"""The CPU as a device: torch's profiler watches its allocator; no events, no delay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NoReturn

from torch.profiler import ProfilerActivity, profile, record_function

from attnbench.device.base import Call, Profile, collect_garbage
from attnbench.device.local import describe_cpu
from attnbench.device.trace import leaf_operators, memory_use, named_kernels
from attnbench.environment import Device


class Cpu:
    """The host's CPU through torch."""

    kind = "cpu"
    torch_name = "cpu"
    event_resolution_s = 0.0  # there are no events
    clock_ns = staticmethod(time.perf_counter_ns)

    def describe(self) -> Device:
        """Describe the CPU."""
        return describe_cpu()

    def synchronize(self) -> None:
        """Return at once: CPU operators are done when they return."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Recognise the plain RuntimeError of torch's CPU allocator by its message."""
        return isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        )

    def is_alive(self) -> bool:
        """Return True: a CPU survives any exception."""
        return True

    def release(self) -> None:
        """Collect garbage, so that tensors of the last case are freed."""
        collect_garbage()

    def profile(self, call: Call) -> Profile:
        """Call once; memory and operators come from one trace of the calling thread."""
        # acc_events=False: one cycle; the default would warn about accumulating.
        with (
            named_kernels(record_function),
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
        """Profile, because torch's CPU allocator keeps no counters."""
        return self.profile(call)

    def events(self) -> NoReturn:
        """Refuse: a CPU has no timing events."""
        raise NotImplementedError("a CPU has no events; its timer is wall")

    def delay(self, seconds: float) -> NoReturn:
        """Refuse: nothing queues on a CPU."""
        raise NotImplementedError("a CPU has no events; its timer is wall")

    def capture(self, calls: Sequence[Call]) -> NoReturn:
        """Refuse: only CUDA has graphs."""
        raise NotImplementedError("a CPU has no graphs; its timer is wall")

    def kernel_span_s(self, call: Call) -> NoReturn:
        """Refuse: a CPU's operators are the host's own work."""
        raise NotImplementedError("a CPU runs no kernels; its timer is wall")

    def spin(self, seconds: float) -> None:
        """Poll the clock until the time is over, because sleeping would wake late."""
        end = time.perf_counter_ns() + round(seconds * 1e9)
        while time.perf_counter_ns() < end:
            pass

    def on_side_stream(self, call: Call) -> NoReturn:
        """Refuse: a CPU has no streams."""
        raise NotImplementedError("a CPU has no events; its timer is wall")

    def telemetry(self) -> None:
        """Return None: nothing reports a CPU's clocks for a single process."""
