"""The CUDA device over a stand-in of ``torch.cuda``: what we do with it, nothing about a GPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest
import torch

from attnbench.device.cuda import Cuda

pytestmark = pytest.mark.torch

# The clock by how long the device has been busy: it is idle, and rises in two steps.
CLOCKS_HZ = ((0.0, 345e6), (0.04, 1200e6), (0.12, 1980e6))


@dataclass
class StandIn:
    """A GPU whose clock rises while it is busy. ``dead`` answers nothing."""

    now_s: float = 0.0
    busy_s: float = 0.0
    dead: bool = False
    stream: str = "current"

    def spin(self, cycles: int) -> None:
        took_s = cycles / max(hz for since_s, hz in CLOCKS_HZ if self.busy_s >= since_s)
        self.now_s += took_s
        self.busy_s += took_s

    def answer(self, *_args: object) -> None:
        if self.dead:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    @contextmanager
    def capturing(self, _graph: object):
        """Leave the capture's stream current where the block raises, as torch does."""
        self.stream = "capture"
        yield
        self.stream = "current"

    def set_stream(self, stream: str) -> None:
        self.stream = stream


class Event:
    """An event of the stand-in's clock."""

    def __init__(self, gpu: StandIn) -> None:
        self._gpu, self._at_s = gpu, 0.0

    def record(self) -> None:
        self._at_s = self._gpu.now_s

    def synchronize(self) -> None:
        self._gpu.answer()

    def elapsed_time(self, later: Event) -> float:
        return (later._at_s - self._at_s) * 1e3


class Stream:
    """A stream that waits for others."""

    def __init__(self, *_args: object) -> None:
        self.waits_for: list[object] = []

    def wait_stream(self, other: object) -> None:
        self.waits_for.append(other)


class Graph:
    """A graph."""

    def replay(self) -> None:
        """Do nothing."""


@pytest.fixture
def gpu(monkeypatch):
    found = StandIn()
    current = Stream()
    stands_in = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "set_device": found.answer,
        "synchronize": found.answer,
        "empty_cache": found.answer,
        "Event": lambda **_words: Event(found),
        "_sleep": found.spin,
        "Stream": Stream,
        "stream": lambda _stream: nullcontext(),
        "current_stream": lambda *_args: current,
        "set_stream": lambda stream: found.set_stream("current" if stream is current else "?"),
        "CUDAGraph": Graph,
        "graph": found.capturing,
    }
    for name, one in stands_in.items():
        monkeypatch.setattr(torch.cuda, name, one)
    monkeypatch.setattr(Cuda, "clock_ns", staticmethod(lambda: round(found.now_s * 1e9)))
    return found


def test_a_delay_is_counted_at_the_clock_that_an_idle_device_comes_to(gpu):
    cuda = Cuda(0)
    gpu.busy_s = 1.0  # other cases came before
    began_s = gpu.now_s
    cuda.delay(200e-6)

    assert gpu.now_s - began_s == pytest.approx(200e-6)


def test_a_clock_that_never_rests_is_not_waited_for(gpu, monkeypatch):
    # It rises by 2 % from one look to the next, for ever.
    looks = iter(range(10**6))

    def spin(_cycles):
        gpu.now_s += 1e-3 * 0.98 ** next(looks) + 1e-9
        gpu.busy_s += 0.01

    monkeypatch.setattr(torch.cuda, "_sleep", spin)
    monkeypatch.setattr(
        Cuda, "clock_ns", staticmethod(lambda: round((gpu.now_s + gpu.busy_s) * 1e9))
    )
    Cuda(0)

    assert gpu.busy_s < 2


def test_a_dead_context_is_released_without_a_word_and_is_not_alive(gpu):
    cuda = Cuda(0)
    assert cuda.is_alive()
    gpu.dead = True
    cuda.release()

    assert not cuda.is_alive()


def test_a_capture_that_breaks_gives_the_stream_back_and_spoils_the_process(gpu, monkeypatch):
    kept = []
    monkeypatch.setattr("attnbench.device.cuda._BROKEN_CAPTURES", kept)
    cuda = Cuda(0)
    calls = iter(range(2))

    def broken():
        if next(calls):
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        cuda.capture([broken])

    assert gpu.stream == "current"
    assert not cuda.is_alive()
    assert len(kept) == 1  # torch's allocator would ask it after its end


def test_a_call_that_fails_before_it_is_captured_spoils_nothing(gpu):
    cuda = Cuda(0)
    with pytest.raises(ZeroDivisionError):
        cuda.capture([lambda: 1 / 0])
    cuda.capture([lambda: None])

    assert gpu.stream == "current"
    assert cuda.is_alive()


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 PiB"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("out of resource: shared memory, Required: 262144"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
@pytest.mark.usefixtures("gpu")
def test_memory_that_runs_out_outside_the_allocator_is_out_of_memory_too(error, is_one):
    assert Cuda(0).is_out_of_memory(error) is is_one
