"""What a number was measured on: device, host and software, as plain facts.

These values are made by ``attnbench.device`` (which may ask torch or NVML) and stored in every row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from attnbench.problem import digest
from attnbench.units import bytes_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device; sizes in bytes, power in watts, None where it is not known.

    ``kind`` is cpu or cuda. ``arch`` is ``sm_90`` or the CPU's architecture. ``free_bytes`` is what
    a case may use: free device memory, or on a CPU half of what is available. ``llc_bytes`` is the
    last-level cache (L2 on a GPU).
    """

    kind: str
    name: str
    arch: str
    memory_bytes: int
    free_bytes: int
    index: int = 0
    uuid: str | None = None
    cores: int | None = None
    llc_bytes: int | None = None
    power_limit_w: float | None = None
    mig: str | None = None
    driver: str | None = None

    @property
    def id(self) -> str:
        """12 hex digits over what makes two devices the same for a verdict."""
        identity = ("name", "memory_bytes", "arch", "mig", "power_limit_w")
        return digest({name: getattr(self, name) for name in identity})

    @property
    def summary(self) -> str:
        """``NVIDIA H200, sm_90, 150 GB, driver 580.65`` or ``Xeon, x86_64, 2 cores, 8.3 GB``."""
        parts = [self.name, self.arch, bytes_text(self.memory_bytes)]
        if self.kind == "cpu" and self.cores:
            parts.append("1 core" if self.cores == 1 else f"{self.cores} cores")
        if self.driver:
            parts.append(f"driver {self.driver}")
        if self.mig:
            parts.append(f"MIG {self.mig}")
        return ", ".join(parts)

    @property
    def compute_capability(self) -> int | None:
        """90 for ``sm_90``; None where the device is not NVIDIA's."""
        return arch_number(self.arch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Device, host and software of one run."""

    device: Device
    host: str
    python: str
    threads: int | None = None
    torch_version: str | None = None
    triton_version: str | None = None
    cuda: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None

    @property
    def id(self) -> str:
        """12 hex digits over the device and the software that computes on it."""
        software = ("cuda", "torch_version", "triton_version", "python", "threads")
        named = {name: getattr(self, name) for name in software}
        return digest({"device": self.device.id, "driver": self.device.driver, **named})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the device nested."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Environment:
        """Rebuild what ``facts`` wrote; facts that a newer version added are left out."""
        device = _known(Device, facts["device"])
        return cls(**{**_known(cls, facts), "device": Device(**device)})


def _known(kind: type, facts: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in facts.items() if name in names}


def arch_number(arch: str) -> int | None:
    """Return 90 for ``sm_90`` and None for what is no NVIDIA architecture."""
    digits = arch.removeprefix("sm_").rstrip("af")
    return int(digits) if arch.startswith("sm_") and digits.isdigit() else None


def device_text(environment: Environment) -> str:
    """Write ``NVIDIA H200, sm_90, 150 GB, driver 580.65`` or ``Xeon, x86_64, 8.3 GB, 2 cores``."""
    device = environment.device
    parts = [device.name, device.arch, bytes_text(device.memory_bytes)]
    if device.kind == "cpu" and device.cores:
        parts.append("1 core" if device.cores == 1 else f"{device.cores} cores")
    if device.driver:
        parts.append(f"driver {device.driver}")
    if device.mig:
        parts.append(f"MIG {device.mig}")
    return ", ".join(parts)


def stack_text(environment: Environment) -> str:
    """Write ``torch 2.13.0, triton 3.7.1, cuda 13.0, python 3.12.4``."""
    named = {
        "torch": environment.torch_version,
        "triton": environment.triton_version,
        "cuda": environment.cuda,
        "python": environment.python,
    }
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)
