"""A simulated GPU for tests, with a scripted clock and scripted faults.

Work is arithmetic on the times of two streams: a launch begins when the host has issued it and its
stream is free. A backend under test computes on torch's CPU and calls ``launch`` with the time that
its kernel is to take and, where caches matter, with what it reads.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench.device.base import Call, DeviceState, Profile
from attnbench.environment import Device

_RESOLUTION_S = 0.5e-6
_BOOST_MHZ, _MEMORY_MHZ, _WATTS = 2000.0, 3000.0, 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a fake device does; times in seconds of its own clock.

    ``noise`` is the relative standard deviation of a launch's time; every ``spike_every``-th launch
    takes ten times as long. Clocks fall by the fraction ``drift_per_s`` each second, and to half
    from ``throttles_at_s`` on. ``issue_s`` is the host's time to issue one launch. Events may all
    read 0 (``zero_events``) or whole multiples of ``tick_s``; launches may go to a stream that has
    no events (``wrong_stream``); launch number ``oom_at`` runs out of memory, and launch number
    ``hangs_at`` never ends. A read that hits the last ``llc_bytes`` takes ``warm_share`` of its
    time. ``capture_fails`` is the message with which a graph capture fails, and a
    ``blind_profiler`` sees no kernel.
    """

    kind: str = "cuda"
    seed: int = 0
    noise: float = 0.0
    spike_every: int | None = None
    drift_per_s: float = 0.0
    throttles_at_s: float | None = None
    issue_s: float = 5e-6
    zero_events: bool = False
    tick_s: float | None = None
    wrong_stream: bool = False
    oom_at: int | None = None
    hangs_at: int | None = None
    memory_bytes: int = 16 * 10**9
    llc_bytes: int = 2**16
    warm_share: float = 0.5
    capture_fails: str | None = None
    blind_profiler: bool = False
    telemetry: bool = True
    foreign: tuple[int, ...] = ()


class FakeOutOfMemory(MemoryError):
    """The script makes memory run out."""


class FakeHang(BaseException):
    """The host would wait for ever; nothing in a worker may catch this."""


@dataclass(slots=True)
class FakeEvent:
    """A timing event on the current stream of a fake device."""

    device: Fake
    at_s: float = 0.0

    def record(self) -> None:
        """Record the time at which the current stream finishes what it was given."""
        self.at_s = max(self.device.now_s, self.device.free_at_s["current"])

    def query(self) -> bool:
        """Return whether the device has reached the event."""
        return self.device.now_s >= self.at_s

    def synchronize(self) -> None:
        """Make the host wait for the event."""
        self.device.wait_until(self.at_s)

    def elapsed_time(self, later: FakeEvent) -> float:
        """Return milliseconds, as CUDA does; consecutive events are 0.5 microseconds apart."""
        script = self.device.script
        if script.zero_events:
            return 0.0
        seconds = max(_RESOLUTION_S, later.at_s - self.at_s)
        if script.tick_s is not None:
            seconds = script.tick_s * round(seconds / script.tick_s)
        return seconds * 1e3


@dataclass(frozen=True, slots=True)
class _Work:
    """One kernel: its time at the highest clock, and the name and bytes of what it reads."""

    seconds: float
    reads: tuple[object, int] | None


