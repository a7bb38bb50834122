"""Correctness only: every case of a suite against the reference, nothing timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attnbench.case import Case
from attnbench.execute.crew import Crew
from attnbench.execute.errand import Stopped
from attnbench.execute.events import CaseChecked, Listener
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.launch import Walker
from attnbench.execute.plan import RUN, PlannedCase, make_plan
from attnbench.execute.predict import Predictor
from attnbench.execute.request import RunRequest
from attnbench.execute.survey import survey


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
    with Interrupt() as interrupt:
        crew = Crew(request.device)
        try:
            ground = survey(cases, crew)
            predictor = Predictor(ground.environment.device, ground.ceilings)
            plan = make_plan(cases, predictor, request.settings, ground.backends)
            walker = Walker(crew, request.settings, ground.ceilings, interrupt, lambda _: None)
            once = {one.case.id: one for one in plan.planned}  # methods do not matter here
            for position, planned in enumerate(once.values(), start=1):
                if interrupt.asked:
                    break
                facts = _check_one(planned, walker)
                event = _event(planned.case, facts, position, len(once))
                checked.append(event)
                listener(event)
        except Stopped:
            pass
        finally:
            crew.lost()
        return CheckFinished(checked=tuple(checked), interrupted=interrupt.asked)


def _check_one(planned: PlannedCase, walker: Walker) -> dict[str, Any]:
    if planned.status != RUN:
        return {"status": planned.status, "reason": planned.reason}
    return walker.check(planned)


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
