"""Correctness only: every case of a suite against the reference, nothing timed.

Where there is no GPU a Triton backend is run by Triton's interpreter, in a worker of its own and on
a problem that is small enough for it (REDUCED), in fp32 instead of bf16 (UPCAST).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from attnbench.case import Case
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.errand import Stopped
from attnbench.execute.events import CaseChecked, Listener
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.process import CaseRunner
from attnbench.execute.request import RunRequest
from attnbench.execute.survey import Preflight, survey
from attnbench.measure.reduce import reduced, upcast
from attnbench.planning.plan import RUN, PlannedCase, make_plan
from attnbench.planning.prediction import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinished:
    """What every case came to; ``interrupted`` where the user stopped it."""

    checked: tuple[CaseChecked, ...]
    interrupted: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many cases have each status; ok means that the output passed."""
        found: dict[str, int] = {}
        for one in self.checked:
            found[one.status] = found.get(one.status, 0) + 1
        return found


def check(request: RunRequest, listener: Listener) -> CheckFinished:
    """Check every case of a suite once, in the suite's order.

    Raises:
        AttnbenchError: no torch, no device, or a third-party backend that cannot be imported.

    """
    cases = request.cases()
    checked: list[CaseChecked] = []
    with Interrupt() as interrupt, ExitStack() as closing:
        crew = WorkerHandle(request.device)
        closing.callback(crew.lost)
        ground = survey(cases, crew)
        desk = _Desk(request, ground, interrupt, closing, crew)
        predictor = Predictor(ground.environment.device, ground.ceilings)
        plan = make_plan(cases, predictor, request.settings, ground.backends)
        once = {one.case.id: one for one in plan.planned}  # methods do not matter here
        try:
            for position, planned in enumerate(once.values(), start=1):
                if interrupt.asked:
                    break
                event = _event(planned.case, desk.check(planned), position, len(once))
                checked.append(event)
                listener(event)
        except Stopped:
            pass
        return CheckFinished(checked=tuple(checked), interrupted=interrupt.asked)


@dataclass(slots=True)
class _Desk:
    """Decides how a case is checked, and opens the interpreter's worker when it is first needed."""

    request: RunRequest
    ground: Preflight
    interrupt: Interrupt
    closing: ExitStack
    crew: WorkerHandle
    _walkers: dict[bool, CaseRunner] = field(default_factory=dict)

    def check(self, planned: PlannedCase) -> dict[str, Any]:
        """Check one case as it stands, or as the interpreter can take it."""
        backend = self.ground.backends[planned.case.backend, planned.case.source]
        if not (backend.is_triton and self.ground.environment.device.kind == "cpu"):
            if planned.status != RUN:
                return {"status": planned.status, "reason": planned.reason}
            return self._walker(interpret=False).check(planned)
        problem = upcast(planned.case.problem)
        notes = ["UPCAST"] if problem != planned.case.problem else []
        smaller = reduced(problem, self.request.settings.case_limit_s)
        notes += ["REDUCED"] if smaller != problem else []
        stand_in = replace(planned, case=replace(planned.case, problem=smaller))
        facts = self._walker(interpret=True).check(stand_in)
        return {**facts, "notes": [*facts.get("notes", ()), *notes]}

    def _walker(self, *, interpret: bool) -> CaseRunner:
        if interpret not in self._walkers:
            crew = self.crew
            if interpret:
                crew = WorkerHandle("cpu", interpret=True)
                self.closing.callback(crew.lost)
            settings, ceilings = self.request.settings, self.ground.ceilings
            walker = CaseRunner(crew, settings, ceilings, self.interrupt, lambda _: None)
            self._walkers[interpret] = walker
        return self._walkers[interpret]


def _event(case: Case, facts: dict[str, Any], position: int, total: int) -> CaseChecked:
    return CaseChecked(
        case=case,
        status=facts["status"],
        reason=facts.get("reason"),
        notes=tuple(facts.get("notes", ())),
        error_rel=facts.get("error_rel"),
        error_ratio=facts.get("error_ratio"),
        position=position,
        total=total,
    )
