"""The timing self-test: known times and known bytes, measured like any case.

The right answer of each test is known independently of this package. A test that fails says what to
do. It is ``grave`` if no figure of this machine can be trusted, else a warning that the machine is
busy.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from attnbench.device.base import Call, Driver
from attnbench.device.rates import Ceilings
from attnbench.environment import Device
from attnbench.errors import Unsupported
from attnbench.measure.outcome import TOLERANCE, Implausible
from attnbench.measure.timers import make_timer
from attnbench.measure.timers.base import refuse_side_stream_work
from attnbench.stats.summary import summarize

_TRIES = 3  # another process may spoil one
_SAMPLES = 10
_SPIN_S = {"cpu": 1e-3, "cuda": 5e-3}
_TIMERS_SPIN_S = 1e-3  # a timer adds only microseconds to a kernel
_SPIN_ERROR, _PROPORTION_ERROR, _HOST_S = 0.01, 0.02, 100e-6
_PAIRS, _SAME = 15, 0.01
_MATRIX = {"cpu": 256, "cuda": 2048}
_COPY_SHARE = 0.6  # of the ceiling; less means that others use the machine
_COPY_BYTES = {"cpu": 128 * 10**6, "cuda": 10**9}
_BRIEF_BYTES = 32 * 10**6
_BUSY = "another program uses this device: stop it, then run attnbench doctor again"
_BROKEN = "do not believe figures of this machine; report it with attnbench doctor --json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """One test: the measured and the expected value in words; ``advice`` if it failed."""

    name: str
    passed: bool
    measured: str
    expected: str
    advice: str | None = None
    grave: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for the parent."""
        return asdict(self)


def self_test(
    driver: Driver, device: Device, ceilings: Ceilings, *, brief: bool = False
) -> Iterator[SelfTest]:
    """Run every test of this kind of device; a test that raises has failed, with its error.

    ``brief`` is for the start of a run: on a CPU the copy is small, and all tests take 0.2 s.
    """
    tests: dict[str, Callable[[], SelfTest]] = {
        "spin": partial(spin, driver),
        "copy": partial(copy, driver, device, ceilings, brief=brief),
        "A/A": partial(_alike_briefly if brief else alike, driver, _product(driver)),
    }
    if driver.kind == "cuda":
        tests |= {
            "events": partial(events, driver),
            "streams": partial(streams, driver),
            "timers": partial(timers, driver),
        }
    for name, test in tests.items():
        try:
            yield test()
        except Exception as error:  # noqa: BLE001  whatever it is, doctor is there to show it
            yield SelfTest(
                name=name,
                passed=False,
                measured=f"{type(error).__name__}: {error}",
                expected="an answer",
                advice=_BROKEN,
                grave=True,
            )


def spin(driver: Driver) -> SelfTest:
    """A call of known length: absolute on a CPU, where the host's clock is the truth.

    A GPU's spin counts cycles of a clock that moves, so there twice as many must take twice as
    long.
    """
    return _spin_ratio(driver) if driver.kind == "cuda" else _spin_length(driver)


def _spin_length(driver: Driver) -> SelfTest:
    asked_s = _SPIN_S["cpu"]
    read = partial(_read, driver, partial(driver.spin, asked_s))
    read_s = _nearest(read, asked_s, _SPIN_ERROR * asked_s)
    passed = abs(read_s / asked_s - 1) <= _SPIN_ERROR
    grave = read_s < asked_s * (1 - _SPIN_ERROR)
    return SelfTest(
        name="spin",
        passed=passed,
        measured=f"{read_s * 1e6:.1f} us",
        expected=f"{asked_s * 1e6:.0f} us within {_SPIN_ERROR:.0%}",
        advice=None if passed else _BROKEN if grave else _BUSY,
        grave=grave,
    )


def _spin_ratio(driver: Driver) -> SelfTest:
    short_s = _SPIN_S["cuda"]

    def measured() -> float:
        once = _read(driver, partial(driver.spin, short_s))
        return _read(driver, partial(driver.spin, 2 * short_s)) / once

    ratio = _nearest(measured, 2, 2 * _PROPORTION_ERROR)
    passed = abs(ratio / 2 - 1) <= _PROPORTION_ERROR
    return SelfTest(
        name="spin",
        passed=passed,
        measured=f"{ratio:.3f} times as long",
        expected=f"2 times within {_PROPORTION_ERROR:.0%}",
        advice=None if passed else "lock the clocks (nvidia-smi -lgc), then look again",
        grave=not passed,
    )


