"""A scripted GPU for tests: its clock is a number, and what goes wrong with it is written down.

Work is arithmetic on two streams' times: a launch begins when the host has issued it and its stream
is free. A backend under test computes on torch's CPU and calls ``launch`` with the time that its
kernel is to take.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from attnbench.device.base import Call, Profile, Reading
from attnbench.environment import Device

_DELAY_S, _RESOLUTION_S = 200e-6, 0.5e-6
_BOOST_MHZ, _MEMORY_MHZ, _WATTS = 2000.0, 3000.0, 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a fake device does; times in seconds of its own clock.

    ``noise`` is the relative standard deviation of a launch's time; every ``spike_every``-th takes
    ten times as long. Clocks fall by ``drift_per_s`` of themselves a second, and to half from
    ``throttles_at_s`` on. ``issue_s`` is what the host needs to issue one launch. Events may all
    read 0 (``zero_events``), launches may go to a stream that no event stands on
    (``wrong_stream``), and the launch of number ``oom_at`` finds no memory.
    """

    kind: str = "cuda"
    seed: int = 0
    noise: float = 0.0
    spike_every: int | None = None
    drift_per_s: float = 0.0
    throttles_at_s: float | None = None
    issue_s: float = 5e-6
    zero_events: bool = False
    wrong_stream: bool = False
    oom_at: int | None = None
    telemetry: bool = True
    foreign: tuple[int, ...] = ()


class FakeOutOfMemory(MemoryError):
    """The script says that memory has run out."""


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
        self.device.now_s = max(self.device.now_s, self.at_s)

    def elapsed_time(self, later: FakeEvent) -> float:
        """Return milliseconds, as CUDA does; two events in a row are half a microsecond apart."""
        if self.device.script.zero_events:
            return 0.0
        return max(_RESOLUTION_S, later.at_s - self.at_s) * 1e3


@dataclass(slots=True)
class Fake:
    """A Driver without a device; ``now_s`` is the host's clock."""

    script: Script = field(default_factory=Script)
    torch_name: str = "cpu"
    now_s: float = 0.0
    launches: int = 0
    free_at_s: dict[str, float] = field(default_factory=lambda: {"current": 0.0, "aside": 0.0})
    _stream: str = field(default="current", init=False)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.script.seed)  # noqa: S311  noise, not a secret

    @property
    def kind(self) -> str:
        """What the script says."""
        return self.script.kind

    def launch(self, seconds: float) -> None:
        """Give the device work that takes so long at its highest clock and without noise."""
        self.launches += 1
        if self.launches == self.script.oom_at:
            raise FakeOutOfMemory("the script says out of memory")
        stream = "aside" if self.script.wrong_stream else self._stream
        self._enqueue(seconds * self._mishap() / self.clock_share, stream)

    def _enqueue(self, seconds: float, stream: str) -> None:
        self.now_s += self.script.issue_s
        self.free_at_s[stream] = max(self.now_s, self.free_at_s[stream]) + seconds

    def _mishap(self) -> float:
        """Draw how much longer than asked for a launch takes."""
        every = self.script.spike_every
        factor = 10.0 if every is not None and self.launches % every == 0 else 1.0
        return factor * max(0.1, self._dice.gauss(1, self.script.noise))

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

    def facts(self) -> Device:
        """Describe a device that is on no datasheet."""
        size = 16 * 10**9
        return Device(
            kind=self.kind,
            name="Scripted",
            arch="sm_90" if self.kind == "cuda" else "x86_64",
            memory_bytes=size,
            free_bytes=size,
            llc_bytes=2**16,
        )

    def synchronize(self) -> None:
        """Wait for both streams."""
        self.now_s = max(self.now_s, *self.free_at_s.values())

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Know the script's own."""
        return isinstance(error, FakeOutOfMemory)

    def is_alive(self) -> bool:
        """Survive everything."""
        return True

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
        if self.kind != "cuda":
            raise NotImplementedError("a CPU has no events; its timer is wall")
        return FakeEvent(self), FakeEvent(self)

    def delay(self) -> None:
        """Keep the current stream busy for 200 µs."""
        self._enqueue(_DELAY_S, "current")

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
