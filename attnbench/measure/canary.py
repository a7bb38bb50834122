"""Canaries: three fixed calls, timed first and last in each process, on a warm device.

A case's time can change for its own reasons; the canaries change only with the state of the
machine. They are stored beside the rows, so that two processes, runs or machines with the same name
can be distinguished by more than the cases themselves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from attnbench.device.base import Call, Driver
from attnbench.environment import Device
from attnbench.measure.selftest import one_thread
from attnbench.measure.timers import make_timer
from attnbench.measure.warmup import warm_device

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext

_SAMPLES = 7
_COPY_BYTES = {"cpu": 32 * 10**6, "cuda": 10**9}
_MATRIX = {"cpu": 384, "cuda": 4096}
_ROWS = {"cpu": 512, "cuda": 8192}
_MICRO = 1e6
_PRODUCTS = 64  # of a 4096 matrix: some tens of milliseconds, so that a reading is no load itself


def time_canaries(device_context: DeviceContext, *, warm: bool) -> dict[str, Any]:
    """Return ``at``, ``us`` by canary, and how the warm-up ended where ``warm`` asks for one."""
    driver = device_context.driver
    answer: dict[str, Any] = {"at": time.time()}
    if warm and driver.kind == "cuda":
        x = torch.randn(4096, 4096, device=driver.torch_name, dtype=torch.bfloat16)

        def multiply() -> None:
            for _ in range(_PRODUCTS):
                torch.matmul(x, x)

        answer |= warm_device(driver, multiply).to_dict()
    with one_thread(driver):
        answer["us"] = read_canaries(driver, canary_calls(driver, device_context.device))
    driver.release()
    return answer


def canary_calls(driver: Driver, device: Device) -> dict[str, Call]:
    """Return the three calls: a copy, a GEMM, and a softmax, which is bound by neither alone."""
    kind, torch_name = driver.kind, driver.torch_name
    count = min(_COPY_BYTES[kind], device.free_bytes // 8)
    source = torch.ones(count, dtype=torch.uint8, device=torch_name)
    target = torch.empty_like(source)
    # The same numbers everywhere: power, and with it the clock, depends on the operands.
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(_MATRIX[kind], _MATRIX[kind], generator=dice).to(torch_name)
    rows = torch.randn(_ROWS[kind], 1024, generator=dice).to(torch_name)
    return {
        "copy": lambda: target.copy_(source),
        "gemm": lambda: x @ x,
        "softmax": lambda: rows.softmax(-1),
    }


def read_canaries(driver: Driver, calls: Mapping[str, Call]) -> dict[str, float]:
    """Time each call a few times; return the quickest in microseconds, by name.

    A changed clock moves all of them; another process that briefly takes the core only some.
    """
    found = {}
    for name, call in calls.items():
        timer = make_timer("event" if driver.kind == "cuda" else "wall", driver, call, None)
        timer.sample()
        found[name] = min(timer.sample() for _ in range(_SAMPLES)) * _MICRO
    return found