@dataclass(slots=True)
class Fake:
    """A Driver without a device; ``now_s`` is the host's clock."""

    script: Script = field(default_factory=Script)
    torch_name: str = "cpu"
    event_resolution_s: float = _RESOLUTION_S
    now_s: float = 0.0
    launches: int = 0
    free_at_s: dict[str, float] = field(default_factory=lambda: {"current": 0.0, "aside": 0.0})
    _stream: str = field(default="current", init=False)
    _dice: random.Random = field(init=False)
    _ran: int = field(default=0, init=False)
    _cached: dict[object, int] = field(default_factory=dict, init=False)
    _graph: list[_Work] | None = field(default=None, init=False)
    _trace: list[tuple[float, float]] | None = field(default=None, init=False)
    _is_spoilt: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.script.seed)  # noqa: S311  noise, not a secret

    @property
    def kind(self) -> str:
        """The kind that the script asks for."""
        return self.script.kind

    def launch(self, seconds: float, *, reads: tuple[object, int] | None = None) -> None:
        """Launch a kernel.

        Args:
            seconds: its time at the highest clock and without noise.
            reads: a name for the data that it reads, and its bytes; a repeated name may hit the
                cache.

        """
        self.launches += 1
        self.now_s += self.script.issue_s
        if self.launches == self.script.oom_at:
            raise FakeOutOfMemory("the script says out of memory")
        stream = "aside" if self.script.wrong_stream else self._stream
        work = _Work(math.inf if self.launches == self.script.hangs_at else seconds, reads)
        if self._graph is not None and stream == "current":
            self._graph.append(work)
        else:
            self._run(work, stream)

    def _run(self, work: _Work, stream: str) -> None:
        """Start a kernel when the host has issued it and its stream is free."""
        self._ran += 1
        seconds = work.seconds * self._noise_factor() * self._cache_share(work) / self.clock_share
        begin = max(self.now_s, self.free_at_s[stream])
        self.free_at_s[stream] = begin + seconds
        if self._trace is not None:
            self._trace.append((begin, begin + seconds))

    def _noise_factor(self) -> float:
        """Draw the factor by which a launch takes longer than asked for."""
        every = self.script.spike_every
        factor = 10.0 if every is not None and self._ran % every == 0 else 1.0
        return factor * max(0.1, self._dice.gauss(1, self.script.noise))

    def _cache_share(self, work: _Work) -> float:
        """Return the share of its time that a kernel takes, given what the cache still holds."""
        if work.reads is None:
            return 1.0
        name, nbytes = work.reads
        is_hit = self._cached.pop(name, None) is not None
        self._cached[name] = nbytes
        while sum(self._cached.values()) > self.script.llc_bytes:
            self._cached.pop(next(iter(self._cached)))  # the least recently read
        return self.script.warm_share if is_hit else 1.0

    @property
    def clock_share(self) -> float:
        """The current clock as a share of the highest."""
        drifted = max(0.1, 1 - self.script.drift_per_s * self.now_s)
        return drifted * (0.5 if self._is_throttled else 1.0)

    @property
    def _is_throttled(self) -> bool:
        since = self.script.throttles_at_s
        return since is not None and self.now_s >= since

    def clock_ns(self) -> int:
        """Return the host's clock."""
        return round(self.now_s * 1e9)

    def describe(self) -> Device:
        """Describe a device that no datasheet lists."""
        return Device(
            kind=self.kind,
            name="Scripted",
            arch="sm_90" if self.kind == "cuda" else "x86_64",
            memory_bytes=self.script.memory_bytes,
            free_bytes=self.script.memory_bytes,
            llc_bytes=self.script.llc_bytes,
        )

    def wait_until(self, seconds: float) -> None:
        """Make the host wait.

        Raises:
            FakeHang: the wait would never end.

        """
        if math.isinf(seconds):
            raise FakeHang
        self.now_s = max(self.now_s, seconds)

    def synchronize(self) -> None:
        """Wait for both streams."""
        self.wait_until(max(self.free_at_s.values()))

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Recognise only the script's own error."""
        return isinstance(error, FakeOutOfMemory)

    def is_alive(self) -> bool:
        """Return False only after a broken capture."""
        return not self._is_spoilt

    def release(self) -> None:
        """Do nothing: a fake device caches no memory."""

    def profile(self, call: Call) -> Profile:
        """Call once; a fake device allocates no memory."""
        return Profile(peak_bytes=0, left_bytes=0, kernels=("scripted",), result=call())

    def memory_of(self, call: Call) -> Profile:
        """Call once."""
        return self.profile(call)

    def events(self) -> tuple[Any, Any]:
        """Return a start and an end event; a scripted CPU has none."""
        self._refuse_a_cpu("events")
        return FakeEvent(self), FakeEvent(self)

    def delay(self, seconds: float) -> None:
        """Keep the current stream busy for exactly this long."""
        self.now_s += self.script.issue_s
        begin = max(self.now_s, self.free_at_s["current"])
        self.free_at_s["current"] = begin + seconds

    def capture(self, calls: Sequence[Call]) -> Call:
        """Record what goes to the current stream; a replay issues all of it at once.

        Raises:
            RuntimeError: the script makes captures fail.

        """
        self._refuse_a_cpu("graphs")
        if self.script.capture_fails is not None:
            self._is_spoilt = True
            raise RuntimeError(self.script.capture_fails)
        graph: list[_Work] = []
        self._graph = graph
        try:
            for call in calls:
                call()
        finally:
            self._graph = None

        def replay() -> None:
            self.now_s += self.script.issue_s
            for work in graph:
                self._run(work, "current")

        return replay

    def kernel_span_s(self, call: Call) -> float | None:
        """Return the time span of one call's kernels, on any stream."""
        self._refuse_a_cpu("kernels")
        self._trace = []
        call()
        self.synchronize()
        spans, self._trace = self._trace, None
        if self.script.blind_profiler or not spans:
            return None
        return max(end for _, end in spans) - min(begin for begin, _ in spans)

    def _refuse_a_cpu(self, what: str) -> None:
        if self.kind != "cuda":
            raise NotImplementedError(f"a CPU has no {what}; its timer is wall")

    def spin(self, seconds: float) -> None:
        """Launch a kernel of a known length."""
        self.launch(seconds)

    def on_side_stream(self, call: Call) -> Any:
        """Call with the side stream as the current one."""
        self._stream = "aside"
        try:
            return call()
        finally:
            self._stream = "current"

    def telemetry(self) -> Fake | None:
        """Return the device itself; a scripted CPU has no telemetry."""
        return self if self.kind == "cuda" else None

    def read(self) -> DeviceState:
        """Return the state that the script sets for this moment."""
        if not self.script.telemetry:
            return DeviceState()
        return DeviceState(
            sm_clock_mhz=_BOOST_MHZ * self.clock_share,
            mem_clock_mhz=_MEMORY_MHZ,
            power_w=_WATTS,
            temperature_c=60.0,
            throttled=("sw_power_cap",) if self._is_throttled else (),
            foreign=self.script.foreign,
        )

    def energy_j(self) -> float | None:
        """Return the energy of constant power."""
        return _WATTS * self.now_s if self.script.telemetry else None
