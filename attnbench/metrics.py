"""What a row of a result file can be judged by, declared; and the rates derived from its cost.

Rates are those of the least traffic and of the exact FLOPs (docs/cost.md), so that a kernel that
moves or computes more than it must has a lower rate, not a higher one. Columns named ``pct_*`` hold
percent: 100 is the ceiling itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnbench.cost import Cost

_US_A_SECOND = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of a row. ``better`` is None where neither end is: a property of the problem."""

    name: str
    column: str
    unit: str
    better: Literal["lower", "higher"] | None
    about: str
    formula: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The derived columns of one ok row; None where a ceiling is not known."""

    tflops: float
    bandwidth_gbps: float
    pct_peak_bandwidth: float | None
    pct_peak_flops: float | None
    bound: str | None


def derive(
    cost: Cost,
    latency_us: float,
    peak_bandwidth_gbps: float | None,
    peak_tflops: float | None,
    *,
    launch_bound: bool = False,
    resident: bool = False,
) -> Derived:
    """Derive rates, shares of the ceilings and what limits the case from one latency.

    What is ``resident`` in the cache has no share of the memory's bandwidth.
    """
    tflops = cost.flops * _US_A_SECOND / latency_us / 1e12
    bandwidth_gbps = cost.min_bytes * _US_A_SECOND / latency_us / 1e9
    bound = "launch" if launch_bound else _roof(cost, peak_bandwidth_gbps, peak_tflops)
    return Derived(
        tflops=tflops,
        bandwidth_gbps=bandwidth_gbps,
        pct_peak_bandwidth=None if resident else _percent(bandwidth_gbps, peak_bandwidth_gbps),
        pct_peak_flops=_percent(tflops, peak_tflops),
        bound=bound,
    )


def _percent(rate: float, ceiling: float | None) -> float | None:
    return None if ceiling is None else 100 * rate / ceiling


def _roof(cost: Cost, peak_bandwidth_gbps: float | None, peak_tflops: float | None) -> str | None:
    """Name the roof over this intensity: left of the ridge memory, else compute."""
    if peak_bandwidth_gbps is None or peak_tflops is None:
        return None
    ridge = peak_tflops * 1e12 / (peak_bandwidth_gbps * 1e9)
    return "memory" if cost.intensity < ridge else "compute"


_TABLE = (
    Metric(
        name="latency",
        column="latency_us",
        unit="µs",
        better="lower",
        about="one call, in one launch; over launches their geometric mean",
        formula="exp(mean(log of the middle half of samples_us)); below 8 samples the median",
    ),
    Metric(
        name="median",
        column="median_us",
        unit="µs",
        better="lower",
        about="half of the samples are below",
        formula="median(samples_us)",
    ),
    Metric(
        name="min",
        column="min_us",
        unit="µs",
        better="lower",
        about="the fastest sample; says what is possible, not what is usual",
        formula="min(samples_us)",
    ),
    Metric(
        name="p90",
        column="p90_us",
        unit="µs",
        better="lower",
        about="one sample in ten is above",
        formula="quantile(samples_us, 0.9), linear",
    ),
    Metric(
        name="noise",
        column="noise",
        unit="1",
        better="lower",
        about="how noisy the process was; says nothing about how sure a difference is",
        formula="(latency_high_us - latency_low_us) / 2 / latency_us",
    ),
    Metric(
        name="tflops",
        column="tflops",
        unit="TFLOP/s",
        better="higher",
        about="rate of the FLOPs that the mask lets through",
        formula="flops / latency_us / 1e6",
    ),
    Metric(
        name="bandwidth_gbps",
        column="bandwidth_gbps",
        unit="GB/s",
        better="higher",
        about="rate of the least traffic; 1 GB is 1e9 bytes",
        formula="min_bytes / latency_us / 1e3",
    ),
    Metric(
        name="pct_peak_bandwidth",
        column="pct_peak_bandwidth",
        unit="%",
        better="higher",
        about="share of the best bandwidth measured on this device; 100 is the ceiling",
        formula="100 * bandwidth_gbps / peak_bandwidth_gbps",
    ),
    Metric(
        name="pct_peak_flops",
        column="pct_peak_flops",
        unit="%",
        better="higher",
        about="share of the best GEMM measured on this device in this dtype; 100 is the ceiling",
        formula="100 * tflops / peak_tflops",
    ),
    Metric(
        name="intensity",
        column="intensity",
        unit="FLOP/B",
        better=None,
        about="FLOPs for each byte of the least traffic; against the ridge it tells the bound",
        formula="flops / min_bytes",
    ),
    Metric(
        name="peak_bytes",
        column="peak_bytes",
        unit="B",
        better="lower",
        about="most memory held during one call, inputs and outputs included",
        formula="the allocator's peak",
    ),
    Metric(
        name="workspace_bytes",
        column="workspace_bytes",
        unit="B",
        better="lower",
        about="what the call needs beside its inputs and outputs",
        formula="peak_bytes - input_bytes - prepared_bytes - output_bytes",
    ),
    Metric(
        name="prepared_bytes",
        column="prepared_bytes",
        unit="B",
        better="lower",
        about="what prepare left allocated",
        formula="allocated after prepare - allocated before it",
    ),
    Metric(
        name="kv_cache_bytes",
        column="kv_cache_bytes",
        unit="B",
        better="lower",
        about="K and V of this one layer as they are stored, scales and whole pages included",
        formula="stored keys * kv_heads * ((head_dim + v_head_dim) * bits / 8 + scales)",
    ),
    Metric(
        name="first_call",
        column="first_call_us",
        unit="µs",
        better="lower",
        about="the first call, compilation included",
        formula="one observation",
    ),
    Metric(
        name="prepare",
        column="prepare_us",
        unit="µs",
        better="lower",
        about="what the backend does once for these shapes",
        formula="one observation",
    ),
    Metric(
        name="energy",
        column="energy_j_per_call",
        unit="J",
        better="lower",
        about="energy of one call",
        formula="joules of a stretch of calls alone / calls in it",
    ),
    Metric(
        name="power",
        column="power_w",
        unit="W",
        better="lower",
        about="power while sampling",
        formula="mean over the sampling time",
    ),
    Metric(
        name="error_rel",
        column="error_rel",
        unit="1",
        better="lower",
        about="largest relative error of a row of the output against the reference",
        formula="max over rows of |o - r| / max(|r|, 1e-3 * rms row norm)",
    ),
    Metric(
        name="error_ratio",
        column="error_ratio",
        unit="1",
        better="lower",
        about="that error over the error of plain PyTorch in the same dtype",
        formula="error_rel / max(error_rel of plain PyTorch, floor of the dtype)",
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}
