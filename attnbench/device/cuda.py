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
# An idle GPU's clock is a fifth of the highest and takes some hundredths of a second to rise.
_STEADY_S, _LONGEST_CALIBRATION_S, _RISE = 0.1, 1.0, 1.01
# Where memory ran out outside torch's allocator: a module that was loaded, a library's handle.
_OUT_OF_MEMORY = ("[CUDA]: out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")

# torch's allocator goes on asking these whether memory is theirs, freed or not.
_BROKEN_CAPTURES: list[Any] = []


class Cuda:
    """One CUDA device by torch's index."""

    kind = "cuda"
    clock_ns = staticmethod(time.perf_counter_ns)
    # "Around 0.5 microseconds", says the CUDA runtime's cudaEventElapsedTime.
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

    def gauge(self) -> Board | NoTelemetry:
        """Return NVML's view of this GPU, or one that knows nothing and says why."""
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
        """Torch has a class for it; Triton and libraries have words; the host may run out too."""
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        return isinstance(error, RuntimeError) and any(map(str(error).__contains__, _OUT_OF_MEMORY))

    def is_alive(self) -> bool:
        """After an illegal address every call on the context raises; a broken capture lingers."""
        try:
            self.synchronize()
        except RuntimeError:
            return False
        return not self._is_spoilt

    def release(self) -> None:
        """Return cached blocks, so that the next case's peak is its own."""
        collect_garbage()
        with suppress(RuntimeError):  # of a dead context: is_alive says so later
            torch.cuda.empty_cache()

    def profile(self, call: Call) -> Profile:
        """Call once under the profiler, with the allocator's peak beside it."""
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
        """Call once between two readings of the allocator."""
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
        """Return a start and an end event that keep time."""
        return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def delay(self, seconds: float) -> None:
        """Spin the current stream for about so long."""
        self.spin(seconds)

    def capture(self, calls: Sequence[Call]) -> Call:
        """Capture calls in a CUDA graph, after one round on a side stream as torch asks for.

        What a call returns is freed while capturing, so that the next may have its memory, as it
        would outside a graph.
        """
        aside, current = torch.cuda.Stream(self.index), torch.cuda.current_stream(self.index)
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            calls[0]()
        current.wait_stream(aside)
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                for call in calls:
                    call()
        except BaseException:
            # torch leaves the capture's stream current, and its generator as if still captured.
            torch.cuda.set_stream(current)
            self._is_spoilt = True
            _BROKEN_CAPTURES.append(graph)
            raise
        return graph.replay

    def kernel_span_s(self, call: Call) -> float | None:
        """Trace one call and return the span of everything that the GPU did for it."""
        with profile(activities=[ProfilerActivity.CUDA], acc_events=False) as trace:
            call()
            self.synchronize()
        return device_span_s(trace.profiler.kineto_results.events(), DeviceType.CUDA)

    def spin(self, seconds: float) -> None:
        """Spin for so many cycles: right at the clock of the calibration, in proportion always."""
        torch.cuda._sleep(round(seconds * self._cycles_per_s))  # noqa: SLF001  torch's only spin

    def aside(self, call: Call) -> Any:
        """Call on a stream of its own, which nothing joins."""
        with torch.cuda.stream(torch.cuda.Stream(self.index)):
            return call()

    def _calibrated(self) -> float:
        """Return the spin kernel's cycles a second at the clock that the device comes to.

        At an idle clock counted, a delay would be over before what it is to hide was enqueued.
        """
        self._cycles_a_second()  # loads the kernel
        best = 0.0
        began = risen = self.clock_ns()
        while (now := self.clock_ns()) - risen < _STEADY_S * 1e9:
            if now - began > _LONGEST_CALIBRATION_S * 1e9:
                break
            rate = self._cycles_a_second()
            risen = now if rate > _RISE * best else risen
            best = max(best, rate)
        return best

    def _cycles_a_second(self) -> float:
        start, end = self.events()
        start.record()
        torch.cuda._sleep(_CALIBRATION_CYCLES)  # noqa: SLF001
        end.record()
        end.synchronize()
        return _CALIBRATION_CYCLES / max(float(start.elapsed_time(end)) * 1e-3, 1e-6)
