"""Measured ceilings: the best bandwidth and matrix rate that plain torch reaches on this device.

Read, copy and triad over buffers several times the last-level cache, GEMM for each dtype; the best
of repeats each, because a ceiling is what nothing exceeds (STREAM, McCalpin 1995). Bytes count both
directions. What the device holds for longer is measured apart, where somebody asks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from operator import itemgetter

import torch

from attnbench.device.base import Driver
from attnbench.device.rates import Ceilings
from attnbench.environment import Device

_FLOAT_BYTES = 4
REPEATS = 5
SUSTAINED_S = 1.0
_TRIAL_SHARE = 0.1  # of that time, to find out how many threads are faster
_BLOCK_S = 0.02  # work that is enqueued between two looks at the clock
_HIDING_S = 200e-6
_CPU_BUFFER, _CUDA_BUFFER = 128 * 10**6, 2 * 10**9
_SMALLEST_GEMM = 256
_LARGEST_GEMM = {"cpu": 1024, "cuda": 8192}
_LONG_ENOUGH_S = 0.005  # a larger product would be no faster; fp16 on many a CPU is very slow
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def measure_ceilings(driver: Driver, device: Device, *, repeats: int = REPEATS) -> Ceilings:
    """Measure bandwidth and matrix rates; about a second on two CPU cores."""
    best = _with_all_threads(driver, device, repeats)
    if driver.kind == "cpu" and torch.get_num_threads() > 1:
        # Beside another process, threads that wait for each other are slower than one.
        with _threads(1):
            best = best.best_of(_with_all_threads(driver, device, repeats))
    return best


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _with_all_threads(driver: Driver, device: Device, repeats: int) -> Ceilings:
    read, copy, triad = _bandwidths(driver, device, repeats)
    tflops = _gemm_rates(driver, repeats)
    return Ceilings(read_gbps=read, copy_gbps=copy, triad_gbps=triad, tflops=tflops)


def sustain(
    driver: Driver, device: Device, burst: Ceilings, *, seconds: float = SUSTAINED_S
) -> Ceilings:
    """Add to the bursts what the device holds: its best traffic, and each dtype's product.

    Each is run without a pause for so many seconds, in which clocks and power come to rest.
    """
    moves = _moves(driver, device)
    rates = {"read": burst.read_gbps, "copy": burst.copy_gbps, "triad": burst.triad_gbps}
    nbytes, move = moves[max(rates, key=lambda name: rates[name] or 0)]
    gbps = nbytes / _held(driver, move, seconds) / 1e9
    del moves, move
    tflops = {}
    for name, dtype in _DTYPES.items():
        if name in burst.tflops:
            tflops[name] = _held_gemm_rate(driver, dtype, seconds)
    if "tf32" in burst.tflops:
        with _tf32():
            tflops["tf32"] = _held_gemm_rate(driver, torch.float32, seconds)
    return replace(burst, sustained_gbps=gbps, sustained_tflops=tflops)


def _bandwidths(driver: Driver, device: Device, repeats: int) -> tuple[float, float, float]:
    """GB/s of a sum (read), a copy (read + write) and a triad (two reads + write)."""
    moves = _moves(driver, device).values()
    read, copy, triad = (nbytes / _best(driver, move, repeats) / 1e9 for nbytes, move in moves)
    return read, copy, triad


def _moves(driver: Driver, device: Device) -> dict[str, tuple[int, Callable[[], object]]]:
    """Traffic past the caches by name: bytes of a call in both directions, and the call."""
    wanted = _CUDA_BUFFER if driver.kind == "cuda" else _CPU_BUFFER
    nbytes = min(max(wanted, 4 * (device.llc_bytes or 0)), device.free_bytes // 8)
    count = max(1024, nbytes // _FLOAT_BYTES)
    nbytes = count * _FLOAT_BYTES
    a, b, c = (torch.ones(count, device=driver.torch_name) for _ in range(3))
    return {
        "read": (nbytes, a.sum),
        "copy": (2 * nbytes, lambda: b.copy_(a)),
        "triad": (3 * nbytes, lambda: torch.add(a, b, alpha=3.0, out=c)),
    }


def _gemm_rates(driver: Driver, repeats: int) -> dict[str, float]:
    """TFLOP/s of square matrix products on random data; a dtype that a device lacks is left out."""
    rates = {}
    for name, dtype in _DTYPES.items():
        try:
            rates[name] = _gemm_rate(driver, dtype, repeats)
        except RuntimeError:
            continue
    if driver.kind == "cuda":
        with _tf32():
            rates["tf32"] = _gemm_rate(driver, torch.float32, repeats)
    return rates


@contextmanager
def _tf32() -> Iterator[None]:
    """Let fp32 products be rounded to tf32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _gemm_rate(driver: Driver, dtype: torch.dtype, repeats: int) -> float:
    """Best TFLOP/s of any size."""
    return max(rate for rate, _, _ in _products(driver, dtype, repeats))


def _held_gemm_rate(driver: Driver, dtype: torch.dtype, seconds: float) -> float:
    """TFLOP/s that the size with the best burst holds."""
    _, size, call = max(_products(driver, dtype, 1), key=itemgetter(0))
    return 2 * size**3 / _held(driver, call, seconds) / 1e12


def _products(
    driver: Driver, dtype: torch.dtype, repeats: int
) -> Iterator[tuple[float, int, Callable[[], object]]]:
    """Double the size until a product takes long enough: best TFLOP/s, size and the call."""
    size = _SMALLEST_GEMM
    while True:
        x, y = (torch.randn(size, size, device=driver.torch_name).to(dtype) for _ in range(2))
        call = partial(torch.matmul, x, y)
        took_s = _best(driver, call, repeats)
        yield 2 * size**3 / took_s / 1e12, size, call
        if took_s >= _LONG_ENOUGH_S or size >= _LARGEST_GEMM[driver.kind]:
            return
        size *= 2


def _held(driver: Driver, call: Callable[[], object], seconds: float) -> float:
    """Seconds a call while calls follow each other for so long; on a CPU on all cores or on one."""
    if driver.kind != "cpu":
        return _without_a_pause(driver, call, seconds)
    trials = {}
    for threads in (torch.get_num_threads(), 1):
        with _threads(threads):
            trials[threads] = _without_a_pause(driver, call, _TRIAL_SHARE * seconds)
    with _threads(min(trials, key=trials.__getitem__)):
        return _without_a_pause(driver, call, seconds)


def _without_a_pause(driver: Driver, call: Callable[[], object], seconds: float) -> float:
    """Seconds a call while calls follow each other for so long."""
    block = max(1, math.ceil(_BLOCK_S / _best(driver, call, 1)))
    driver.synchronize()
    start, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(block):
            call()
        driver.synchronize()
        calls += block
    return elapsed / calls


def _best(driver: Driver, call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some calls after two that are not counted."""
    seconds = _between_events if driver.kind == "cuda" else _on_the_clock
    return min([seconds(driver, call) for _ in range(repeats + 2)][2:])


def _on_the_clock(driver: Driver, call: Callable[[], object]) -> float:
    driver.synchronize()
    start = time.perf_counter()
    call()
    driver.synchronize()
    return time.perf_counter() - start


def _between_events(driver: Driver, call: Callable[[], object]) -> float:
    """Seconds of the device alone, the launch hidden: a ceiling must not be too low."""
    start, end = driver.events()
    driver.delay(_HIDING_S)
    start.record()
    call()
    end.record()
    driver.synchronize()
    return float(start.elapsed_time(end)) * 1e-3
