"""The checks of ``doctor``: each finding has a state and, where it is not ok, what to type."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.environment import device_text
from attnbench.errors import AttnbenchError
from attnbench.execute.executors import Executor, worker_on
from attnbench.units import bytes_text
from attnbench.worker.client import WorkerHandle, WorkerSpec
from attnbench.worker.protocol import RunSelfTest, SustainCeilings

if TYPE_CHECKING:
    from attnbench.device.rates import Ceilings
    from attnbench.environment import Device, Environment
    from attnbench.plugin import BackendDescription

OK, WARNING, PROBLEM, ABSENT = "ok", "warning", "problem", "absent"
RESULTS = Path("results")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_BUSY_SHARE = 0.25  # load average per core above which CPU latencies cannot be trusted
_DISTRIBUTIONS = ("torch", "triton", "nvidia-ml-py", "numpy", "pandas", "pyarrow")
_NEEDED_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check; ``fix`` says what to type."""

    section: str
    state: str
    text: str
    fix: str | None = None


def device_environment(device: str = "auto", executor: Executor | None = None) -> Environment:
    """Open a device in a worker and describe it.

    Raises:
        TorchMissing: torch cannot be imported.
        DeviceMissing: torch sees no such device.

    """
    with worker_on(executor, WorkerSpec(device)) as worker:
        return worker.environment


def probe(
    backends: list[BackendDescription], device: str = "auto", executor: Executor | None = None
) -> dict[str, dict[str, Any]]:
    """Import third-party backends in a worker: their capabilities, or the error in words."""
    found: dict[str, dict[str, Any]] = {}
    with worker_on(executor, WorkerSpec(device)) as worker:
        for one in backends:
            probed = worker.probe(one.name, one.source)
            if probed.capabilities is None:
                found[one.name] = {"error": probed.error, "hint": probed.hint}
            else:
                found[one.name] = {"capabilities": probed.capabilities.to_dict()}
    return found


def examine(executor: Executor | None = None) -> Iterator[Finding]:
    """Run all checks, one finding at a time."""
    yield from software()
    with worker_on(executor, WorkerSpec("auto")) as worker:
        try:
            environment = worker.environment
            yield from device(environment, worker.pid)
            yield from timing(worker, environment)
        except AttnbenchError as error:
            yield Finding(section="device", state=PROBLEM, text=error.message, fix=error.hint)
    yield from storage(RESULTS)
    yield from backends()


def software() -> Iterator[Finding]:
    """Report the versions of the installed packages."""
    from attnbench import __version__
    from attnbench.device.local import version_of

    yield _ok("software", f"attnbench {__version__}, python {platform.python_version()}")
    found = {name: version_of(name) for name in _DISTRIBUTIONS}
    yield _ok("software", ", ".join(f"{name} {one}" for name, one in found.items() if one))
    if found["torch"] is None:
        yield Finding(
            section="software",
            state=PROBLEM,
            text="torch is not installed: this machine can plan and show, but not measure",
            fix='python -m pip install "attnbench[torch]"',
        )


def device(environment: Environment, worker: int) -> Iterator[Finding]:
    """Report the device, and which processes other than our worker use it."""
    yield _ok("device", device_text(environment))
    if environment.device.kind == "cuda":
        yield from _gpu(environment.device, worker)
    else:
        yield from _cpu(environment.device)


def timing(worker: WorkerHandle, environment: Environment) -> Iterator[Finding]:
    """Report whether the timers measure known durations and known traffic correctly."""
    from attnbench.device.rates import Ceilings
    from attnbench.store.ceilings import store_ceilings, stored_ceilings

    stored = stored_ceilings(environment)
    known = None if stored is None else Ceilings(**stored)
    answer = worker.ask(RunSelfTest(ceilings=known))
    ceilings = answer.ceilings
    if ceilings.sustained_gbps is None:
        ceilings = worker.ask(SustainCeilings(ceilings=ceilings)).ceilings
        store_ceilings(environment, ceilings.to_dict())
    yield from rates(ceilings)
    for one in answer.tests:
        yield Finding(
            section="timing",
            state=OK if one["passed"] else PROBLEM if one["grave"] else WARNING,
            text=f"{one['name']}: {one['measured']} (expected {one['expected']})",
            fix=one["advice"],
        )


