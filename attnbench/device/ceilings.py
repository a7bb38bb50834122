"""Measured ceilings: the best bandwidth and matrix rate that plain torch reaches on this device.

Read, copy and triad run over buffers several times the last-level cache, GEMM over each dtype. The
best of several repeats counts, because nothing exceeds a ceiling (STREAM, McCalpin 1995). Bytes
count both directions. Sustained rates are measured separately, on request.
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
_TRIAL_SHARE = 0.1  # of that time, to find the faster number of threads
_BLOCK_S = 0.02  # work that is enqueued before the clock is read again
_HIDING_S = 200e-6
_CPU_BUFFER, _CUDA_BUFFER = 128 * 10**6, 2 * 10**9
_SMALLEST_GEMM = 256
_LARGEST_GEMM = {"cpu": 1024, "cuda": 8192}
_LONG_ENOUGH_S = 0.005  # larger products are no faster, and fp16 is very slow on many CPUs
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def measure_ceilings(driver: Driver, device: Device, *, repeats: int = REPEATS) -> Ceilings:
    """Measure burst bandwidth and matrix rates; takes about a second on two CPU cores."""
    best = _with_all_threads(driver, device, repeats)
    if driver.kind == "cpu" and torch.get_num_threads() > 1:
        # On a busy machine, threads that wait for each other are slower than one thread.
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
    """Return the bursts with sustained rates added: the best traffic, and each dtype's GEMM.

    Each runs without a pause for this many seconds, in which clocks and power settle.
    """
    moves = _moves(driver, device)
    rates = {"read": burst.read_gbps, "copy": burst.copy_gbps, "triad": burst.triad_gbps}
    nbytes, move = moves[max(rates, key=lambda name: rates[name] or 0)]
    gbps = nbytes / _sustained(driver, move, seconds) / 1e9
    del moves, move
    tflops = {}
    for name, dtype in _DTYPES.items():
        if name in burst.tflops:
            tflops[name] = _sustained_gemm(driver, dtype, seconds)
    if "tf32" in burst.tflops:
        with _tf32():
            tflops["tf32"] = _sustained_gemm(driver, torch.float32, seconds)
    return replace(burst, sustained_gbps=gbps, sustained_tflops=tflops)


def _bandwidths(driver: Driver, device: Device, repeats: int) -> tuple[float, float, float]:
    """Return GB/s of a sum (read), a copy (read + write) and a triad (two reads + write)."""
    moves = _moves(driver, device).values()
    read, copy, triad = (nbytes / _best(driver, move, repeats) / 1e9 for nbytes, move in moves)
    return read, copy, triad


def _moves(driver: Driver, device: Device) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return calls that bypass the caches, by name: bytes in both directions, and the call."""
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
    """Return TFLOP/s of square GEMMs on random data, without the dtypes that a device lacks."""
    rates = {}
    for name, dtype in _DTYPES.items():
        try:
            rates[name] = _best_gemm(driver, dtype, repeats)[0]
        except RuntimeError:
            continue
    if driver.kind == "cuda":
        with _tf32():
            rates["tf32"] = _best_gemm(driver, torch.float32, repeats)[0]
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


def _sustained_gemm(driver: Driver, dtype: torch.dtype, seconds: float) -> float:
    """Return the TFLOP/s that the size with the best burst sustains."""
    _, size, call = _best_gemm(driver, dtype, 1)
    return 2 * size**3 / _sustained(driver, call, seconds) / 1e12


def _best_gemm(
    driver: Driver, dtype: torch.dtype, repeats: int
) -> tuple[float, int, Callable[[], object]]:
    """Double the size until a GEMM takes long enough; return the best TFLOP/s, size and call."""
    found = []
    size = _SMALLEST_GEMM
    while True:
        x, y = (torch.randn(size, size, device=driver.torch_name).to(dtype) for _ in range(2))
        call = partial(torch.matmul, x, y)
        took_s = _best(driver, call, repeats)
        found.append((2 * size**3 / took_s / 1e12, size, call))
        if took_s >= _LONG_ENOUGH_S or size >= _LARGEST_GEMM[driver.kind]:
            return max(found, key=itemgetter(0))
        size *= 2


def _sustained(driver: Driver, call: Callable[[], object], seconds: float) -> float:
    """Return seconds per call of calls without a pause; on a CPU with all cores or with one."""
    if driver.kind != "cpu":
        return _back_to_back(driver, call, seconds)
    trials = {}
    for threads in (torch.get_num_threads(), 1):
        with _threads(threads):
            trials[threads] = _back_to_back(driver, call, _TRIAL_SHARE * seconds)
    with _threads(min(trials, key=trials.__getitem__)):
        return _back_to_back(driver, call, seconds)


def _back_to_back(driver: Driver, call: Callable[[], object], seconds: float) -> float:
    """Return seconds per call of calls that follow each other for this long."""
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
    """Return the seconds of the fastest call, after two that do not count."""
    seconds = _between_events if driver.kind == "cuda" else _on_the_clock
    return min([seconds(driver, call) for _ in range(repeats + 2)][2:])


def _on_the_clock(driver: Driver, call: Callable[[], object]) -> float:
    driver.synchronize()
    start = time.perf_counter()
    call()
    driver.synchronize()
    return time.perf_counter() - start


def _between_events(driver: Driver, call: Callable[[], object]) -> float:
    """Return device seconds with the launch hidden, because a ceiling must not be too low."""
    start, end = driver.events()
    driver.delay(_HIDING_S)
    start.record()
    call()
    end.record()
    driver.synchronize()
    return float(start.elapsed_time(end)) * 1e-3
