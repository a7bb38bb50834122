"""The events of a run as JSON objects: what ``attnbench run --json`` writes, one on a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from attnbench.case import Case
from attnbench.execute.events import (
    Beat,
    CaseFinished,
    CaseStarted,
    Event,
    ProcessStarted,
    Remark,
    RunFinished,
    RunStarted,
    SelfTested,
)
from attnbench.method import Method

SCHEMA_VERSION = 1


@dataclass
class JsonView:
    """One JSON object an event on stdout; errors still go to stderr as text."""

    write: Callable[[str], None]
    suite: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self.write(json.dumps(as_json(event, self.suite), ensure_ascii=False))


def as_json(event: Event, suite: str) -> dict[str, Any]:
    """Return one event as plain JSON values; ``event`` names its kind."""
    kind = _KINDS[type(event)]
    facts = _FACTS.get(type(event), asdict)(event)
    return {"schema_version": SCHEMA_VERSION, "event": kind, "suite": suite, **facts}


def _started(event: RunStarted) -> dict[str, Any]:
    plan = event.plan
    return {
        "run_name": event.run_name,
        "out": str(event.out),
        "environment": event.environment.to_dict(),
        "cases": dict(Counter(one.status for one in plan.planned)),
        "predicted_s": plan.seconds,
        "processes": event.processes,
        "resumed_rows": event.resumed_rows,
    }


def _case_started(event: CaseStarted) -> dict[str, Any]:
    return {
        **_named(event.case, event.method),
        "process": event.process,
        "position": event.position,
        "total": event.total,
    }


def _case_finished(event: CaseFinished) -> dict[str, Any]:
    measured, summary = event.measurement, event.summary
    return {
        **_named(measured.case, event.method),
        "position": event.position,
        "total": event.total,
        "seconds_left": event.seconds_left,
        **measured.to_dict(),
        "latency_us": None if summary is None else summary.latency,
        "noise": None if summary is None else summary.noise,
    }


def _named(case: Case, method: Method | None) -> dict[str, Any]:
    return {
        "case_id": case.id,
        "case_label": case.label,
        "backend": case.backend_label,
        "method_id": None if method is None else method.id,
    }


def _run_finished(event: RunFinished) -> dict[str, Any]:
    return {**asdict(event), "out": str(event.out)}


_KINDS: dict[type, str] = {
    RunStarted: "run_started",
    SelfTested: "self_tested",
    ProcessStarted: "process_started",
    CaseStarted: "case_started",
    CaseFinished: "case_finished",
    Beat: "beat",
    Remark: "remark",
    RunFinished: "run_finished",
}
# What is not here is plain already.
_FACTS: dict[type, Callable[[Any], dict[str, Any]]] = {
    RunStarted: _started,
    CaseStarted: _case_started,
    CaseFinished: _case_finished,
    RunFinished: _run_finished,
}