def copy(driver: Driver, device: Device, ceilings: Ceilings, *, brief: bool = False) -> SelfTest:
    """Copy known bytes: the rate must be near the measured ceiling, and never above it.

    A brief copy on a CPU may fit into the last-level cache, so only its lower bound is judged.
    """
    small = brief and driver.kind == "cpu"
    wanted = max(_COPY_BYTES[driver.kind], 4 * (device.llc_bytes or 0))
    count = min(_BRIEF_BYTES if small else wanted, device.free_bytes // 8)
    source = torch.ones(count, dtype=torch.uint8, device=driver.torch_name)
    target = torch.empty_like(source)
    least = _COPY_SHARE * (ceilings.copy_gbps or 0)
    took_s = math.inf
    for _ in range(_TRIES):
        took_s = min(took_s, _read(driver, lambda: target.copy_(source), 3))
        if small and 2 * count / took_s / 1e9 >= least:
            break
    return judge_copy(2 * count / took_s / 1e9, ceilings, driver.kind, bounded=not small)


def judge_copy(gbps: float, ceilings: Ceilings, kind: str, *, bounded: bool = True) -> SelfTest:
    """Compare a copy's rate with the copy ceiling and the peak bandwidth, where they are known."""
    least = _COPY_SHARE * (ceilings.copy_gbps or 0)
    most = TOLERANCE[kind] * (ceilings.peak_bandwidth_gbps or math.inf) if bounded else math.inf
    advice = None
    if gbps < least:
        advice = _BUSY
    elif gbps > most:
        # On a busy CPU the ceiling may be too low, which is not the clock's fault.
        advice = "the ceilings were measured in a busy moment: run a suite, which looks again"
    return SelfTest(
        name="copy",
        passed=advice is None,
        measured=f"{gbps:.4g} GB/s",
        expected=f"{least:.4g} to {most:.4g} GB/s" if bounded else f"{least:.4g} GB/s or more",
        advice=advice,
        grave=gbps > most and kind == "cuda",
    )


def alike(driver: Driver, call: Call) -> SelfTest:
    """Interleave the same call as A and B: the median difference must be 0."""
    first, second = (make_timer(_timer(driver), driver, call, None) for _ in range(2))
    for timer in (first, second):
        timer.sample()

    def measured() -> float:
        pairs = [(first.sample(), second.sample()) for _ in range(_PAIRS)]
        return statistics.median(math.log(b / a) for a, b in pairs)

    difference = _nearest(measured, 0, _SAME)
    passed = abs(difference) <= _SAME
    return SelfTest(
        name="A/A",
        passed=passed,
        measured=f"{difference:+.2%}",
        expected=f"0 within {_SAME:.0%}",
        advice=None if passed else _BUSY,
    )


def _alike_briefly(driver: Driver, call: Call) -> SelfTest:
    with one_thread(driver):
        return alike(driver, call)


@contextmanager
def one_thread(driver: Driver) -> Iterator[None]:
    """Compute on one core of a CPU: multithreaded timing would measure the scheduler."""
    threads = torch.get_num_threads()
    if driver.kind == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def events(driver: Driver) -> SelfTest:
    """Compare events with the host's clock: both must see the same spin."""
    call = partial(driver.spin, _SPIN_S["cuda"])
    slack_s = _PROPORTION_ERROR * _SPIN_S["cuda"]

    def measured() -> float:
        event_s = _read(driver, call)
        return _read(driver, call, timer="wall") - event_s

    gap_s = _nearest(measured, 0, slack_s)
    # The host's clock also includes the launch and the wake-up, so it never sees less.
    passed = -slack_s <= gap_s <= slack_s + _HOST_S
    return SelfTest(
        name="events",
        passed=passed,
        measured=f"{gap_s * 1e6:+.0f} us between the host's clock and events",
        expected=f"0 to {(slack_s + _HOST_S) * 1e6:.0f} us",
        advice=None if passed else "use timer: wall in the suite, and update the driver",
        grave=not passed,
    )


def streams(driver: Driver) -> SelfTest:
    """Work on another stream must be refused, and work on the current stream accepted."""
    length = _SPIN_S["cuda"]
    inside = _is_refused(driver, partial(driver.spin, length))
    outside = _is_refused(driver, lambda: driver.on_side_stream(partial(driver.spin, length)))
    passed = outside and not inside
    said = {True: "refused", False: "accepted"}
    return SelfTest(
        name="streams",
        passed=passed,
        measured=f"own stream {said[inside]}, another {said[outside]}",
        expected="own stream accepted, another refused",
        advice=None if passed else "use timer: wall in the suite",
        grave=not passed,
    )


def timers(driver: Driver) -> SelfTest:
    """Every GPU timer must measure one long kernel like ``event``."""
    call = partial(driver.spin, _TIMERS_SPIN_S)
    said, agree, absent = [], True, ""
    for name in ("event_batched", "graph", "profiler"):
        try:
            gap = _nearest(partial(_apart, driver, call, name), 0, _PROPORTION_ERROR)
        except Unsupported as error:
            said.append(f"{name} none")
            absent = f"that timer cannot be used here: {error}"
            continue
        said.append(f"{name} {gap:+.1%}")
        agree = agree and abs(gap) <= _PROPORTION_ERROR
    return SelfTest(
        name="timers",
        passed=agree and not absent,
        measured=f"against event: {', '.join(said)}",
        expected=f"0 within {_PROPORTION_ERROR:.0%}",
        advice=_BROKEN if not agree else absent or None,
        grave=not agree,
    )


def _apart(driver: Driver, call: Call, timer: str) -> float:
    return _read(driver, call, timer=timer) / _read(driver, call) - 1


def _nearest(measure: Callable[[], float], right: float, error: float) -> float:
    """Measure a few times at most, until it is right; return the nearest value."""
    found: list[float] = []
    for _ in range(_TRIES):
        found.append(measure())
        if abs(found[-1] - right) <= error:
            break
    return min(found, key=lambda one: abs(one - right))


def _is_refused(driver: Driver, call: Call) -> bool:
    try:
        refuse_side_stream_work(driver, call)
    except Implausible:
        return True
    return False


def _product(driver: Driver) -> Call:
    size = _MATRIX[driver.kind]
    x = torch.randn(size, size, device=driver.torch_name)
    return lambda: x @ x


def _timer(driver: Driver) -> str:
    return "event" if driver.kind == "cuda" else "wall"


def _read(driver: Driver, call: Call, count: int = _SAMPLES, *, timer: str | None = None) -> float:
    """Time a call like a case, in seconds; the first sample, with one-time costs, is dropped."""
    made = make_timer(timer or _timer(driver), driver, call, None)
    made.sample()
    return summarize([made.sample() for _ in range(count)]).latency
