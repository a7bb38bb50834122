"""Every number by which a row of a result file can be judged, each declared once.

What stores, lists, prints, exports or documents a metric is derived from its declaration here. To
add a derived metric, add a declaration with ``compute`` at the end of ``_DECLARED``.

Rates are those of the least traffic and of the exact FLOPs (docs/cost.md): a kernel that moves or
computes more than it must has a lower rate, not a higher one. Columns named ``pct_*`` hold percent;
100 is the ceiling itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from attnbench.cost import Cost
from attnbench.problem import Problem
from attnbench.units import bytes_text, flops_text, rate_text, significant, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a derived metric is computed from: one ok row.

    Attributes:
        problem: what was computed.
        cost: FLOPs and bytes of the problem.
        latency_us: microseconds a call.
        peak_bandwidth_gbps: the device's best bandwidth in GB/s; None where it is unknown.
        peak_tflops: the device's best GEMM in the problem's dtype; None where it is unknown.
        notes: the note codes of the row.

    """

    problem: Problem
    cost: Cost
    latency_us: float
    peak_bandwidth_gbps: float | None = None
    peak_tflops: float | None = None
    notes: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The declaration of one number of a row.

    Attributes:
        name: what `list metrics` calls it.
        column: the column of the result file that holds it.
        unit: its unit; "1" where it is a ratio.
        better: which end is better; None where neither is, as for a property of the problem.
        about: what it says, for people.
        formula: how it follows from other columns.
        compute: derives it from a row's timing; None where it is measured, not derived. Its result
            is None where an input is unknown.
        type: the type of its column.
        format: writes a value for people; None writes three digits and the unit.
        since: the schema version that added its column.

    """

    name: str
    column: str
    unit: str
    better: Literal["lower", "higher"] | None
    about: str
    formula: str
    compute: Callable[[Timing], float | None] | None = None
    type: Literal["int64", "float64"] = "float64"
    format: Callable[[float], str] | None = None
    since: int = 1

    def text(self, value: float) -> str:
        """Write a value of this metric for people: ``18.2 µs``, ``512 TFLOP/s``."""
        if self.format is not None:
            return self.format(value)
        return significant(value) if self.unit == "1" else f"{significant(value)} {self.unit}"

    @property
    def meaning(self) -> str:
        """The unit, if there is one, and what it says: the column's line in the documentation."""
        return self.about if self.unit == "1" else f"{self.unit}, {self.about}"


def derive(timing: Timing) -> dict[str, Any]:
    """Return the derived columns of one ok row by name; None where a ceiling is not known."""
    derived = {
        one.column: one.compute(timing) for one in METRICS.values() if one.compute is not None
    }
    return {**derived, "bound": bound(timing)}


def bound(timing: Timing) -> str | None:
    """Say what limits the case: launch, memory or compute; None where a ceiling is not known.

    The roofline model (Williams, Waterman, Patterson 2009): left of the ridge, where intensity is
    below the ratio of the two ceilings, memory limits; otherwise compute does.
    """
    if "LAUNCH_BOUND" in timing.notes:
        return "launch"
    if timing.peak_bandwidth_gbps is None or timing.peak_tflops is None:
        return None
    ridge = timing.peak_tflops * 1e12 / (timing.peak_bandwidth_gbps * 1e9)
    return "memory" if timing.cost.intensity < ridge else "compute"


def _tflops(timing: Timing) -> float:
    return timing.cost.flops / timing.latency_us / 1e6


def _bandwidth_gbps(timing: Timing) -> float:
    return timing.cost.min_bytes / timing.latency_us / 1e3


def _pct_peak_bandwidth(timing: Timing) -> float | None:
    # What stays in the cache has no share of the memory's bandwidth.
    if timing.peak_bandwidth_gbps is None or "L2_RESIDENT" in timing.notes:
        return None
    return 100 * _bandwidth_gbps(timing) / timing.peak_bandwidth_gbps


def _pct_peak_flops(timing: Timing) -> float | None:
    return None if timing.peak_tflops is None else 100 * _tflops(timing) / timing.peak_tflops


