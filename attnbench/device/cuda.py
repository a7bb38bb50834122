"""An NVIDIA GPU as a device, through torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from attnbench.device.base import Call, Profile, collect_garbage
from attnbench.device.nvml import Board, NoTelemetry, find_board
from attnbench.device.trace import device_kernels, device_span_s
from attnbench.environment import Device
from attnbench.errors import DeviceMissing

_CALIBRATION_CYCLES = 1_000_000
# An idle GPU runs at a fifth of its highest clock and takes some hundredths of a second to rise.
_STEADY_S, _LONGEST_CALIBRATION_S, _RISE = 0.1, 1.0, 1.01
# Messages of memory that ran out outside torch's allocator: loading a module, a library handle.
_OUT_OF_MEMORY = ("[CUDA]: out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")

# Kept alive for ever: torch's allocator keeps asking these graphs whether memory is theirs.
_BROKEN_CAPTURES: list[Any] = []


class Cuda:
    """One CUDA device by torch's index."""

    kind = "cuda"
    clock_ns = staticmethod(time.perf_counter_ns)
    # "Around 0.5 microseconds": cudaEventElapsedTime in the CUDA runtime API reference.
    event_resolution_s = 0.5e-6

    def __init__(self, index: int = 0) -> None:
        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            raise DeviceMissing(
                f"torch sees no CUDA device {index} ({torch.cuda.device_count()} here)",
                hint=f"torch is {torch.__version__}; without a GPU: --device cpu",
            )
        self.index = index
        self.torch_name = f"cuda:{index}"
        torch.cuda.set_device(index)
        self._is_spoilt = False
        self._cycles_per_s = self._calibrated()

    def describe(self) -> Device:
        """Describe the GPU; driver and power limit come from NVML where it answers."""
        uuid = None if self._uuid is None else f"GPU-{self._uuid}"
        properties = torch.cuda.get_device_properties(self.index)
        free, _ = torch.cuda.mem_get_info(self.index)
        return Device(
            kind="cuda",
            name=properties.name,
            arch=f"sm_{properties.major}{properties.minor}",
            memory_bytes=properties.total_memory,
            free_bytes=free,
            index=self.index,
            cores=properties.multi_processor_count,
            llc_bytes=properties.L2_cache_size,
            **{"uuid": uuid, **self._board.to_dict()},
        )

    def telemetry(self) -> Board | NoTelemetry:
        """Return NVML's view of this GPU, or a NoTelemetry that says why there is none."""
        return self._board

    @cached_property
    def _uuid(self) -> str | None:
        uuid = getattr(torch.cuda.get_device_properties(self.index), "uuid", None)
        return None if uuid is None else str(uuid)

    @cached_property
    def _board(self) -> Board | NoTelemetry:
        return find_board(self._uuid, index=self.index)

    def synchronize(self) -> None:
        """Wait for the whole device."""
        torch.cuda.synchronize(self.index)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Recognise torch's exception class, and the messages of Triton, libraries and the host."""
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        return isinstance(error, RuntimeError) and any(map(str(error).__contains__, _OUT_OF_MEMORY))

    def is_alive(self) -> bool:
        """Return False after an illegal address, which breaks the context, or a broken capture."""
        try:
            self.synchronize()
        except RuntimeError:
            return False
        return not self._is_spoilt

    def release(self) -> None:
        """Return cached blocks, so that the next case's peak is its own."""
        collect_garbage()
        with suppress(RuntimeError):  # the context is dead, which is_alive reports later
            torch.cuda.empty_cache()

    def profile(self, call: Call) -> Profile:
        """Call once under the profiler; memory comes from the allocator's counters."""
        with profile(
            activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=False
        ) as trace:
            used = self.memory_of(call)
        events = trace.profiler.kineto_results.events()
        names = device_kernels(events, DeviceType.CUDA)
        return Profile(
            peak_bytes=used.peak_bytes,
            left_bytes=used.left_bytes,
            kernels=names,
            result=used.result,
        )

    def memory_of(self, call: Call) -> Profile:
        """Call once and compare the allocator's counters before and after."""
        self.synchronize()
        before = torch.cuda.memory_allocated(self.index)
        torch.cuda.reset_peak_memory_stats(self.index)
        result = call()
        self.synchronize()
        return Profile(
            peak_bytes=torch.cuda.max_memory_allocated(self.index) - before,
            left_bytes=torch.cuda.memory_allocated(self.index) - before,
            kernels=(),
            result=result,
        )

    def events(self) -> tuple[Any, Any]:
        """Return a start and an end event with timing enabled."""
        return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def delay(self, seconds: float) -> None:
        """Spin on the current stream for about so long."""
        self.spin(seconds)

    def capture(self, calls: Sequence[Call]) -> Call:
        """Capture calls in a CUDA graph, after one call on a side stream as torch requires.

        What a call returns is freed during the capture, so that the next call can reuse its memory,
        as it would outside a graph.
        """
        side, current = torch.cuda.Stream(self.index), torch.cuda.current_stream(self.index)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            calls[0]()
        current.wait_stream(side)
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                for call in calls:
                    call()
        except BaseException:
            # torch leaves the capture's stream current and its generator in capture mode.
            torch.cuda.set_stream(current)
            self._is_spoilt = True
            _BROKEN_CAPTURES.append(graph)
            raise
        return graph.replay

    def kernel_span_s(self, call: Call) -> float | None:
        """Trace one call and return the time span of everything that the GPU did for it."""
        with profile(activities=[ProfilerActivity.CUDA], acc_events=False) as trace:
            call()
            self.synchronize()
        return device_span_s(trace.profiler.kineto_results.events(), DeviceType.CUDA)

    def spin(self, seconds: float) -> None:
        """Spin for so many cycles: exact at the calibrated clock, proportional at any clock."""
        torch.cuda._sleep(round(seconds * self._cycles_per_s))  # noqa: SLF001  torch's only spin

    def on_side_stream(self, call: Call) -> Any:
        """Call on a new stream that nothing joins."""
        with torch.cuda.stream(torch.cuda.Stream(self.index)):
            return call()

    def _calibrated(self) -> float:
        """Return the spin kernel's cycles per second at the clock that the device settles on.

        Calibrated at an idle clock, a delay would end before the work that it hides was enqueued.
        """
        self._cycles_per_second()  # loads the kernel
        best = 0.0
        began = risen = self.clock_ns()
        while (now := self.clock_ns()) - risen < _STEADY_S * 1e9:
            if now - began > _LONGEST_CALIBRATION_S * 1e9:
                break
            rate = self._cycles_per_second()
            risen = now if rate > _RISE * best else risen
            best = max(best, rate)
        return best

    def _cycles_per_second(self) -> float:
        start, end = self.events()
        start.record()
        torch.cuda._sleep(_CALIBRATION_CYCLES)  # noqa: SLF001
        end.record()
        end.synchronize()
        return _CALIBRATION_CYCLES / max(float(start.elapsed_time(end)) * 1e-3, 1e-6)
