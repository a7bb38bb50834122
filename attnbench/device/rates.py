"""What a device can reach at best: bandwidth and matrix rates, measured or from a datasheet.

The datasheet rates of well-known GPUs serve to predict where nothing was measured: dense rates
without sparsity, consumer parts with fp32 accumulation. They are never a ceiling for a verdict,
because a run measures its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from attnbench.environment import Device
from attnbench.errors import DeviceMissing

_GB = 10**9
_MB = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """Best rates of one device: decimal GB/s, and dense TFLOP/s by dtype.

    These are bursts, the best of a few short calls, so nothing exceeds them. ``sustained_*`` is
    what the device holds for a second of the same work; None or empty if it was not measured.
    ``source`` is measured, datasheet, or default where nothing is known.
    """

    read_gbps: float | None = None
    copy_gbps: float | None = None
    triad_gbps: float | None = None
    tflops: dict[str, float] = field(default_factory=dict)
    source: str = "measured"
    sustained_gbps: float | None = None
    sustained_tflops: dict[str, float] = field(default_factory=dict)

    def best_of(self, other: Ceilings) -> Ceilings:
        """Return the better of each rate, because nothing exceeds a ceiling.

        Sustained rates are not ceilings: this one's are kept if there are any, else the other's.
        """
        return Ceilings(
            read_gbps=_better(self.read_gbps, other.read_gbps),
            copy_gbps=_better(self.copy_gbps, other.copy_gbps),
            triad_gbps=_better(self.triad_gbps, other.triad_gbps),
            tflops={
                one: max(self.tflops.get(one, 0), other.tflops.get(one, 0))
                for one in sorted({*self.tflops, *other.tflops})
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
        """The matrix rate of the fastest dtype, in TFLOP/s: nothing computes faster."""
        return max(self.tflops.values(), default=None)

    def peak_tflops(self, dtype: str, device_kind: str) -> float | None:
        """Return the matrix rate of a dtype; on a CPU of any dtype, because all share one unit."""
        return self.best_tflops if device_kind == "cpu" else self.tflops.get(dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def _better(one: float | None, other: float | None) -> float | None:
    known = [rate for rate in (one, other) if rate is not None]
    return max(known, default=None)


@dataclass(frozen=True, slots=True)
class GpuSpec:
    """One GPU as its vendor describes it: memory in GB, bandwidth in GB/s, L2 cache in MB."""

    name: str
    arch: str
    sms: int
    memory_gb: float
    bandwidth_gbps: float
    l2_mb: float
    tflops: dict[str, float]

    @property
    def device(self) -> Device:
        """The GPU as a Device, with all but 2 GB of its memory free."""
        memory = int(self.memory_gb * _GB)
        return Device(
            kind="cuda",
            name=self.name,
            arch=self.arch,
            memory_bytes=memory,
            free_bytes=memory - 2 * _GB,
            cores=self.sms,
            llc_bytes=int(self.l2_mb * _MB),
        )

    @property
    def ceilings(self) -> Ceilings:
        """The rates as ceilings."""
        return Ceilings(copy_gbps=self.bandwidth_gbps, tflops=self.tflops, source="datasheet")


def _tensor_cores(
    fp32: float, fp16: float, *, bf16: bool = True, tf32: float | None = None, fp8: float = 0
) -> dict[str, float]:
    """Return dense TFLOP/s by dtype, without the dtypes that a part lacks."""
    rates = {"fp32": fp32, "fp16": fp16, "bf16": fp16 if bf16 else 0, "tf32": tf32 or 0}
    return {
        dtype: rate for dtype, rate in {**rates, "fp8_e4m3": fp8, "fp8_e5m2": fp8}.items() if rate
    }


_VOLTA = _tensor_cores(15.7, 125, bf16=False)
_AMPERE = _tensor_cores(19.5, 312, tf32=156)
_ADA_L4 = _tensor_cores(30.3, 121, tf32=60, fp8=242)
_ADA_L40S = _tensor_cores(91.6, 362, tf32=183, fp8=733)
_ADA_RTX4090 = _tensor_cores(82.6, 165, tf32=82.6, fp8=330)
_HOPPER = _tensor_cores(66.9, 989.4, tf32=494.7, fp8=1979)
_HOPPER_PCIE = _tensor_cores(51, 756, tf32=378, fp8=1513)
_BLACKWELL = _tensor_cores(75, 2250, tf32=1125, fp8=4500)

# From NVIDIA's datasheets and white papers, by short name: name, architecture, SMs, memory,
# bandwidth, L2, rates.
GPU_SPECS: dict[str, GpuSpec] = {
    "v100": GpuSpec("Tesla V100-SXM2-32GB", "sm_70", 80, 34.4, 900, 6, _VOLTA),
    "t4": GpuSpec("Tesla T4", "sm_75", 40, 16, 320, 4, _tensor_cores(8.1, 65, bf16=False)),
    "a100-40": GpuSpec("NVIDIA A100-SXM4-40GB", "sm_80", 108, 42.4, 1555, 40, _AMPERE),
    "a100": GpuSpec("NVIDIA A100-SXM4-80GB", "sm_80", 108, 85.0, 2039, 40, _AMPERE),
    "a10": GpuSpec("NVIDIA A10", "sm_86", 72, 24, 600, 6, _tensor_cores(31.2, 125, tf32=62.5)),
    "l4": GpuSpec("NVIDIA L4", "sm_89", 58, 24, 300, 48, _ADA_L4),
    "l40s": GpuSpec("NVIDIA L40S", "sm_89", 142, 48, 864, 96, _ADA_L40S),
    "rtx4090": GpuSpec("NVIDIA GeForce RTX 4090", "sm_89", 128, 24, 1008, 72, _ADA_RTX4090),
    "h100": GpuSpec("NVIDIA H100 80GB HBM3", "sm_90", 132, 85.0, 3350, 50, _HOPPER),
    "h100-pcie": GpuSpec("NVIDIA H100 PCIe", "sm_90", 114, 85.0, 2000, 50, _HOPPER_PCIE),
    "h200": GpuSpec("NVIDIA H200", "sm_90", 132, 150.1, 4800, 60, _HOPPER),
    "b200": GpuSpec("NVIDIA B200", "sm_100", 148, 192, 8000, 126, _BLACKWELL),
}


def lookup(name: str) -> GpuSpec:
    """Return the datasheet figures of a GPU by its short name, such as h200.

    Raises:
        DeviceMissing: the table has no such GPU.

    """
    try:
        return GPU_SPECS[name.lower()]
    except KeyError:
        raise DeviceMissing(
            f"no datasheet for device {name!r}",
            hint=f"known: {', '.join(GPU_SPECS)}; or give a run file, whose ceilings are used",
        ) from None


def default_ceilings(device: Device) -> Ceilings:
    """Guess the rates of an unknown device, to order and bound work, never to judge a result.

    A CPU counts as 40 GFLOP/s per core and 12 GB/s per socket, which a laptop exceeds.
    """
    if device.kind == "cuda":
        for spec in GPU_SPECS.values():
            if spec.name == device.name:
                return spec.ceilings
        return Ceilings(
            copy_gbps=600, tflops={"bf16": 60, "fp16": 60, "fp32": 15}, source="default"
        )
    rate = 0.04 * (device.cores or 1)
    return Ceilings(copy_gbps=12, tflops={"fp32": rate, "bf16": rate}, source="default")
