"""A scripted GPU for tests: its clock is a number, and what goes wrong with it is written down.

Work is arithmetic on two streams' times: a launch begins when the host has issued it and its stream
is free. A backend under test computes on torch's CPU and calls ``launch`` with the time that its
kernel is to take, and where caches matter with what it reads.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench.device.base import Call, Profile, Reading
from attnbench.environment import Device

_RESOLUTION_S = 0.5e-6
_BOOST_MHZ, _MEMORY_MHZ, _WATTS = 2000.0, 3000.0, 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a fake device does; times in seconds of its own clock.

    ``noise`` is the relative standard deviation of a launch's time; every ``spike_every``-th takes
    ten times as long. Clocks fall by ``drift_per_s`` of themselves a second, and to half from
    ``throttles_at_s`` on. ``issue_s`` is what the host needs to issue one launch. Events may all
    read 0 (``zero_events``) or whole multiples of ``tick_s``; launches may go to a stream that no
    event stands on (``wrong_stream``); the launch of number ``oom_at`` finds no memory, that of
    number ``hangs_at`` never ends. What is read again while the last ``llc_bytes`` still hold it
    takes ``warm_share`` of its time. ``capture_fails`` is what the device says of a graph, and a
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
    """The script says that memory has run out."""


class FakeHang(BaseException):
    """The host would wait for ever; nobody in a worker can catch that."""


@dataclass(slots=True)
class FakeEvent:
    """A timing event on the current stream of a fake device."""

    device: Fake
    at_s: float = 0.0

    def record(self) -> None:
        """Stand behind everything that the current stream was given."""
        self.at_s = max(self.device.now_s, self.device.free_at_s["current"])

    def query(self) -> bool:
        """Say whether the device has come to it."""
        return self.device.now_s >= self.at_s

    def synchronize(self) -> None:
        """Let the host wait for it."""
        self.device.wait_until(self.at_s)

    def elapsed_time(self, later: FakeEvent) -> float:
        """Return milliseconds, as CUDA does; two events in a row are half a microsecond apart."""
        script = self.device.script
        if script.zero_events:
            return 0.0
        seconds = max(_RESOLUTION_S, later.at_s - self.at_s)
        if script.tick_s is not None:
            seconds = script.tick_s * round(seconds / script.tick_s)
        return seconds * 1e3


@dataclass(frozen=True, slots=True)
class _Work:
    """One kernel: its length at the highest clock, and the name and bytes of what it reads."""

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
        """What the script says."""
        return self.script.kind

    def launch(self, seconds: float, *, reads: tuple[object, int] | None = None) -> None:
        """Give the device work that takes so long at its highest clock and without noise.

        ``reads`` is a name for what it reads, and its bytes: told again soon enough, it is cached.
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
        """Let a kernel begin when the host has come to it and its stream is free."""
        self._ran += 1
        seconds = work.seconds * self._mishap() * self._cache_share(work) / self.clock_share
        begin = max(self.now_s, self.free_at_s[stream])
        self.free_at_s[stream] = begin + seconds
        if self._trace is not None:
            self._trace.append((begin, begin + seconds))

    def _mishap(self) -> float:
        """Draw how much longer than asked for a launch takes."""
        every = self.script.spike_every
        factor = 10.0 if every is not None and self._ran % every == 0 else 1.0
        return factor * max(0.1, self._dice.gauss(1, self.script.noise))

    def _cache_share(self, work: _Work) -> float:
        """Tell how much of its time a kernel takes, the cache being as the last ones left it."""
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
        """The present clock as a share of the highest."""
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
        """Describe a device that is on no datasheet."""
        return Device(
            kind=self.kind,
            name="Scripted",
            arch="sm_90" if self.kind == "cuda" else "x86_64",
            memory_bytes=self.script.memory_bytes,
            free_bytes=self.script.memory_bytes,
            llc_bytes=self.script.llc_bytes,
        )

    def wait_until(self, seconds: float) -> None:
        """Let the host wait.

        Raises:
            FakeHang: for ever.

        """
        if math.isinf(seconds):
            raise FakeHang
        self.now_s = max(self.now_s, seconds)

    def synchronize(self) -> None:
        """Wait for both streams."""
        self.wait_until(max(self.free_at_s.values()))

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Know the script's own."""
        return isinstance(error, FakeOutOfMemory)

    def is_alive(self) -> bool:
        """Survive everything but a capture that broke."""
        return not self._is_spoilt

    def release(self) -> None:
        """Hold nothing."""

    def profile(self, call: Call) -> Profile:
        """Call once; a fake device has no memory to watch."""
        return Profile(peak_bytes=0, left_bytes=0, kernels=("scripted",), result=call())

    def memory_of(self, call: Call) -> Profile:
        """Call once."""
        return self.profile(call)

    def events(self) -> tuple[Any, Any]:
        """Return a start and an end event; a scripted CPU has none."""
        self._refuse_a_cpu("events")
        return FakeEvent(self), FakeEvent(self)

    def delay(self, seconds: float) -> None:
        """Keep the current stream busy, exactly so long."""
        self.now_s += self.script.issue_s
        begin = max(self.now_s, self.free_at_s["current"])
        self.free_at_s["current"] = begin + seconds

    def capture(self, calls: Sequence[Call]) -> Call:
        """Record what goes to the current stream; a replay issues all of it at once.

        Raises:
            RuntimeError: the script says so.

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
        """Return the span of the kernels of one call, on whatever stream."""
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
        """Launch work of a known length."""
        self.launch(seconds)

    def aside(self, call: Call) -> Any:
        """Call with the other stream as the current one."""
        self._stream = "aside"
        try:
            return call()
        finally:
            self._stream = "current"

    def gauge(self) -> Fake | None:
        """Tell the state of itself; a scripted CPU has nobody to."""
        return self if self.kind == "cuda" else None

    def read(self) -> Reading:
        """Return the state that the script asks for at this moment."""
        if not self.script.telemetry:
            return Reading()
        return Reading(
            sm_clock_mhz=_BOOST_MHZ * self.clock_share,
            mem_clock_mhz=_MEMORY_MHZ,
            power_w=_WATTS,
            temperature_c=60.0,
            throttled=("sw_power_cap",) if self._is_throttled else (),
            foreign=self.script.foreign,
        )

    def energy_j(self) -> float | None:
        """Return constant power over time."""
        return _WATTS * self.now_s if self.script.telemetry else None
