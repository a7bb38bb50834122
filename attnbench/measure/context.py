"""What a worker keeps between cases (the device and one problem's inputs), and the current case."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

import torch

from attnbench.case import Case
from attnbench.device.base import Driver, collect_garbage
from attnbench.device.ceilings import REPEATS, measure_ceilings, sustain
from attnbench.device.cpu import Cpu
from attnbench.device.cuda import Cuda
from attnbench.device.local import available_bytes, environment_of, usable_cores
from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.errors import DeviceMissing
from attnbench.measure.calls import Prepared
from attnbench.measure.cold_cache import Flush, copy_inputs
from attnbench.measure.dynamo_counters import CompileWatcher
from attnbench.measure.inputs import checksum, make_inputs
from attnbench.measure.probe import backend_of
from attnbench.measure.reference import Reference
from attnbench.method import Measure, Method
from attnbench.plugin import Inputs
from attnbench.problem import Problem
from attnbench.registry import Registry

_CPU_SHARE = 0.9  # of the available memory, so that malloc fails before the machine swaps


class ProblemInputs:
    """The inputs of one problem, made once for all its backends, and their reference."""

    def __init__(self, problem: Problem, driver: Driver) -> None:
        self.problem = problem
        self.inputs: Inputs = make_inputs(problem, driver.torch_name)
        self.checksum = checksum(self.inputs)
        self.copies: list[Inputs] = []
        self._reference: Reference | None = None

    def copy(self, number: int) -> Inputs:
        """Return a copy of the inputs, made once for all backends; numbers must be consecutive."""
        if number == len(self.copies):
            self.copies.append(copy_inputs(self.inputs))
        return self.copies[number]

    def reference(self) -> Reference:
        """Return the high-precision reference of the inputs as they were drawn, computed once."""
        if self._reference is None:
            self._reference = Reference.of(self.inputs)
        return self._reference


class DeviceContext:
    """An open device and everything on it that outlives a case.

    Args:
        driver: the device.
        stage: called with the name of each stage of a case as it begins, so that the parent knows
            where a worker hangs or dies.

    """

    def __init__(self, driver: Driver, stage: Callable[[str], None]) -> None:
        self.driver = driver
        self.enter = stage
        self.device: Device = driver.describe()
        self.ceilings: Ceilings | None = None
        self._problem_inputs: ProblemInputs | None = None
        self._modules: dict[tuple[str, str], ModuleType] = {}
        collect_garbage()

    @classmethod
    def open(
        cls, device: str, *, stage: Callable[[str], None], own_process: bool = True
    ) -> DeviceContext:
        """Open a device.

        Args:
            device: ``auto``, ``cpu`` or ``cuda[:N]``.
            stage: as in the constructor.
            own_process: whether this is a worker's own process, whose threads and memory are
                limited to what measuring needs; both stay as they are in somebody else's process.

        Raises:
            DeviceMissing: torch sees no such device, or the name is unknown.

        """
        if own_process:
            torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", usable_cores())))
        kind, _, index = device.partition(":")
        if kind == "auto":
            kind = "cuda" if torch.cuda.is_available() else "cpu"
        if kind == "cuda" and (not index or index.isdigit()):
            return cls(Cuda(int(index or 0)), stage)
        if device not in ("auto", "cpu"):
            raise DeviceMissing(f"no device {device!r}", hint="write auto, cpu, cuda or cuda:N")
        if own_process:
            _limit_memory()
        return cls(Cpu(), stage)

    @cached_property
    def environment(self) -> Environment:
        """Device, host and software of this worker."""
        cuda = torch.version.cuda if self.driver.kind == "cuda" else None
        return environment_of(self.device, threads=torch.get_num_threads(), cuda=cuda)

    def measure_ceilings(self, repeats: int = REPEATS) -> Ceilings:
        """Measure the device's best rates again; the best known value of each is kept."""
        self.enter("ceilings")
        fresh = measure_ceilings(self.driver, self.device, repeats=repeats)
        self.ceilings = fresh if self.ceilings is None else fresh.best_of(self.ceilings)
        self.driver.release()
        return self.ceilings

    def sustain_ceilings(self) -> Ceilings:
        """Measure the rates that the device sustains for a second, and add them to the bursts."""
        burst = self.ceilings or self.measure_ceilings()
        self.enter("ceilings")
        self.ceilings = sustain(self.driver, self.device, burst)
        self.driver.release()
        return self.ceilings

    def flush(self) -> Flush:
        """Allocate the buffer that flushes the last-level cache."""
        return Flush(self.driver, self.device.llc_bytes)

    def inputs_for(self, problem: Problem) -> ProblemInputs:
        """Return the inputs of this problem; those of another are freed first."""
        if self._problem_inputs is None or self._problem_inputs.problem != problem:
            self._problem_inputs = None
            self.driver.release()
            self._problem_inputs = ProblemInputs(problem, self.driver)
        return self._problem_inputs

    def forget_inputs(self) -> None:
        """Free the inputs: a backend may have overwritten them, or memory ran out."""
        self._problem_inputs = None
        self.driver.release()

    def module_of(self, case: Case) -> ModuleType:
        """Import a case's backend, once per worker."""
        key = (case.backend, case.source)
        if key not in self._modules:
            self._modules[key] = Registry().load(backend_of(case))
            collect_garbage()
        return self._modules[key]


def _limit_memory() -> None:
    """Limit the address space to memory in use + 90 % of what is available, instead of swapping."""
    available = available_bytes()
    if available is None or sys.platform != "linux":
        return
    import resource

    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  a kernel file
            in_use = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return  # without /proc, as in some containers, memory in use is unknown
    limit = in_use + int(_CPU_SHARE * available)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSettings:
    """How to measure a case: its method and the suite's measure block.

    ``calibration`` asks for a few timed calls instead of a measurement.
    """

    method: Method
    measure: Measure
    calibration: bool = False


@dataclass(slots=True)
class CaseContext:
    """One case being measured: what it is, where it runs, and what is known so far.

    ``found`` holds fields of the Measurement to be. ``others`` are the backend's calls on the
    further copies of the inputs. ``call_s`` is a first estimate of the call's time in seconds.
    """

    case: Case
    settings: CaseSettings
    device_context: DeviceContext
    found: dict[str, Any] = field(default_factory=dict)
    call_s: float | None = None
    prepared: Prepared | None = None
    others: tuple[Prepared, ...] = ()
    compiling: CompileWatcher = field(default_factory=CompileWatcher)

    @property
    def driver(self) -> Driver:
        """The device that the case runs on."""
        return self.device_context.driver

    @property
    def module(self) -> ModuleType:
        """The imported backend."""
        return self.device_context.module_of(self.case)

    def now_s(self) -> float:
        """Return the host clock of the device, which a scripted device scripts."""
        return self.driver.clock_ns() * 1e-9

    def enter(self, stage: str) -> None:
        """Report that a stage of the case begins."""
        self.device_context.enter(stage)

    def note(self, *codes: str) -> None:
        """Add note codes, each once."""
        self.found["notes"] = tuple(dict.fromkeys((*self.found.get("notes", ()), *codes)))
