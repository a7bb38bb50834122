"""What ``doctor`` looks at: each finding says how it is, and where it is not well what to type."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.errors import AttnbenchError
from attnbench.units import bytes_text

if TYPE_CHECKING:
    from attnbench.environment import Device, Environment

OK, WARNING, PROBLEM, ABSENT = "ok", "warning", "problem", "absent"
RESULTS = Path("results")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_BUSY_SHARE = 0.25  # load average a core above which a CPU latency is not to be trusted
_DISTRIBUTIONS = ("torch", "triton", "nvidia-ml-py", "numpy", "pandas", "pyarrow")
_NEEDED_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``fix`` says what to type."""

    section: str
    state: str
    text: str
    fix: str | None = None


def examine() -> Iterator[Finding]:
    """Look at everything, one finding at a time."""
    from attnbench.execute import probe

    yield from software()
    try:
        environment = probe.environment()
    except AttnbenchError as error:
        yield Finding(section="device", state=PROBLEM, text=error.message, fix=error.hint)
    else:
        yield from device(environment)
    yield from storage(RESULTS)
    yield from backends()


def software() -> Iterator[Finding]:
    """Versions of what measures and what analyses."""
    from attnbench import __version__
    from attnbench.device.local import version_of

    yield _ok("software", f"attnbench {__version__}, python {platform.python_version()}")
    found = {name: version_of(name) for name in _DISTRIBUTIONS}
    yield _ok("software", ", ".join(f"{name} {one}" for name, one in found.items() if one))
    if found["torch"] is None:
        yield Finding(
            section="software",
            state=PROBLEM,
            text="torch is not installed: this machine can plan and show, not measure",
            fix='python -m pip install "attnbench[torch]"',
        )


def device(environment: Environment) -> Iterator[Finding]:
    """The device, and who else uses it."""
    from attnbench.cli.summary import device_text

    yield _ok("device", device_text(environment))
    if environment.device.kind == "cuda":
        yield from _gpu(environment.device)
    else:
        yield from _cpu(environment.device)


def storage(folder: Path) -> Iterator[Finding]:
    """Whether results can be kept, and how much."""
    from attnbench.store.atomic import check_writable

    # A folder that is not there yet is made by the first run; looking must not make it.
    place = folder if folder.is_dir() else Path()
    try:
        check_writable(place)
    except AttnbenchError as error:
        yield Finding(section="storage", state=PROBLEM, text=error.message, fix=error.hint)
        return
    free = shutil.disk_usage(place).free
    state = OK if free > _NEEDED_BYTES else WARNING
    text = f"{folder}/ can be written, {bytes_text(free)} are free"
    yield Finding(section="storage", state=state, text=text)


def backends() -> Iterator[Finding]:
    """Which backends can be used here, and what the others lack."""
    from attnbench.execute.probe import probe
    from attnbench.registry import Registry

    try:
        found = Registry().listed(probe)
    except AttnbenchError:  # no worker can be had; the section on the device has said why
        found = Registry().listed()
    for one in found:
        if one.fault is None:
            yield _ok("backends", one.name)
        else:
            yield Finding(section="backends", state=ABSENT, text=f"{one.name}: {one.fault}")


def load_average(read: Callable[[], tuple[float, float, float]] | None = None) -> float | None:
    """Processes that want to run, mean of the last minute; None where the system does not say."""
    ask = read or getattr(os, "getloadavg", None)
    try:
        return None if ask is None else float(ask()[0])
    except OSError:
        return None


def _gpu(device: Device) -> Iterator[Finding]:
    from attnbench.device.nvml import other_processes

    others = other_processes(device.uuid)
    if others is None:
        yield Finding(
            section="device",
            state=WARNING,
            text="NVML does not answer: clocks, power and other processes stay unknown",
            fix="python -m pip install nvidia-ml-py, or mount the driver's libnvidia-ml.so",
        )
    elif others:
        listed = ", ".join(map(str, others))
        yield Finding(
            section="device",
            state=WARNING,
            text=f"other processes use this GPU: pid {listed}",
            fix="stop them, or measure on another device (--device cuda:N)",
        )
    else:
        yield _ok("device", "no other process uses this GPU")
    if device.power_limit_w is not None:
        yield _ok("device", f"power limit {device.power_limit_w:.0f} W")


def _cpu(device: Device) -> Iterator[Finding]:
    load, cores = load_average(), device.cores or 1
    if load is not None and load > _BUSY_SHARE * cores:
        yield Finding(
            section="device",
            state=WARNING,
            text=f"load average {load:.1f} on {cores} cores: other programs are running",
            fix="wait for them, or stop them",
        )
    elif load is not None:
        yield _ok("device", f"load average {load:.1f} on {cores} cores")
    try:
        governor = _GOVERNOR.read_text(encoding="ascii").strip()
    except OSError:
        return
    if governor == "performance":
        yield _ok("device", "CPU frequency governor performance")
    else:
        yield Finding(
            section="device",
            state=WARNING,
            text=f"CPU frequency governor {governor}: clocks move while measuring",
            fix="sudo cpupower frequency-set -g performance   "
            f"undo: sudo cpupower frequency-set -g {governor}",
        )


def _ok(section: str, text: str) -> Finding:
    return Finding(section=section, state=OK, text=text)
