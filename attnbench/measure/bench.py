"""What a worker keeps between cases: the device, its ceilings, and the inputs of one problem."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property
from types import ModuleType

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
from attnbench.measure.cache import Flush
from attnbench.measure.copies import copy_inputs
from attnbench.measure.inputs import checksum, make_inputs
from attnbench.measure.probe import backend_of
from attnbench.measure.reference import Reference
from attnbench.plugin import Inputs
from attnbench.problem import Problem
from attnbench.registry import Registry

_CPU_SHARE = 0.9  # of what is available, before malloc fails instead of the machine swapping


class ProblemInputs:
    """The inputs of one problem, made once for all its backends, and their reference."""

    def __init__(self, problem: Problem, driver: Driver) -> None:
        self.problem = problem
        self.inputs: Inputs = make_inputs(problem, driver.torch_name)
        self.checksum = checksum(self.inputs)
        self.reference_of_inputs: Reference | None = None
        self.copies: list[Inputs] = []

    def copy(self, number: int) -> Inputs:
        """Return a copy of the inputs, made once for all backends; numbers follow each other."""
        if number == len(self.copies):
            self.copies.append(copy_inputs(self.inputs))
        return self.copies[number]

    def reference(self) -> Reference:
        """The high-precision reference of the inputs as they were drawn."""
        if self.reference_of_inputs is None:
            self.reference_of_inputs = Reference.of(self.inputs)
        return self.reference_of_inputs


class DeviceContext:
    """One opened device and everything that outlives a case on it."""

    def __init__(self, driver: Driver, stage: Callable[[str], None]) -> None:
        self.driver = driver
        self.enter = stage
        self.device: Device = driver.describe()
        self.ceilings: Ceilings | None = None
        self._shared: ProblemInputs | None = None
        self._modules: dict[tuple[str, str], ModuleType] = {}
        collect_garbage()

    @classmethod
    def open(
        cls, device: str, *, stage: Callable[[str], None], own_process: bool = True
    ) -> DeviceContext:
        """Open ``auto``, ``cpu`` or ``cuda[:N]``.

        A worker has a process of its own, whose threads and memory are limited to what measuring
        wants; in a process of others (``own_process`` false) both stay as they are.

        Raises:
            DeviceMissing: torch sees no such device, or the word names none.

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
        """Measure the device's best rates afresh; the best known of each is kept."""
        self.enter("ceilings")
        fresh = measure_ceilings(self.driver, self.device, repeats=repeats)
        self.ceilings = fresh if self.ceilings is None else fresh.best_of(self.ceilings)
        self.driver.release()
        return self.ceilings

    def sustain_ceilings(self) -> Ceilings:
        """Measure beside the bursts what the device holds for a second each."""
        burst = self.ceilings or self.measure_ceilings()
        self.enter("ceilings")
        self.ceilings = sustain(self.driver, self.device, burst)
        self.driver.release()
        return self.ceilings

    def flush(self) -> Flush:
        """Make the buffer that empties the last-level cache."""
        return Flush(self.driver, self.device.llc_bytes)

    def shared_for(self, problem: Problem) -> ProblemInputs:
        """Inputs of this problem; those of another are dropped first, to have their memory back."""
        if self._shared is None or self._shared.problem != problem:
            self._shared = None
            self.driver.release()
            self._shared = ProblemInputs(problem, self.driver)
        return self._shared

    def forget_inputs(self) -> None:
        """Drop the inputs: a backend may have written them, or memory ran out."""
        self._shared = None
        self.driver.release()

    def module_of(self, case: Case) -> ModuleType:
        """Import a case's backend, once a worker."""
        key = (case.backend, case.source)
        if key not in self._modules:
            self._modules[key] = Registry().load(backend_of(case))
            collect_garbage()
        return self._modules[key]


def _limit_memory() -> None:
    """Let allocations fail before the machine swaps: in use + 90 % of what is available."""
    available = available_bytes()
    if available is None or sys.platform != "linux":
        return
    import resource

    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  a kernel file
            in_use = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return  # a container without /proc: what is in use cannot be told from what is free
    limit = in_use + int(_CPU_SHARE * available)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
