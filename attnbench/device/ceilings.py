"""Measured ceilings: the best bandwidth and matrix rate that plain torch reaches on this device.

Read, copy and triad over buffers several times the last-level cache, GEMM for each dtype; the best
of repeats each, because a ceiling is what nothing exceeds (STREAM, McCalpin 1995). Bytes count both
directions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from attnbench.device.base import Driver
from attnbench.device.rates import Ceilings
from attnbench.environment import Device

_FLOAT_BYTES = 4
REPEATS = 5
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
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            best = best.best_of(_with_all_threads(driver, device, repeats))
        finally:
            torch.set_num_threads(threads)
    return best


def _with_all_threads(driver: Driver, device: Device, repeats: int) -> Ceilings:
    read, copy, triad = _bandwidths(driver, device, repeats)
    tflops = _gemm_rates(driver, repeats)
    return Ceilings(read_gbps=read, copy_gbps=copy, triad_gbps=triad, tflops=tflops)


def _bandwidths(driver: Driver, device: Device, repeats: int) -> tuple[float, float, float]:
    """GB/s of a sum (read), a copy (read + write) and a triad (two reads + write)."""
    wanted = _CUDA_BUFFER if driver.kind == "cuda" else _CPU_BUFFER
    nbytes = min(max(wanted, 4 * (device.llc_bytes or 0)), device.free_bytes // 8)
    count = max(1024, nbytes // _FLOAT_BYTES)
    nbytes = count * _FLOAT_BYTES
    a, b, c = (torch.ones(count, device=driver.torch_name) for _ in range(3))
    read = nbytes / _best(driver, a.sum, repeats)
    copy = 2 * nbytes / _best(driver, lambda: b.copy_(a), repeats)
    triad = 3 * nbytes / _best(driver, lambda: torch.add(a, b, alpha=3.0, out=c), repeats)
    return read / 1e9, copy / 1e9, triad / 1e9


def _gemm_rates(driver: Driver, repeats: int) -> dict[str, float]:
    """TFLOP/s of square matrix products on random data; a dtype that a device lacks is left out."""
    rates = {}
    for name, dtype in _DTYPES.items():
        try:
            rates[name] = _gemm_rate(driver, dtype, repeats)
        except RuntimeError:
            continue
    if driver.kind == "cuda":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            rates["tf32"] = _gemm_rate(driver, torch.float32, repeats)
        finally:
            torch.set_float32_matmul_precision(before)
    return rates


def _gemm_rate(driver: Driver, dtype: torch.dtype, repeats: int) -> float:
    """Double the size until a product takes long enough; the best TFLOP/s of any size."""
    best, size = 0.0, _SMALLEST_GEMM
    while True:
        x, y = (torch.randn(size, size, device=driver.torch_name).to(dtype) for _ in range(2))
        took_s = _best(driver, partial(torch.matmul, x, y), repeats)
        best = max(best, 2 * size**3 / took_s / 1e12)
        if took_s >= _LONG_ENOUGH_S or size >= _LARGEST_GEMM[driver.kind]:
            return best
        size *= 2


def _best(driver: Driver, call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some calls after two that are not counted."""
    times = []
    for _ in range(repeats + 2):
        driver.synchronize()
        start = time.perf_counter()
        call()
        driver.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[2:])
