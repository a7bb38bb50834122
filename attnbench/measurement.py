"""One case in one process: what came of it, as a value.

The closed lists here are the vocabulary of the result file; docs/metrics.md explains each word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from attnbench.case import Case

# Worst last: a case that has several rows carries the status that stands latest in this tuple.
STATUSES = (
    "ok",
    "skipped",
    "unsupported",
    "not_run",
    "oom",
    "timeout",
    "implausible",
    "incorrect",
    "crashed",
    "failed",
)
# A run or check in which one of these appears ends with exit code 1.
BAD_STATUSES = ("timeout", "implausible", "incorrect", "crashed", "failed")
STOP_REASONS = ("precise", "samples", "time", "cut")
TIMERS = ("wall", "event", "event_batched", "graph", "profiler")
L2_STATES = ("cold", "warm")
BOUNDS = ("memory", "compute", "launch")
CEILINGS_SOURCES = ("measured", "datasheet", "default")
CHECKS = ("passed", "failed")
NOTES = (
    "NOISY",
    "FEW_SAMPLES",
    "FEW_PROCESSES",
    "L2_RESIDENT",
    "LAUNCH_BOUND",
    "THROTTLED",
    "CLOCK_DRIFT",
    "FOREIGN_PROCESS",
    "RESTARTED",
    "RESUMED",
    "REDUCED",
    "UPCAST",
    "FALLBACK",
    "RECOMPILED",
    "NONDETERMINISTIC",
    "NO_TELEMETRY",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One case in one process.

    ``process`` is None for what the plan decided (unsupported, skipped) and for what was never
    reached (not_run). Samples, and the calls behind each, exist if and only if the status is ok; a
    reason exists if and only if it is not. Times are microseconds, sizes are bytes, ``seconds`` is
    what the case took.
    """

    case: Case
    status: str
    process: int | None = None
    seq: int | None = None
    started_at: float | None = None  # seconds since the epoch, UTC
    reason: str | None = None
    notes: tuple[str, ...] = ()
    backend_version: str | None = None
    kernels: tuple[str, ...] | None = None
    timer: str | None = None
    l2: str | None = None
    flush_bytes: int | None = None
    warmup_s: float | None = None
    stop_reason: str | None = None
    calls_per_sample: int | None = None
    isolation: str | None = None
    samples_us: tuple[float, ...] = ()
    first_call_us: float | None = None
    prepare_us: float | None = None
    check_us: float | None = None
    launch_overhead_us: float | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    workspace_bytes: int | None = None
    prepared_bytes: int | None = None
    input_bytes: int | None = None
    output_bytes: int | None = None
    llc_bytes: int | None = None
    check: str | None = None
    error_rel: float | None = None
    error_ratio: float | None = None
    deterministic: bool | None = None
    peak_bandwidth_gbps: float | None = None
    copy_gbps: float | None = None
    peak_tflops: float | None = None
    ceilings_source: str | None = None
    dram_bytes: int | None = None
    energy_j_per_call: float | None = None
    power_w: float | None = None
    sm_clock_mhz: float | None = None
    mem_clock_mhz: float | None = None
    temperature_c: float | None = None
    throttle_reasons: str | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is not one of {', '.join(STATUSES)}")
        if unknown := set(self.notes) - set(NOTES):
            raise ValueError(f"notes {sorted(unknown)} are not in the closed list")
        if (self.status == "ok") != bool(self.samples_us):
            raise ValueError(f"{self.status} with {len(self.samples_us)} samples")
        if (self.status == "ok") == bool(self.reason):
            raise ValueError(f"{self.status} with reason {self.reason!r}")
        if self.status == "ok" and self.check != "passed":
            raise ValueError("ok without a passed check")

    def with_notes(self, *codes: str) -> Measurement:
        """Return the same measurement carrying these note codes too, each once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *codes))))

    def to_dict(self) -> dict[str, Any]:
        """Return what was measured as plain JSON values, without the case: the worker's message."""
        return {
            field.name: _plain(value)
            for field in fields(self)
            if field.name != "case" and (value := getattr(self, field.name)) is not None
        }

    @classmethod
    def from_dict(cls, case: Case, facts: dict[str, Any]) -> Measurement:
        """Rebuild what ``facts`` wrote."""
        listed = {
            name: tuple(facts[name])
            for name in ("notes", "kernels", "samples_us")
            if facts.get(name) is not None
        }
        return cls(case=case, **{**facts, **listed})


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def worst(statuses: Iterable[str]) -> str:
    """Return the status of a case from the statuses of its rows, at least one."""
    return max(statuses, key=STATUSES.index)