def _time(microseconds: float) -> str:
    return time_text(microseconds / 1e6)


def _percent(value: float) -> str:
    return f"{significant(value)}%"


_DECLARED = (
    Metric(
        name="latency",
        column="latency_us",
        unit="µs",
        better="lower",
        about="one call, in one process; over processes their geometric mean",
        formula="exp(mean(log of the middle half of samples_us)); below 8 samples the median",
        format=_time,
    ),
    Metric(
        name="median",
        column="median_us",
        unit="µs",
        better="lower",
        about="half of the samples are below",
        formula="median(samples_us)",
        format=_time,
    ),
    Metric(
        name="min",
        column="min_us",
        unit="µs",
        better="lower",
        about="the fastest sample; says what is possible, not what is usual",
        formula="min(samples_us)",
        format=_time,
    ),
    Metric(
        name="p90",
        column="p90_us",
        unit="µs",
        better="lower",
        about="one sample in ten is above",
        formula="quantile(samples_us, 0.9), linear",
        format=_time,
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
        compute=_tflops,
        format=lambda value: flops_text(value * 1e12),
    ),
    Metric(
        name="bandwidth_gbps",
        column="bandwidth_gbps",
        unit="GB/s",
        better="higher",
        about="rate of the least traffic; 1 GB is 1e9 bytes",
        formula="min_bytes / latency_us / 1e3",
        compute=_bandwidth_gbps,
        format=lambda value: rate_text(value * 1e9),
    ),
    Metric(
        name="pct_peak_bandwidth",
        column="pct_peak_bandwidth",
        unit="%",
        better="higher",
        about="share of the best bandwidth measured on this device; 100 is the ceiling",
        formula="100 * bandwidth_gbps / peak_bandwidth_gbps",
        compute=_pct_peak_bandwidth,
        format=_percent,
    ),
    Metric(
        name="pct_peak_flops",
        column="pct_peak_flops",
        unit="%",
        better="higher",
        about="share of the best GEMM measured on this device in this dtype; 100 is the ceiling",
        formula="100 * tflops / peak_tflops",
        compute=_pct_peak_flops,
        format=_percent,
    ),
    Metric(
        name="intensity",
        column="intensity",
        unit="FLOP/B",
        better=None,
        about="FLOPs for each byte of the least traffic; below the ridge a case is memory-bound",
        formula="flops / min_bytes",
    ),
    Metric(
        name="peak_bytes",
        column="peak_bytes",
        unit="B",
        better="lower",
        about="most memory held during one call, inputs and outputs included",
        formula="the allocator's peak",
        type="int64",
        format=bytes_text,
    ),
    Metric(
        name="workspace_bytes",
        column="workspace_bytes",
        unit="B",
        better="lower",
        about="what the call needs beside its inputs and outputs",
        formula="peak_bytes - input_bytes - prepared_bytes - output_bytes",
        type="int64",
        format=bytes_text,
    ),
    Metric(
        name="prepared_bytes",
        column="prepared_bytes",
        unit="B",
        better="lower",
        about="what prepare left allocated",
        formula="allocated after prepare - allocated before it",
        type="int64",
        format=bytes_text,
    ),
    Metric(
        name="kv_cache_bytes",
        column="kv_cache_bytes",
        unit="B",
        better="lower",
        about="K and V of this one layer as they are stored, scales and whole pages included",
        formula="stored keys * kv_heads * ((head_dim + v_head_dim) * bits / 8 + scales)",
        type="int64",
        format=bytes_text,
    ),
    Metric(
        name="first_call",
        column="first_call_us",
        unit="µs",
        better="lower",
        about="the first call, compilation included",
        formula="one observation",
        format=_time,
    ),
    Metric(
        name="prepare",
        column="prepare_us",
        unit="µs",
        better="lower",
        about="what the backend does once for these shapes",
        formula="one observation",
        format=_time,
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
# By name, in the order in which they are listed.
METRICS: dict[str, Metric] = {metric.name: metric for metric in _DECLARED}
