"""Which cases of a suite will run on a device, which will not and why, and for how long.

Needs no torch and no device: rates come from a pilot or a run's ceilings where there is one, from
the datasheet table otherwise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from attnbench.case import BUILT_IN, Case
from attnbench.environment import Device
from attnbench.execute.predict import Predictor
from attnbench.library import Library
from attnbench.method import Measure, Method
from attnbench.plugin import BackendFacts, Capabilities
from attnbench.registry import BUILT_INS
from attnbench.units import bytes_text, duration_text

RUN, SKIPPED, UNSUPPORTED = "run", "skipped", "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """One case under one method; ``status`` is run, unsupported or skipped.

    ``predicted_bytes`` is the peak of device memory that the case will need, ``predicted_s`` the
    time that it takes in one process, reference and all.
    """

    case: Case
    method: Method
    status: str
    reason: str | None
    predicted_bytes: int
    predicted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Where one backend's memory ends on one shape; sizes in bytes.

    ``problem`` is its label with ``*`` for the length that grows. ``largest_kv_len`` is 0 where
    nothing fits, and needs ``predicted_bytes``. ``tied`` says that q_len grows along (a prefill of
    a whole prompt). ``swept_fits`` and ``swept_over`` are the suite's own lengths on either side.
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

    ``frontiers`` says where memory ends for each backend and shape, where it was asked for.
    """

    device: Device
    planned: tuple[PlannedCase, ...]
    processes: int
    frontiers: tuple[Frontier, ...] = ()

    def of_status(self, status: str) -> tuple[PlannedCase, ...]:
        """The cases that will ``run``, or are ``unsupported`` or ``skipped``."""
        return tuple(one for one in self.planned if one.status == status)

    @property
    def seconds(self) -> float:
        """Predicted time of the whole run."""
        return self.processes * sum(one.predicted_s for one in self.of_status(RUN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the planner may ask of one backend without a worker; None means not probed."""

    capabilities: Capabilities | None
    why_not: Callable[..., str | None] | None = None
    workspace_bytes: Callable[..., int] | None = None
    missing: str | None = None
    library: Library | None = None
    is_triton: bool = False


def known_backend(
    facts: BackendFacts, probed: Capabilities | None = None, *, elsewhere: bool = False
) -> Known:
    """Take a backend's rules from its torch-free module, or from what a worker said of it.

    ``elsewhere`` plans for another machine, which may have the library that this one lacks.
    """
    if facts.source != BUILT_IN:
        return Known(capabilities=probed)
    module = importlib.import_module(BUILT_INS[facts.name])
    return Known(
        capabilities=module.capabilities,
        why_not=getattr(module, "why_not", None),
        workspace_bytes=getattr(module, "workspace_bytes", None),
        library=None if elsewhere else facts.library,
        is_triton=hasattr(module, "inspected"),
    )


def make_plan(
    cases: Iterable[Case],
    predictor: Predictor,
    measure: Measure,
    backends: dict[tuple[str, str], Known],
) -> Plan:
    """Decide for every case under each of its methods. Reasons: unsupported, memory, then time."""
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
    case: Case,
    predictor: Predictor,
    measure: Measure,
    backends: dict[tuple[str, str], Known],
) -> tuple[str, str | None, int, float]:
    known = backends[case.backend, case.source]
    options = dict(case.options)
    device = predictor.device
    reason = known.missing
    if reason is None and known.capabilities is not None:
        reason = known.capabilities.why_not(case.problem, device)
    if reason is None and known.why_not is not None:
        reason = known.why_not(case.problem, device, **options)
    if reason is None and known.library is not None:
        reason = known.library.why_not()
    if reason is not None:
        return UNSUPPORTED, reason, 0, 0.0
    asked = known.workspace_bytes
    workspace = asked(case.problem, **options) if asked is not None else 0
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
        seconds += measure.energy_s  # asked for, and so no reason to skip
    return RUN, None, needed, seconds
