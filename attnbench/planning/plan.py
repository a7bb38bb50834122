"""Which cases of a suite will run on a device, which will not and why, and how long they take.

Planning needs neither torch nor the device. Its rates come from a calibration or a run's ceilings
where there is one, and from the table of datasheets otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.case import BUILT_IN, Case
from attnbench.environment import Device
from attnbench.method import Measure, Method
from attnbench.planning.prediction import Predictor
from attnbench.plugin import BackendDescription, Capabilities
from attnbench.registry import Registry
from attnbench.units import bytes_text, duration_text

RUN, SKIPPED, UNSUPPORTED = "run", "skipped", "unsupported"
BackendKey = tuple[str, str]  # name and source
Backends = Mapping[BackendKey, BackendDescription]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """One case under one method; ``status`` is run, unsupported or skipped.

    ``predicted_bytes`` is the peak of device memory that the case needs, ``predicted_s`` the time
    that it takes in one process, including inputs and reference.
    """

    case: Case
    method: Method
    status: str
    reason: str | None
    predicted_bytes: int
    predicted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """The largest kv_len of one shape that is predicted to fit with one backend.

    ``problem`` is the shape's label with ``*`` for the length that grows. ``largest_kv_len`` is 0
    where nothing fits; it needs ``predicted_bytes``. ``tied`` says that q_len grows with kv_len (a
    prefill of a whole prompt). ``swept_fits`` and ``swept_over`` are the nearest lengths that the
    suite itself has on either side.
    """

    backend: str
    problem: str
    tied: bool
    largest_kv_len: int
    predicted_bytes: int
    swept_fits: int | None
    swept_over: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every case of a suite on one device, in the suite's order.

    ``memory_limits`` is empty unless ``attnbench plan`` asked for it.
    """

    device: Device
    planned: tuple[PlannedCase, ...]
    processes: int
    memory_limits: tuple[MemoryLimit, ...] = ()

    def of_status(self, status: str) -> tuple[PlannedCase, ...]:
        """The cases that will ``run``, or are ``unsupported`` or ``skipped``."""
        return tuple(one for one in self.planned if one.status == status)

    @property
    def seconds(self) -> float:
        """Predicted time of the whole run."""
        return self.processes * sum(one.predicted_s for one in self.of_status(RUN))


def describe_backends(
    cases: Iterable[Case],
    probed: Mapping[BackendKey, Capabilities] | None = None,
    *,
    elsewhere: bool = False,
) -> dict[BackendKey, BackendDescription]:
    """Describe the backend of each case, for the planner.

    Args:
        cases: cases whose backends are looked up.
        probed: what a worker said of third-party backends, by name and source.
        elsewhere: plan for another machine, which may have a library that this one lacks.

    """
    registry, found = Registry(), dict[BackendKey, BackendDescription]()
    for case in cases:
        key = (case.backend, case.source)
        if key not in found:
            reference = case.source if case.source.endswith(".py") else case.backend
            one = registry.describe(reference, folder=Path.cwd(), name=case.backend)
            if one.source != BUILT_IN:
                one = replace(one, capabilities=(probed or {}).get(key))
            found[key] = replace(one, library=None) if elsewhere else one
    return found


def make_plan(
    cases: Iterable[Case], predictor: Predictor, measure: Measure, backends: Backends
) -> Plan:
    """Decide for every case under each of its methods whether it runs.

    Args:
        cases: the cases, in the suite's order.
        predictor: predicts their memory and time on a device.
        measure: the suite's measure block: methods, processes, limits.
        backends: see ``describe_backends``.

    Returns:
        The plan. Where a case will not run, the reason is the first of: unsupported, memory, time.

    """
    planned: list[PlannedCase] = []
    for case in cases:
        status, reason, needed, seconds = _decide(case, predictor, measure, backends)
        capabilities = backends[case.backend, case.source].capabilities
        for method in measure.methods(case.problem, predictor.device):
            unread = capabilities.why_not_timer(method.timer) if capabilities else None
            is_read = status == UNSUPPORTED or unread is None
            planned.append(
                PlannedCase(
                    case=case,
                    method=method,
                    status=status if is_read else UNSUPPORTED,
                    reason=reason if is_read else unread,
                    predicted_bytes=needed,
                    predicted_s=seconds,
                )
            )
    return Plan(device=predictor.device, planned=tuple(planned), processes=measure.processes)


def _decide(
    case: Case, predictor: Predictor, measure: Measure, backends: Backends
) -> tuple[str, str | None, int, float]:
    """Return status, reason, predicted bytes and predicted seconds of a case."""
    backend = backends[case.backend, case.source]
    options = dict(case.options)
    device = predictor.device
    reason = None
    if backend.capabilities is not None:
        reason = backend.capabilities.why_not(case.problem, device)
    if reason is None and backend.why_not is not None:
        reason = backend.why_not(case.problem, device, **options)
    if reason is None and backend.library is not None:
        reason = backend.library.why_not()
    if reason is not None:
        return UNSUPPORTED, reason, 0, 0.0
    rule = backend.workspace_bytes
    workspace = rule(case.problem, **options) if rule is not None else 0
    needed = predictor.peak_bytes(case, workspace)
    seconds = predictor.case_s(case, measure)
    if needed > device.free_bytes:
        free = "free" if device.kind == "cuda" else "half of what is available"
        reason = f"needs {bytes_text(needed)}, {bytes_text(device.free_bytes)} is {free}"
        return SKIPPED, reason, needed, seconds
    if seconds > measure.case_limit_s:
        limit = f"case_limit_s {measure.case_limit_s:g}"
        return SKIPPED, f"about {duration_text(seconds)} a process, over {limit}", needed, seconds
    if device.kind == "cuda":
        seconds += measure.energy_s  # the user asked for it, so it is no reason to skip
    return RUN, None, needed, seconds
