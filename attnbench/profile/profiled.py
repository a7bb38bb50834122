"""What a profiler reported about one call of one case: kernels, counters and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnbench.case import Case
from attnbench.cost import compute_cost

READ_BYTES, WRITTEN_BYTES = "dram_read_bytes", "dram_written_bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel (on a CPU an operator); ``total_s`` is its own time, summed over its calls.

    ``counters`` hold what only a hardware profiler knows: bytes summed over the calls, and
    percentages of the device's limits, averaged over the calls weighted by time.
    """

    name: str
    calls: int
    total_s: float
    counters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """One case under one profiler.

    ``status`` is ok, or why the call was not profiled (unsupported, oom, failed), with a
    ``reason``. ``command`` is what was run, ``files`` what it wrote. A profiler's times are never a
    latency.
    """

    case: Case
    tool: str
    command: tuple[str, ...]
    status: str = "ok"
    reason: str | None = None
    device: str | None = None
    kernels: tuple[Kernel, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def total_s(self) -> float:
        """The time of all kernels."""
        return sum(one.total_s for one in self.kernels)

    @property
    def dram_bytes(self) -> int | None:
        """Bytes read from and written to device memory; None if the profiler counts none."""
        counted = [
            one.counters[READ_BYTES] + one.counters[WRITTEN_BYTES]
            for one in self.kernels
            if READ_BYTES in one.counters and WRITTEN_BYTES in one.counters
        ]
        return round(sum(counted)) if counted and len(counted) == len(self.kernels) else None

    @property
    def moved_over_minimum(self) -> float | None:
        """Bytes moved divided by the minimum that the problem needs (cost model 1)."""
        moved = self.dram_bytes
        return None if moved is None else moved / compute_cost(self.case.problem).min_bytes

    def share(self, kernel: Kernel) -> float:
        """Return a kernel's share of the total time."""
        return kernel.total_s / self.total_s if self.total_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "case_id": self.case.id,
            "case_label": self.case.label,
            "tool": self.tool,
            "command": list(self.command),
            "status": self.status,
            "reason": self.reason,
            "device": self.device,
            "kernels": [
                {
                    "name": one.name,
                    "calls": one.calls,
                    "total_s": one.total_s,
                    "share": self.share(one),
                    "counters": dict(one.counters),
                }
                for one in self.kernels
            ],
            "dram_bytes": self.dram_bytes,
            "min_bytes": compute_cost(self.case.problem).min_bytes,
            "moved_over_minimum": self.moved_over_minimum,
            "files": [str(one) for one in self.files],
        }


def slowest_first(kernels: list[Kernel]) -> tuple[Kernel, ...]:
    """Sort by time, then by name."""
    return tuple(sorted(kernels, key=lambda one: (-one.total_s, one.name)))
