"""Canaries: three calls that never change, first and last in each process, and a warm device.

What a case took can change for its own sake; what these take changes with the machine's state
alone. They are stored beside the rows, so that two processes, runs or machines of one name can be
told apart by more than the cases themselves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from attnbench.device.base import Call, Driver
from attnbench.environment import Device
from attnbench.measure.selftest import one_thread
from attnbench.measure.timers import make_timer

if TYPE_CHECKING:
    from attnbench.measure.bench import DeviceContext

_SAMPLES = 7
_COPY_BYTES = {"cpu": 32 * 10**6, "cuda": 10**9}
_MATRIX = {"cpu": 384, "cuda": 4096}
_ROWS = {"cpu": 512, "cuda": 8192}
_MICRO = 1e6
# The device is warm when its clock has kept within 1 % for a second; a step of NVIDIA's clocks is
# 0.8 % of the highest. One that never does is measured as it is.
FLAT_S, FLAT, LONGEST_S = 1.0, 0.01, 8.0
_FEWEST = 5
_PRODUCTS = 64  # of a 4096 matrix: some tens of milliseconds, so that a reading is no load itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """How long the device was driven and whether its clock came to rest (None: not looked at)."""

    seconds: float
    flat: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"warmup_s": self.seconds, "flat": self.flat}


def canary_calls(driver: Driver, device: Device) -> dict[str, Call]:
    """Make the three: a copy, a matrix product, and a kernel that hangs on neither alone."""
    kind, place = driver.kind, driver.torch_name
    count = min(_COPY_BYTES[kind], device.free_bytes // 8)
    source = torch.ones(count, dtype=torch.uint8, device=place)
    target = torch.empty_like(source)
    # The same numbers everywhere: power, and so the clock, hangs on what is multiplied.
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(_MATRIX[kind], _MATRIX[kind], generator=dice).to(place)
    rows = torch.randn(_ROWS[kind], 1024, generator=dice).to(place)
    return {
        "copy": lambda: target.copy_(source),
        "gemm": lambda: x @ x,
        "softmax": lambda: rows.softmax(-1),
    }


def read_canaries(driver: Driver, calls: Mapping[str, Call]) -> dict[str, float]:
    """Time each a few times; the quickest in microseconds by name.

    A clock moves all of them, a neighbour that takes the core for a moment only some.
    """
    return {name: _quickest_s(driver, call) * _MICRO for name, call in calls.items()}


def _quickest_s(driver: Driver, call: Call) -> float:
    timer = make_timer("event" if driver.kind == "cuda" else "wall", driver, call, None)
    timer.sample()
    return min(timer.sample() for _ in range(_SAMPLES))


def warm_device(driver: Driver, work: Call) -> Warmed:
    """Keep a device busy until its clock is flat; one without a gauge is left as it is.

    Where the gauge does not tell the clock, what the work takes stands for it.
    """
    telemetry = driver.telemetry()
    if telemetry is None:
        return Warmed(seconds=0.0, flat=None)
    start = driver.clock_ns()
    seen: list[tuple[float, float]] = []
    while True:
        began = driver.clock_ns()
        work()
        clock_mhz = telemetry.read().sm_clock_mhz  # under load: an idle clock differs
        driver.synchronize()
        now = driver.clock_ns()
        elapsed_s = (now - start) * 1e-9
        seen.append((elapsed_s, clock_mhz or (now - began) * 1e-9))
        if is_flat(seen):
            return Warmed(seconds=elapsed_s, flat=True)
        if elapsed_s >= LONGEST_S:
            return Warmed(seconds=elapsed_s, flat=False)


def is_flat(seen: list[tuple[float, float]]) -> bool:
    """Say whether the values of the last second, of which there are five, lie within 1 %."""
    last_s = seen[-1][0]
    recent = [value for at_s, value in seen if at_s >= last_s - FLAT_S]
    if last_s - seen[0][0] < FLAT_S or len(recent) < _FEWEST:
        return False
    return max(recent) - min(recent) <= FLAT * statistics.median(recent)


def answer_canaries(message: Mapping[str, Any], bench: DeviceContext) -> dict[str, Any]:
    """From a worker's ``canaries`` message to its answer; ``warm`` drives the device first."""
    driver = bench.driver
    answer: dict[str, Any] = {"at": time.time()}
    if message.get("warm") and driver.kind == "cuda":
        answer |= warm_device(driver, _products(driver)).to_dict()
    with one_thread(driver):
        answer["us"] = read_canaries(driver, canary_calls(driver, bench.device))
    driver.release()
    return answer


def _products(driver: Driver) -> Call:
    x = torch.randn(4096, 4096, device=driver.torch_name, dtype=torch.bfloat16)

    def multiply() -> None:
        for _ in range(_PRODUCTS):
            torch.matmul(x, x)

    return multiply
