"""What a device can reach at best: bandwidth and arithmetic, measured or from a datasheet."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """Best rates of one device: decimal GB/s, and dense TFLOP/s by dtype.

    These are bursts, the best of a few short calls, and therefore what nothing exceeds;
    ``sustained_*`` is what the device holds for a second of the same work, None or empty where
    nobody asked. ``source`` is measured, datasheet, or default where nothing is known.
    """

    read_gbps: float | None = None
    copy_gbps: float | None = None
    triad_gbps: float | None = None
    tflops: dict[str, float] = field(default_factory=dict)
    source: str = "measured"
    sustained_gbps: float | None = None
    sustained_tflops: dict[str, float] = field(default_factory=dict)

    def best_of(self, other: Ceilings) -> Ceilings:
        """Take the better of each rate: a ceiling is what nothing exceeds.

        What was sustained is no ceiling: this one's stands, or else the other's.
        """
        dtypes = {*self.tflops, *other.tflops}
        return Ceilings(
            read_gbps=_better(self.read_gbps, other.read_gbps),
            copy_gbps=_better(self.copy_gbps, other.copy_gbps),
            triad_gbps=_better(self.triad_gbps, other.triad_gbps),
            tflops={
                one: max(self.tflops.get(one, 0), other.tflops.get(one, 0))
                for one in sorted(dtypes)
            },
            source=self.source,
            sustained_gbps=self.sustained_gbps or other.sustained_gbps,
            sustained_tflops=self.sustained_tflops or other.sustained_tflops,
        )

    @property
    def peak_bandwidth_gbps(self) -> float | None:
        """The best of read, copy and triad."""
        return _better(self.read_gbps, _better(self.copy_gbps, self.triad_gbps))

    @property
    def best_tflops(self) -> float | None:
        """The best matrix product of any dtype: nothing computes faster than this."""
        return max(self.tflops.values(), default=None)

    def peak_tflops(self, dtype: str, device_kind: str) -> float | None:
        """The best matrix product of a dtype; of any dtype on a CPU, where all share one unit."""
        return self.best_tflops if device_kind == "cpu" else self.tflops.get(dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def _better(one: float | None, other: float | None) -> float | None:
    known = [rate for rate in (one, other) if rate is not None]
    return max(known, default=None)