def rates(ceilings: Ceilings) -> Iterator[Finding]:
    """Report the device's best rates, and those that it sustains for a second."""
    moves = {"read": ceilings.read_gbps, "copy": ceilings.copy_gbps, "triad": ceilings.triad_gbps}
    known = [f"{name} {rate:.4g}" for name, rate in moves.items() if rate is not None]
    if known:
        sustained = ceilings.sustained_gbps
        tail = "" if sustained is None else f"; sustained for a second {sustained:.4g}"
        yield _ok("timing", f"memory reaches {', '.join(known)} GB/s{tail}")
    products = [f"{dtype} {rate:.3g}" for dtype, rate in ceilings.tflops.items()]
    if products:
        lasting = [f"{dtype} {rate:.3g}" for dtype, rate in ceilings.sustained_tflops.items()]
        tail = f"; sustained for a second {', '.join(lasting)}" if lasting else ""
        yield _ok("timing", f"matrix products reach {', '.join(products)} TFLOP/s{tail}")


def storage(folder: Path) -> Iterator[Finding]:
    """Report whether results can be written, and how much space is free."""
    from attnbench.store.atomic import check_writable

    # The first run makes the folder; a check must not.
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
    """Report which backends work here, and what the others lack."""
    from attnbench.registry import Registry

    try:
        found = Registry().listed(probe)
    except AttnbenchError:  # no worker can start; the device section has said why
        found = Registry().listed()
    for one in found:
        if one.fault is None:
            yield _ok("backends", one.name)
        else:
            yield Finding(section="backends", state=ABSENT, text=f"{one.name}: {one.fault}")


def load_average(read: Callable[[], tuple[float, float, float]] | None = None) -> float | None:
    """Return the load average of the last minute; None where the system has none."""
    ask = read or getattr(os, "getloadavg", None)
    try:
        return None if ask is None else float(ask()[0])
    except OSError:
        return None


def _gpu(device: Device, worker: int) -> Iterator[Finding]:
    from attnbench.device.nvml import NoTelemetry, find_board

    board = find_board(device.uuid)
    if isinstance(board, NoTelemetry):
        yield Finding(
            section="device",
            state=WARNING,
            text=f"clocks, power and other processes are unknown: {board.reason}",
            fix="python -m pip install nvidia-ml-py, or mount the driver's libnvidia-ml.so",
        )
        return
    yield from _other_processes(board.foreign(worker))
    reading = board.read()
    if reading.sm_clock_mhz is not None and reading.temperature_c is not None:
        yield _ok("device", f"SM clock {reading.sm_clock_mhz:.0f} MHz, {reading.temperature_c} °C")
    if reading.throttled:
        yield Finding(
            section="device",
            state=WARNING,
            text=f"the device is lowering its clocks: {', '.join(reading.throttled)}",
            fix="cool it, or raise its power limit (nvidia-smi -pl)",
        )
    if board.refusals:
        refused = ", ".join(f"{what} ({why})" for what, why in board.refusals.items())
        yield Finding(section="device", state=WARNING, text=f"NVML does not report {refused}")
    if device.power_limit_w is not None:
        yield _ok("device", f"power limit {device.power_limit_w:.0f} W")


def _other_processes(others: tuple[int, ...] | None) -> Iterator[Finding]:
    if others is None:  # among the refusals
        return
    if not others:
        yield _ok("device", "no other process uses this GPU")
        return
    yield Finding(
        section="device",
        state=WARNING,
        text=f"other processes use this GPU: pid {', '.join(map(str, others))}",
        fix="stop them, or measure on another device (--device cuda:N)",
    )


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
            text=f"CPU frequency governor {governor}: clocks change while measuring",
            fix="sudo cpupower frequency-set -g performance   "
            f"undo: sudo cpupower frequency-set -g {governor}",
        )


def _ok(section: str, text: str) -> Finding:
    return Finding(section=section, state=OK, text=text)
