"""Datasheet rates of well-known GPUs, to predict with where nothing was measured.

Dense rates without sparsity; consumer parts with fp32 accumulation. A table like this is never a
ceiling for a verdict: a run measures its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.device.rates import Ceilings
from attnbench.environment import Device
from attnbench.errors import DeviceMissing

_GB = 10**9
_MB = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One GPU as its vendor describes it: memory and bandwidth in GB and GB/s, L2 in MB."""

    name: str
    arch: str
    sms: int
    memory_gb: float
    bandwidth_gbps: float
    l2_mb: float
    tflops: dict[str, float]

    @property
    def device(self) -> Device:
        """The device as facts, all of its memory but 2 GB free."""
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
    """Dense TFLOP/s by dtype; what a part lacks is left out."""
    rates = {"fp32": fp32, "fp16": fp16, "bf16": fp16 if bf16 else 0, "tf32": tf32 or 0}
    return {
        dtype: rate for dtype, rate in {**rates, "fp8_e4m3": fp8, "fp8_e5m2": fp8}.items() if rate
    }


_VOLTA = _tensor_cores(15.7, 125, bf16=False)
_AMPERE = _tensor_cores(19.5, 312, tf32=156)
_HOPPER = _tensor_cores(66.9, 989.4, tf32=494.7, fp8=1979)

# NVIDIA's datasheets and white papers: name, architecture, SMs, memory, bandwidth, L2, rates.
_ROWS: dict[str, tuple[str, str, int, float, float, float, dict[str, float]]] = {
    "v100": ("Tesla V100-SXM2-32GB", "sm_70", 80, 34.4, 900, 6, _VOLTA),
    "t4": ("Tesla T4", "sm_75", 40, 16, 320, 4, _tensor_cores(8.1, 65, bf16=False)),
    "a100-40": ("NVIDIA A100-SXM4-40GB", "sm_80", 108, 42.4, 1555, 40, _AMPERE),
    "a100": ("NVIDIA A100-SXM4-80GB", "sm_80", 108, 85.0, 2039, 40, _AMPERE),
    "a10": ("NVIDIA A10", "sm_86", 72, 24, 600, 6, _tensor_cores(31.2, 125, tf32=62.5)),
    "l4": ("NVIDIA L4", "sm_89", 58, 24, 300, 48, _tensor_cores(30.3, 121, tf32=60, fp8=242)),
    "l40s": (
        *("NVIDIA L40S", "sm_89", 142, 48, 864, 96),
        _tensor_cores(91.6, 362, tf32=183, fp8=733),
    ),
    "rtx4090": (
        *("NVIDIA GeForce RTX 4090", "sm_89", 128, 24, 1008, 72),
        _tensor_cores(82.6, 165, tf32=82.6, fp8=330),
    ),
    "h100": ("NVIDIA H100 80GB HBM3", "sm_90", 132, 85.0, 3350, 50, _HOPPER),
    "h100-pcie": (
        *("NVIDIA H100 PCIe", "sm_90", 114, 85.0, 2000, 50),
        _tensor_cores(51, 756, tf32=378, fp8=1513),
    ),
    "h200": ("NVIDIA H200", "sm_90", 132, 150.1, 4800, 60, _HOPPER),
    "b200": (
        *("NVIDIA B200", "sm_100", 148, 192, 8000, 126),
        _tensor_cores(75, 2250, tf32=1125, fp8=4500),
    ),
}
SHEETS: dict[str, Sheet] = {
    word: Sheet(
        name=name,
        arch=arch,
        sms=sms,
        memory_gb=memory,
        bandwidth_gbps=bandwidth,
        l2_mb=l2,
        tflops=rates,
    )
    for word, (name, arch, sms, memory, bandwidth, l2, rates) in _ROWS.items()
}


def lookup(name: str) -> Sheet:
    """Return the sheet of a GPU by its short name, such as h200.

    Raises:
        DeviceMissing: the table has no such GPU.

    """
    try:
        return SHEETS[name.lower()]
    except KeyError:
        raise DeviceMissing(
            f"no datasheet for device {name!r}",
            hint=f"known: {', '.join(SHEETS)}; or give a run file, whose ceilings are used",
        ) from None


def default_ceilings(device: Device) -> Ceilings:
    """Guess rates for a device of which nothing is known, to order and bound work, never to judge.

    A CPU core is taken for 40 GFLOP/s and the socket for 12 GB/s, which a laptop exceeds.
    """
    if device.kind == "cuda":
        for sheet in SHEETS.values():
            if sheet.name == device.name:
                return sheet.ceilings
        return Ceilings(
            copy_gbps=600, tflops={"bf16": 60, "fp16": 60, "fp32": 15}, source="default"
        )
    rate = 0.04 * (device.cores or 1)
    return Ceilings(copy_gbps=12, tflops={"fp32": rate, "bf16": rate}, source="default")
